"""green.debug.deadlock: who waits for ever; and no false alarm while anything may end it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from patched import isolated, leaves_behind, run_isolated

import green
from green import _core, backdoor, debug


def embrace() -> tuple[list[green.Green], list[green.Semaphore]]:
    """Two greens that each hold what the other waits for."""
    locks = [green.Semaphore(), green.Semaphore()]

    def take(first: int, second: int) -> None:
        locks[first].acquire()
        green.sleep(0)
        locks[second].acquire()

    greens = [green.spawn(take, 0, 1), green.spawn(take, 1, 0)]
    for _ in range(3):
        green.sleep(0)
    return greens, locks


def stuck() -> list[green.Green]:
    return [record.green for record in debug.deadlock()]


@isolated
def test_two_greens_that_hold_what_the_other_wants_are_told() -> None:
    greens, locks = embrace()

    assert stuck() == greens
    assert [each.waits_for for each in debug.deadlock()] == ["semaphore"] * 2
    assert debug.deadlock()[0].stack[-1].name == "take"

    locks[0].release()
    assert stuck() == []
    greens[1].join()
    greens[0].kill(block=True)
    assert stuck() == []


@isolated
def test_nobody_else_is_no_deadlock() -> None:
    assert stuck() == []


@isolated
def test_the_main_program_is_told_of_when_another_looks() -> None:
    never = green.Event()
    seen: list[list[green.Green]] = []

    def look() -> None:
        seen.append(stuck())
        never.set()

    green.spawn(look)
    never.wait()

    assert seen == [[green.getcurrent()]]


@isolated
@leaves_behind
def test_a_timer_anywhere_may_end_it() -> None:
    greens, _ = embrace()
    sleeper = green.spawn(green.sleep, 100)
    green.sleep(0)
    assert stuck() == []
    sleeper.kill(block=True)
    assert stuck() == greens
    with green.Timeout(100):
        assert stuck() == []


@isolated
@leaves_behind
def test_a_green_that_is_ready_or_new_may_end_it() -> None:
    greens, _ = embrace()
    other = green.spawn(green.sleep, 0)
    assert stuck() == []
    other.join()
    greens[0].kill()
    assert stuck() == []


@isolated
@leaves_behind
def test_an_operation_may_end_it() -> None:
    greens, _ = embrace()
    here, there = socket.socketpair()
    reader = green.spawn(_core.wait_fd, here.fileno(), 1, None)
    green.sleep(0)
    assert stuck() == []
    there.send(b"x")
    reader.join()
    assert stuck() == greens
    here.close()
    there.close()


@isolated
@leaves_behind
def test_a_native_thread_may_end_it_and_its_end_leaves_a_deadlock() -> None:
    greens, _ = embrace()
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    assert stuck() == []
    go_on.set()
    thread.join()
    while stuck() != greens:  # The thread's last moments are the kernel's.
        pass


@pytest.mark.parametrize("name", ["SIGUSR1", "SIGINT"])
def test_a_signal_handler_may_end_it(name: str) -> None:
    run_isolated(Path(__file__).stem, Path(__file__).parent, "with_a_handler", NAME=name)


@isolated
@leaves_behind
def with_a_handler() -> None:
    greens, _ = embrace()
    number = signal.Signals[os.environ["NAME"]]
    before = signal.signal(number, lambda *_: None)
    assert stuck() == []
    signal.signal(number, before)
    debug.on_signal()
    assert stuck() == greens


@isolated
def test_two_threads_that_wait_for_each_other_are_told() -> None:
    locks = [green.Semaphore(0), green.Semaphore(0)]
    thread = threading.Thread(target=lambda: green.spawn(locks[0].acquire).join(), daemon=True)
    thread.start()
    inner = green.spawn(locks[1].acquire)
    green.sleep(0)
    while len(stuck()) != 3:  # The thread has its main program, too.
        pass

    assert inner in stuck()
    locks[0].release()
    thread.join()
    inner.kill(block=True)


@isolated
@leaves_behind
def test_helpers_of_our_own_are_no_native_threads() -> None:
    greens, _ = embrace()
    debug.watch_hub(100.0)
    assert stuck() == greens
    debug.watch_hub(None)


CLIENT = """
import socket, sys
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(b"len(green.debug.deadlock())\\nserver.kill()\\n")
    client.shutdown(socket.SHUT_WR)
    sys.stdout.write(client.makefile().read())
"""


@isolated
@leaves_behind
def test_it_can_be_asked_at_a_console_which_has_no_part_in_it() -> None:
    greens, _ = embrace()
    with tempfile.TemporaryDirectory() as folder:
        names: dict[str, object] = {}
        server = green.spawn(backdoor.serve, f"{folder}/socket", names)
        names["server"] = server
        green.sleep(0)
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, f"{folder}/socket"], stdout=subprocess.PIPE, text=True
        ) as client:
            server.join()
            assert client.stdout is not None
            while backdoor._streams._sessions > 0:
                green.sleep(0)
            said = client.stdout.read()
    assert ">>> 3\n" in said  # The main program waits for the server.
    assert stuck() == greens
