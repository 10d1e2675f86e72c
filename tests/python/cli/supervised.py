"""A supervised program for test_supervisor.py: `supervised.py DIRECTORY COUNT GRACE BEHAVIOUR`.

Its workers serve nothing; what they do is one of the functions below. They and the supervisor leave
what they have to say as lines on the standard output.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from green.cli import supervisor

DIRECTORY = Path(sys.argv[1])
STOP = {signal.SIGTERM}


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def starts() -> int:
    """How often a worker has started, this one included."""
    with open(DIRECTORY / "starts", "a+") as file:
        file.write("x")
        return file.tell()


def wait_for_stop(ready: Callable[[], None]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    ready()
    say("up", os.getpid())
    signal.sigwait(STOP)
    say("stopped", os.getpid())
    return 0


def fails_at_start(ready: Callable[[], None]) -> int:
    starts()
    return 7


def ignores_stop(ready: Callable[[], None]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    ready()
    say("up", os.getpid())
    while signal.sigwait(STOP):
        say("ignored")
    return 0


def dies_once(ready: Callable[[], None]) -> int:
    if starts() == 1:
        ready()
        os.kill(os.getpid(), signal.SIGKILL)
    return wait_for_stop(ready)


def leaves_a_child_behind(ready: Callable[[], None]) -> int:
    """Whose copies of what the worker inherited stay open."""
    child = os.fork()
    if child == 0:
        signal.pause()
    say("child", child)
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


def without_forks(ready: Callable[[], None]) -> int:
    """Serves; the second fork of its supervisor fails."""
    return dies_once(ready)


def fork_fails_once() -> None:
    fork, count = os.fork, 0

    def failing() -> int:
        nonlocal count
        count += 1
        if count == 2:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    os.fork = failing


def fails_after_the_first(ready: Callable[[], None]) -> int:
    if starts() > 1:
        return 9
    ready()
    return 0


def main() -> int:
    count, grace, behaviour = int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    supervisor.DELAY_SECONDS = 0.001
    supervisor.CUT_SECONDS = 2.0
    if behaviour == "without_forks":
        fork_fails_once()
    status = supervisor.Supervisor(
        count,
        globals()[behaviour],
        grace=grace,
        log=lambda level, line: say(level, line),
        all_ready=lambda: say("all ready"),
    ).run()
    say("exit", status, time.monotonic())
    return status


sys.exit(main())
