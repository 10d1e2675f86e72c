"""green.debug.watch_hub: a hub that does not turn is reported, with the culprit's stack."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from greens import native_names, until

import green
from green import debug

LIMIT = 0.05
SECONDS = 60.0  # Longer than a busy machine keeps a native thread waiting.


@contextmanager
def watched(limit: float = LIMIT) -> Iterator[list[debug.Block]]:
    told: list[debug.Block] = []
    debug.watch_hub(limit, told.append)
    try:
        yield told
    finally:
        debug.watch_hub(None)


def spin_until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end


def test_a_green_that_spins_is_named_with_its_stack_while_it_does() -> None:
    with watched() as told:
        waiter = green.spawn(green.sleep, 100)
        green.sleep(0)
        culprit = green.spawn(spin_until, lambda: told)
        culprit.name = "the culprit"
        culprit.join()
        waiter.kill(block=True)

    (block,) = told
    assert (block.green, block.number) == ("the culprit", culprit.number)
    assert block.thread == threading.get_native_id()
    assert "spin_until" in [frame.name for frame in block.stack]
    assert block.seconds >= LIMIT
    assert "blocked for" in str(block)


def test_a_block_is_told_once_however_long_it_is_and_the_next_one_again() -> None:
    with watched() as told:
        waiter = green.spawn(green.sleep, 100)
        for turn in (1, 2):
            green.sleep(0)
            spin_until(lambda turn=turn: len(told) == turn)
            end = time.monotonic() + 6 * LIMIT
            spin_until(lambda end=end: time.monotonic() > end)
        waiter.kill(block=True)
    assert [block.green for block in told] == ["main", "main"]


def test_a_call_that_blocks_without_the_gil_is_told_with_its_stack() -> None:
    def block_in_c() -> None:
        while not told:
            libc.usleep(20_000)

    libc = ctypes.CDLL(None)
    with watched() as told:
        waiter = green.spawn(green.sleep, 100)
        green.spawn(block_in_c).join()
        waiter.kill(block=True)

    assert [frame.name for frame in told[0].stack] == ["block_in_c"]


def test_a_hub_that_sleeps_or_turns_is_not_blocked() -> None:
    with watched(0.5) as told:
        green.sleep(1.2)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            green.sleep(0)
    assert told == []


def test_the_main_program_alone_keeps_nobody_waiting() -> None:
    script = """
import time
from green import _core, debug, spawn, sleep
told = []
sleep(0)
debug.watch_hub(0.05, told.append)
end = time.monotonic() + 0.5
while time.monotonic() < end: pass
print(len(told))
"""
    assert run(script).stdout == "0\n"


def run(script: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_hub_of_another_thread_is_watched_too() -> None:
    def run_there() -> None:
        waiter = green.spawn(green.sleep, 100)
        green.spawn(spin_until, lambda: told).join()
        waiter.kill(block=True)

    with watched() as told:
        thread = threading.Thread(target=run_there)
        thread.start()
        thread.join()

    assert told[0].thread == thread.native_id
    assert "spin_until" in [frame.name for frame in told[0].stack]


HOLDS_THE_GIL = """
import ctypes, sys
from green import _core, debug, spawn, sleep
hold = ctypes.PyDLL(None).usleep          # A PyDLL call keeps the GIL.
def culprit():
    hold(1_500_000)
    sleep(0)
debug.watch_hub(0.2)
waiter = spawn(sleep, 100)
spawn(culprit).join()
sleep(0.5)
waiter.kill()
"""


def test_c_code_that_holds_the_gil_is_told_in_time_and_its_stack_follows() -> None:
    lines = run(HOLDS_THE_GIL).stderr.splitlines()

    first, second = (
        next(i for i, line in enumerate(lines) if text in line)
        for text in ("C code that holds the GIL", "in culprit")
    )
    assert first < second
    seconds = re.search(r"blocked for (\d+\.\d+) s by C code", lines[first])
    assert seconds is not None
    assert 0.2 <= float(seconds[1]) < 1.5  # While it was still blocked.


def test_the_log_says_when_the_hub_turns_again() -> None:
    script = HOLDS_THE_GIL.replace("PyDLL", "CDLL")
    lines = run(script).stderr.splitlines()

    begin = next(i for i, line in enumerate(lines) if "is blocked for" in line)
    end = next(i for i, line in enumerate(lines) if "turns again" in line)
    assert begin < end
    assert any("in culprit" in line for line in lines[begin:end])
    assert sum("in culprit" in line for line in lines) == 1


def test_a_process_that_was_stopped_does_not_blame_the_hub() -> None:
    script = """
import os, sys, time
from green import debug, spawn, sleep
debug.watch_hub(2.0, lambda block: print("told", block, flush=True))
waiter = spawn(sleep, 100)
sleep(0.1)
begin = time.monotonic()
while time.monotonic() < begin + 0.6: pass  # Until the watchdog has seen this turn.
last, end = time.monotonic(), float("inf")
print("ready", flush=True)
while last < end:
    now = time.monotonic()
    if now - last > 0.5:  # It was stopped, and goes on for less than the limit.
        end = now + 0.8
    last = now
"""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == ""


def test_a_report_that_fails_is_told_and_the_watch_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures: list[object] = []
    calls: list[debug.Block] = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)

    def fail(block: debug.Block) -> None:
        calls.append(block)
        raise ValueError("report")

    debug.watch_hub(LIMIT, fail)
    waiter = green.spawn(green.sleep, 100)
    for turn in (1, 2):
        green.sleep(0)
        spin_until(lambda turn=turn: len(failures) == turn)
    debug.watch_hub(None)
    waiter.kill(block=True)
    assert len(calls) == 2
    failures.clear()  # The garbage collector does not know what such a failure refers to.


def test_a_watch_that_has_ended_lets_go_of_its_report() -> None:
    told: list[debug.Block] = []

    def report(block: debug.Block) -> None:
        told.append(block)

    debug.watch_hub(LIMIT, report)
    waiter = green.spawn(green.sleep, 100)
    green.sleep(0)
    spin_until(lambda: len(told) == 1)
    debug.watch_hub(None)
    waiter.kill(block=True)

    gone = weakref.ref(report)
    del report
    spin_until(lambda: gone() is None)


def test_watching_can_be_changed_and_ended() -> None:
    for _ in range(3):
        debug.watch_hub(10.0)
    until(lambda: native_names().count("green-watchdog") == 1)
    debug.watch_hub(None)
    debug.watch_hub(None)
    until(lambda: "green-watchdog" not in native_names())


@pytest.mark.parametrize("seconds", [0, 0.001, -1.0, float("nan")])
def test_a_limit_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        debug.watch_hub(seconds)


def test_a_forked_child_is_not_watched_and_may_watch_itself() -> None:
    script = """
import os, time
from green import debug, spawn, sleep
debug.watch_hub(0.05, lambda block: None)
sleep(0.01)
pid = os.fork()
if pid == 0:
    assert len(os.listdir("/proc/self/task")) == 1
    told = []
    debug.watch_hub(0.05, told.append)
    waiter = spawn(sleep, 100)
    sleep(0)
    while not told: pass
    waiter.kill()
    raise SystemExit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert run(script).stdout == "7\n"
