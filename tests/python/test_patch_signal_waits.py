"""signal.pause, sigwait and their kin under the patch, and signals to threads that are greens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from patched import Ticker, assert_same, isolated, outcome, patch, start_natively, together

ONE, TWO = signal.SIGUSR1, signal.SIGUSR2


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


def send_later(number: int) -> None:
    time.sleep(0.1)
    send(number)


# --- pause


@isolated
def test_pause_ends_when_a_handler_has_run_in_the_main_program() -> None:
    patch()
    import green

    order: list[str] = []
    main = threading.get_ident()

    def handle(number: int, frame: Any) -> None:
        assert threading.get_ident() == main
        time.sleep(0.01)
        order.append("handled")

    signal.signal(ONE, handle)

    def pause() -> None:
        signal.pause()
        order.append("green went on")

    waiting = [green.spawn(pause) for _ in range(3)]
    with Ticker() as ticker:
        green.spawn(send_later, ONE)
        signal.pause()
    order.append("main went on")
    green.joinall(waiting)

    assert order[0] == "handled"
    assert sorted(order[1:]) == ["green went on"] * 3 + ["main went on"]
    ticker.assert_kept_running()


@isolated
def test_what_a_handler_raises_ends_the_main_programs_pause() -> None:
    patch()
    import green

    def ring(number: int, frame: Any) -> None:
        raise LookupError("ring")

    signal.signal(signal.SIGALRM, ring)
    waiting = green.spawn(signal.pause)
    signal.setitimer(signal.ITIMER_REAL, 0.5)

    assert outcome(signal.pause) == (LookupError, "ring")
    assert waiting.get() is None
    assert outcome(signal.pause, 1)[0] is TypeError


@isolated
def test_a_green_that_is_killed_in_a_pause_keeps_no_other_from_going_on() -> None:
    patch()
    import green

    signal.signal(ONE, lambda *_: None)
    killed, waiting = green.spawn(signal.pause), green.spawn(signal.pause)
    green.sleep(0)
    killed.kill()
    killed.join()
    with green.Timeout(0.01, False):
        signal.pause()
        raise AssertionError("nothing was signalled")
    send(ONE)
    green.sleep(0)

    assert waiting.get() is None


def test_a_handler_set_before_a_patch_by_another_thread_ends_a_pause() -> None:
    program = (
        "import signal, threading\n"
        "signal.signal(signal.SIGALRM, lambda *_: print('rang'))\n"
        "import green\n"
        "thread = threading.Thread(target=green.monkey_patch)\n"
        "thread.start(); thread.join()\n"
        "green.sleep(0)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.5)\n"
        "signal.pause()\n"
        "print('went on')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("rang\nwent on\n", "")


# --- sigwait, sigwaitinfo, sigtimedwait


@isolated
def test_each_wait_for_a_signal_lets_the_others_run() -> None:
    patch()
    import green

    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE, TWO])
    with Ticker() as ticker:
        for wait in (
            lambda: signal.sigwait({ONE, TWO}),
            lambda: signal.sigwaitinfo(iter([ONE])).si_signo,
            lambda: signal.sigtimedwait([ONE, TWO], 60).si_signo,
        ):
            assert together(wait, lambda: send_later(ONE))[0] == ONE
            green.spawn(send_later, ONE)
            assert wait() == ONE
        info = together(lambda: signal.sigwaitinfo([TWO]), lambda: send_later(TWO))[0]
        assert (info.si_pid, info.si_uid) == (os.getpid(), os.getuid())
        began = time.monotonic()
        assert together(lambda: signal.sigtimedwait([ONE], 0.05)) == [None]
        assert time.monotonic() - began >= 0.05

    ticker.assert_kept_running()


@isolated
def test_waits_for_signals_answer_as_unpatched() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE, TWO])

    def outcomes() -> list[Any]:
        send(ONE, ONE, TWO)
        told = [
            outcome(signal.sigwait, [TWO]),
            outcome(lambda: signal.sigtimedwait((number for number in (ONE,)), 5).si_signo),
            outcome(signal.sigtimedwait, [ONE, TWO], 0),
            outcome(signal.sigtimedwait, [], 0.01),
            outcome(signal.sigpending),
        ]
        for function in (signal.sigwait, signal.sigwaitinfo):
            told += [outcome(function, wrong) for wrong in (5, [0], [999], ["x"], None)]
            told += [outcome(function), outcome(function, [ONE], 1)]
        for wrong in (-1, "x", None, float("nan")):
            told.append(outcome(signal.sigtimedwait, [ONE], wrong))
        return told

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_a_signal_that_comes_while_its_waiter_is_killed_stays_for_the_next() -> None:
    patch()
    import green

    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE])
    first, second = green.spawn(signal.sigwait, [ONE]), green.spawn(signal.sigwait, [ONE])
    green.sleep(0)
    open_before = len(os.listdir("/proc/self/fd"))
    send(ONE)
    first.kill()
    first.join()

    assert second.get() == ONE
    assert len(os.listdir("/proc/self/fd")) == open_before - 2
    assert signal.sigpending() == set()


@isolated
def test_a_handler_of_another_signal_runs_while_the_main_program_waits_for_one() -> None:
    patch()
    import green

    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE])
    seen: list[int] = []
    signal.signal(TWO, lambda number, frame: (seen.append(number), send(ONE)))
    green.spawn(send_later, TWO)

    assert signal.sigwaitinfo([ONE]).si_signo == ONE
    assert seen == [TWO]


@isolated
def test_a_blocked_signal_does_not_go_to_an_idle_native_thread() -> None:
    patch()
    import green

    assert green.native.call(os.getpid) == os.getpid()
    assert together(lambda: os.system("true"), lambda: os.system("true")) == [0, 0]
    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE])  # Unblocked it would end the process.
    send(ONE)

    assert signal.sigwait([ONE]) == ONE


@isolated
def test_a_child_of_a_native_thread_has_the_callers_signal_mask() -> None:
    patch()

    def mask() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("SigBlk:")[1].split()[0], 16)

    def childs() -> int:  # grep itself unblocks all signals.
        return os.system(f"cat /proc/self/status | grep -q 'SigBlk:.*{mask():016x}'")

    assert together(childs) == [0]
    signal.pthread_sigmask(signal.SIG_BLOCK, [TWO])
    assert together(childs) == [0]


@isolated
def test_a_native_thread_and_a_green_each_wait_for_a_signal() -> None:
    patch()
    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE, TWO])
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(signal.sigwait([TWO])))
    start_natively(thread)

    assert together(lambda: signal.sigwait([ONE]), lambda: (time.sleep(0.01), send(ONE, TWO)))[0]
    thread.join()
    assert taken == [TWO]


# --- Identities


@isolated
def test_a_signal_to_a_thread_that_is_a_green_goes_to_its_os_thread() -> None:
    patch()
    import green

    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE])
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    ident = thread.ident
    assert ident is not None

    signal.pthread_kill(ident, ONE)
    assert signal.sigwait([ONE]) == ONE
    assert together(lambda: signal.pthread_kill(threading.get_ident(), ONE)) == [None]
    assert signal.sigwait([ONE]) == ONE
    clock = time.pthread_getcpuclockid(ident)
    assert time.clock_gettime(clock) > 0
    goes_on.set()
    thread.join()
    for function, arguments in ((signal.pthread_kill, (ONE,)), (time.pthread_getcpuclockid, ())):
        assert outcome(function, ident, *arguments)[0] is ProcessLookupError
        assert outcome(function, "x", *arguments)[0] is TypeError
    assert green.spawn(signal.sigpending).get() == set()


@isolated
def test_signals_to_native_threads_are_sent_as_ever() -> None:
    wrong = outcome(signal.pthread_kill, threading.get_ident(), 9999)
    patch()
    signal.pthread_sigmask(signal.SIG_BLOCK, [ONE])

    signal.pthread_kill(threading.get_ident(), ONE)
    assert signal.sigwait([ONE]) == ONE
    assert outcome(signal.pthread_kill, threading.get_ident(), 9999) == wrong
    assert time.pthread_getcpuclockid(threading.main_thread().ident or 0) != 0
