"""Waiting for child processes, under the patch. Each child reads until its pipe is closed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Any

from leaks import once
from patched import assert_same, isolated, outcome, patch, together

import green

DONE = 3


def child() -> tuple[int, int]:
    """Its pid, and the descriptor whose close ends it with the exit code DONE."""
    read_end, write_end = os.pipe()
    command = ["sh", "-c", f"cat; exit {DONE}"]
    files = [(os.POSIX_SPAWN_DUP2, read_end, 0)]
    pid = os.posix_spawnp("sh", command, os.environ, file_actions=files)
    os.close(read_end)
    return pid, write_end


WAITS: list[Callable[[int], Any]] = [
    lambda pid: os.waitpid(pid, 0),
    lambda pid: os.waitpid(-1, 0),
    lambda pid: os.waitpid(0, 0),
    lambda pid: os.wait(),
    lambda pid: os.wait3(0)[:2],
    lambda pid: os.wait4(pid, 0)[:2],
    lambda pid: os.wait4(pid=pid, options=os.WUNTRACED)[:2],
]


@isolated
def test_each_wait_for_a_child_lets_the_others_run() -> None:
    patch()

    for wait in WAITS:
        pid, pipe = child()
        found, _ = together(lambda w=wait, p=pid: w(p), lambda fd=pipe: os.close(fd))
        assert found == (pid, DONE << 8)


@isolated
def test_waitid_looks_at_a_child_and_reaps_it() -> None:
    patch()

    for kind in (os.P_PID, os.P_ALL):
        pid, pipe = child()
        looked, _ = together(
            lambda k=kind, p=pid: os.waitid(k, p, os.WEXITED | os.WNOWAIT),
            lambda fd=pipe: os.close(fd),
        )
        (reaped,) = together(lambda k=kind, p=pid: os.waitid(k, p, os.WEXITED))
        assert looked == reaped
        assert (reaped.si_pid, reaped.si_status) == (pid, DONE)


@isolated
def test_a_child_that_stops_is_noticed() -> None:
    patch()
    pid, pipe = child()

    (_, status), _ = together(
        lambda: os.waitpid(pid, os.WUNTRACED), lambda: os.kill(pid, signal.SIGSTOP)
    )
    assert os.WIFSTOPPED(status)

    os.kill(pid, signal.SIGKILL)
    assert together(lambda: os.waitpid(pid, 0)) == [(pid, signal.SIGKILL)]
    os.close(pipe)


@isolated
def test_a_green_that_is_killed_while_it_waits_takes_no_child_along() -> None:
    patch()
    pid, pipe = child()
    for wait in WAITS:
        waiting = green.spawn(wait, pid)
        green.sleep(0)
        green.kill(waiting)
        green.sleep(0)

    os.close(pipe)

    assert together(os.wait) == [(pid, DONE << 8)]


@isolated
def test_errors_of_waits_are_the_originals() -> None:
    def outcomes() -> list[Any]:
        pid, pipe = child()
        try:
            return [
                os.waitpid(pid, os.WNOHANG),
                outcome(os.waitpid, os.getpid(), 0),
                outcome(os.waitpid, 1 << 80, 0),
                outcome(os.waitpid, -(1 << 31), 0),
                outcome(os.waitpid, "1", 0),
                outcome(os.waitpid, 1),
                outcome(os.waitpid, pid, 1 << 20),
                outcome(os.wait4, 1, option=0),
                outcome(os.wait3),
                outcome(os.waitid, os.P_PID, os.getpid(), os.WEXITED),
                outcome(os.waitid, os.P_PID, pid, 0),
                outcome(os.waitid, 77, pid, os.WEXITED),
                outcome(os.system),
            ]
        finally:
            os.close(pipe)
            os.waitpid(pid, 0)

    before = [outcomes(), outcome(os.wait), outcome(os.waitpid, -1, 0)]
    patch()

    (after,) = together(lambda: [outcomes(), outcome(os.wait), outcome(os.waitpid, -1, 0)])

    before[0][0] = after[0][0] = (0, 0)
    assert_same(after[0], before[0])
    assert_same(after[1:], before[1:])


@isolated
def test_subprocesses_wait_for_each_others_end() -> None:
    patch()
    first = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    second = subprocess.Popen(["cat"], stdin=subprocess.PIPE)

    def then_close(waits_for: Any, closes: Any) -> int:
        code = waits_for.wait() if waits_for else 0
        closes.stdin.close()
        return code

    codes = together(
        second.wait, lambda: then_close(first, second), lambda: then_close(None, first)
    )
    assert codes == [0, 0, 0]
    assert together(lambda: subprocess.run(["sh", "-c", "exit 5"]).returncode) == [5]


@isolated
@once("the shell knows descriptors of one digit only")
def test_system_lets_the_others_run() -> None:
    patch()
    read_end, write_end = os.pipe()
    os.set_inheritable(read_end, True)

    status, _ = together(
        lambda: os.system(f"cat <&{read_end}; exit 4"), lambda: os.close(write_end)
    )

    assert os.waitstatus_to_exitcode(status) == 4
