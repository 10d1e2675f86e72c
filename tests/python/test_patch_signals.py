"""Python's signal handlers under the patch: they run in the main program."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from typing import Any

import pytest
from patched import assert_same, isolated, outcome, patch, run_patched, together

import green


def handle(number: int, frame: Any) -> None:
    pass


def use_handlers() -> list[Any]:
    numbers = signal.SIGUSR1
    return [
        signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        signal.signal(numbers, handle),
        signal.getsignal(numbers) is handle,
        signal.signal(numbers, signal.SIG_IGN) is handle,
        signal.signal(numbers, signal.SIG_DFL),
        outcome(signal.signal, numbers, "no handler"),
        outcome(signal.signal, numbers),
        outcome(signal.signal, 0, handle),
        outcome(signal.getsignal, 999),
    ]


@isolated
def test_handlers_are_set_and_told_as_unpatched() -> None:
    before = use_handlers()
    signal.signal(signal.SIGUSR2, handle)
    patch()

    assert signal.getsignal(signal.SIGUSR2) is handle
    assert_same(use_handlers(), before)
    assert_same(together(use_handlers)[0], before)


@isolated
def test_a_handler_runs_in_the_main_program_whoever_runs_when_the_signal_comes() -> None:
    seen: list[tuple[int, int, bool]] = []
    early = signal.SIGUSR1

    def note(number: int, frame: Any) -> None:
        seen.append((number, threading.get_ident(), frame is not None))

    signal.signal(early, note)
    patch()
    signal.signal(signal.SIGUSR2, note)
    main = threading.get_ident()

    def send() -> None:
        for number in (early, signal.SIGUSR2, early):
            os.kill(os.getpid(), number)
        assert not seen  # They wait until the main program runs.

    together(send)
    thread = threading.Thread(target=send)
    seen_by_green, seen = seen, []
    thread.start()
    thread.join()

    for some in (seen_by_green, seen):
        assert sorted(some) == [(early, main, True), (signal.SIGUSR2, main, True)]


@isolated
def test_what_a_handler_raises_ends_the_main_programs_wait_and_no_other() -> None:
    patch()

    class Alarm(Exception):
        pass

    def ring(number: int, frame: Any) -> None:
        raise Alarm

    signal.signal(signal.SIGALRM, ring)
    goes_on = threading.Event()

    def work() -> str:
        os.kill(os.getpid(), signal.SIGALRM)
        goes_on.wait()
        return "worked"

    import green

    worker = green.spawn(work)
    assert outcome(time.sleep, 60) == (Alarm, "")
    goes_on.set()
    assert worker.get() == "worked"


def test_ctrl_c_while_a_thread_runs_ends_the_main_program() -> None:
    done = run_patched(
        "goes_on = threading.Event()\n"
        "def work():\n"
        "    goes_on.wait()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('went on')\n"
        "    try: time.sleep(60)\n"
        "    finally: print('cleaned up')\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "try: goes_on.set(); time.sleep(60)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )

    assert done.stdout == "went on\ninterrupted\ncleaned up\n"
    assert (done.stderr, done.returncode) == ("", 0)


def test_ctrl_c_reaches_the_main_program_though_a_thread_never_waits() -> None:
    done = run_patched(
        "goes_on, stop = threading.Event(), False\n"
        "def work():\n"
        "    goes_on.wait()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while not stop: pass\n"
        "    print('stopped')\n"
        "threading.Thread(target=work).start()\n"
        "try: goes_on.set(); time.sleep(60)\n"
        "except KeyboardInterrupt: stop = True\n"
    )

    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", 0)


def test_a_handler_runs_in_the_main_program_though_a_green_never_waits() -> None:
    done = run_patched(
        "seen = []\n"
        "def handle(number, frame): seen.append(threading.current_thread().name)\n"
        "signal.signal(signal.SIGALRM, handle)\n"
        "def work():\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.001)\n"
        "    while not seen: pass\n"
        "    return 'went on'\n"
        "print(green.spawn(work).get(), seen)\n"
    )

    assert (done.stdout, done.stderr) == ("went on ['MainThread']\n", "")


def test_a_green_that_waits_soon_is_not_left_for_a_signal() -> None:
    done = run_patched(
        "seen = []\n"
        "signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))\n"
        "def work():\n"
        "    sent = time.monotonic()\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    for _ in range(1000): assert not seen or time.monotonic() - sent >= 0.1\n"
        "green.spawn(work).get()\n"
        "print(seen == [signal.SIGUSR1])\n"
    )

    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_second_ctrl_c_at_once_ends_a_loop_that_never_waits() -> None:
    done = run_patched(
        "def work():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('first', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
        "green.spawn(work).join()\n"
    )

    assert done.stdout == "first\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert done.returncode == -signal.SIGINT


def test_a_second_ctrl_c_later_ends_the_loop_that_never_waits() -> None:
    done = run_patched(
        "seen = []\n"
        "def work():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    try:\n"
        "        while not seen: pass\n"
        "        began = time.monotonic()\n"
        "        while time.monotonic() < began + 0.2: pass\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        while True: pass\n"
        "    finally: print('loop ended')\n"
        "green.spawn(work)\n"
        "for number in range(2):\n"
        "    try: time.sleep(60)\n"
        "    except KeyboardInterrupt: seen.append(number)\n"
        "print(seen)\n"
    )

    assert (done.stdout, done.stderr) == ("loop ended\n[0, 1]\n", "")


def test_a_signal_that_was_put_off_is_not_the_childs_of_a_fork() -> None:
    done = run_patched(
        "def handle(number, frame): print('handled', os.getpid() == parent, flush=True)\n"
        "signal.signal(signal.SIGUSR1, handle)\n"
        "parent = os.getpid()\n"
        "def work():\n"
        "    os.kill(parent, signal.SIGUSR1)\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        began = time.monotonic()\n"
        "        while time.monotonic() < began + 0.2: pass\n"
        "        green.spawn(time.sleep, 0.01).join()\n"
        "    return child == 0 or os.waitpid(child, 0)[1]\n"
        "print(green.spawn(work).get())\n"
    )

    assert (done.stdout, done.stderr) == ("handled True\n0\n", "")


def test_a_handler_may_fork_while_the_main_program_waits() -> None:
    for wait in ("lock.acquire(timeout=0.2)", "select.select([read], [], [], 0.2)[0] == [1]"):
        done = run_patched(
            "import select\n"
            "children = []\n"
            "signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))\n"
            "lock = threading.Lock(); lock.acquire()\n"
            "read, write = os.pipe()\n"
            "green.spawn(lambda: os.kill(os.getpid(), signal.SIGUSR1))\n"
            f"os.write(1, b'%r\\n' % ({wait}))\n"  # One write, or the two would mingle.
            "if children[0]: print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))\n"
        )

        assert (done.stdout, done.stderr) == ("False\nFalse\n0\n", "")


def set_in_a_thread() -> list[Any]:
    found: list[Any] = []

    def work() -> None:
        found.append(outcome(signal.signal, signal.SIGUSR1, handle))
        found.append(outcome(signal.set_wakeup_fd, -1))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found


@isolated
def test_a_thread_may_set_no_handler_and_no_wakeup_descriptor() -> None:
    before = set_in_a_thread()
    patch()

    assert_same(set_in_a_thread(), before)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


@isolated
def test_the_wakeup_descriptor_is_what_the_program_has_set() -> None:
    patch()
    together(lambda: time.sleep(0.001))
    here, there = os.pipe2(os.O_NONBLOCK)

    assert signal.set_wakeup_fd(there) == -1
    assert signal.set_wakeup_fd(-1) == there
    assert signal.set_wakeup_fd(-1) == -1
    os.close(here)
    os.close(there)


@pytest.mark.parametrize(
    "set_it",
    [
        "signal.set_wakeup_fd(-1)",
        "here, there = os.pipe2(os.O_NONBLOCK); signal.set_wakeup_fd(there)",
    ],
)
def test_a_signal_ends_a_wait_without_an_end_whosever_the_wakeup_descriptor_is(set_it: str) -> None:
    done = run_patched(
        "green.sleep(0)\n"
        f"{set_it}\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "read_end, _ = os.pipe()\n"
        "try: signal.setitimer(signal.ITIMER_REAL, 0.1); os.read(read_end, 1)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")


@isolated
def test_a_signal_is_one_byte_in_the_wakeup_descriptor_whoever_runs() -> None:
    patch()
    seen: list[int] = []
    signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    here, there = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(there)

    for _ in range(3):
        together(lambda: os.kill(os.getpid(), signal.SIGUSR1))

    assert seen == [signal.SIGUSR1] * 3
    assert os.read(here, 100) == bytes([signal.SIGUSR1] * 3)
    signal.set_wakeup_fd(-1)
    os.close(here)
    os.close(there)


@isolated
def test_a_handler_may_close_the_socket_that_the_main_program_waits_at() -> None:
    patch()
    server = socket.create_server(("127.0.0.1", 0))
    signal.signal(signal.SIGUSR1, lambda *_: server.close())
    green.spawn(lambda: (time.sleep(0.01), os.kill(os.getpid(), signal.SIGUSR1)))

    assert outcome(server.accept) == (OSError, "[Errno 9] Bad file descriptor")


@isolated
def test_a_handler_may_read_where_the_main_program_waits_to_read() -> None:
    patch()
    read_end, write_end = os.pipe()
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(os.read(read_end, 1)))

    def interrupt_and_write() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
        os.write(write_end, b"ab")

    green.spawn(interrupt_and_write)

    assert os.read(read_end, 1) == b"b"
    assert got == [b"a"]
