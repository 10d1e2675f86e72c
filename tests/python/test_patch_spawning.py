"""Programs started in every way of the standard library, and terminals, beside other greens."""

from __future__ import annotations

import os
import pty
import subprocess
import time
import tty
from collections.abc import Callable
from typing import Any

from patched import Ticker, isolated, patch, together

SLOW = ["sh", "-c", "sleep 0.2; echo said; exit 3"]


def spawned() -> int:
    return os.posix_spawnp("sh", ["sh", "-c", "sleep 0.2; exit 3"], os.environ)


def ended(status: int) -> int:
    return os.waitstatus_to_exitcode(status)


def with_posix_spawn() -> int:
    return ended(os.waitpid(spawned(), 0)[1])


def with_spawnv() -> int:
    return os.spawnvp(os.P_WAIT, "sh", SLOW)


def with_popen() -> int:
    pipe = os.popen("sleep 0.2; echo said; exit 3")
    assert pipe.read() == "said\n"
    return ended(pipe.close() or 0)


def with_subprocess() -> int:
    done = subprocess.run(SLOW, capture_output=True, check=False)
    assert done.stdout == b"said\n"
    return done.returncode


def with_system() -> int:
    return ended(os.system("sleep 0.2; exit 3"))


def with_forkpty() -> int:
    pid, main = pty.fork()
    if pid == 0:
        os.execvp("sh", SLOW)
    said = b""
    try:
        while piece := os.read(main, 100):
            said += piece
    except OSError:
        pass  # What the kernel tells when the last has closed the other side.
    os.close(main)
    assert said == b"said\r\n"
    return ended(os.waitpid(pid, 0)[1])


def with_pty_spawn() -> int:
    # It copies from the terminal to stdout, and from stdin, which is at its end.
    said: list[bytes] = []

    def read(fd: int) -> bytes:
        said.append(os.read(fd, 100))
        return said[-1]

    status = pty.spawn(SLOW, read, lambda fd: b"")
    assert b"".join(said) == b"said\r\n"
    return ended(status)


WAYS: list[Callable[[], int]] = [
    with_posix_spawn,
    with_spawnv,
    with_popen,
    with_subprocess,
    with_system,
    with_forkpty,
    with_pty_spawn,
]


@isolated
def test_a_program_started_in_any_way_ends_beside_the_others() -> None:
    patch()
    for way in WAYS:
        with Ticker() as ticker:
            assert together(way) == [3], way
        ticker.assert_kept_running()


@isolated
def test_programs_started_in_all_ways_at_once_end() -> None:
    patch()

    assert together(*WAYS, *WAYS) == [3] * (2 * len(WAYS))


@isolated
def test_any_child_is_waited_for_beside_the_others() -> None:
    patch()
    waits: list[Callable[[], Any]] = [
        lambda: os.wait()[1],
        lambda: os.wait3(0)[1],
        lambda: os.wait4(-1, 0)[1],
        lambda: os.waitpid(-1, 0)[1],
    ]
    for wait in waits:
        with Ticker() as ticker:
            spawned()
            assert ended(together(wait)[0]) == 3
        ticker.assert_kept_running()


@isolated
def test_a_raw_terminal_is_read_and_written_beside_the_others() -> None:
    patch()
    main, terminal = pty.openpty()
    tty.setraw(terminal)
    much = os.urandom(200_000)  # More than a terminal holds.

    def read() -> bytes:
        got = b""
        while len(got) < len(much):
            got += os.read(terminal, 5000)
        return got

    def write() -> None:
        time.sleep(0.02)
        left = memoryview(much)
        while left:
            left = left[os.write(main, left) :]

    with Ticker() as ticker:
        assert together(read, write)[0] == much

    ticker.assert_kept_running()
    os.close(main)
    os.close(terminal)
