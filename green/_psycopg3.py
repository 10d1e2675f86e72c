"""psycopg 3, which waits in C, or with a poll object, unless it is told how to wait.

Its queries are generators that say what they wait for, and `psycopg.waiting.wait` drives them. The
one here waits as greens do. Outside of a green the one that was there goes on; one that the user
has chosen (PSYCOPG_WAIT_FUNC) stays.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from typing import Any

from green import _core
from green._on_import import when_imported


def cooperate() -> None:
    """Lets psycopg 3 wait cooperatively, now or from when it is imported."""
    if "PSYCOPG_WAIT_FUNC" not in os.environ:
        when_imported("psycopg.waiting", _replace_wait)


def _replace_wait(waiting: Any) -> None:
    if hasattr(waiting, "READY_NONE"):
        waiting.wait = _make_wait(waiting, waiting.wait)
    else:  # Until 3.1 nobody is told that nothing came; this one of its own cooperates.
        waiting.wait = waiting.wait_selector


def _make_wait(waiting: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    def wait(gen: Any, fileno: int, interval: float = 0.0, timeout: float | None = None) -> Any:
        """Drives `gen`, which is told when nothing came for `interval` seconds."""
        if not _core.can_park():
            more = () if timeout is None else (timeout,)  # Which 3.2 does not know.
            return original(gen, fileno, interval, *more)
        end = None if timeout is None else time.monotonic() + timeout
        pause = max(0.0, interval)
        try:
            wanted = next(gen)
            while True:
                if end is not None:
                    pause = max(0.0, min(interval, end - time.monotonic()))
                wanted = gen.send(_wait_for(waiting, fileno, wanted, pause))
                if end is not None and time.monotonic() >= end:
                    raise waiting.e._WaitTimeout("wait timeout expired")
        except StopIteration as finished:
            return finished.value
        except OSError as error:  # The descriptor is gone.
            raise waiting.e.OperationalError("connection socket closed") from error

    return wait


def _wait_for(waiting: Any, fileno: int, wanted: int, seconds: float) -> int:
    """Waits until the connection can be read or written, as is wanted; which of them it can."""
    events = 0
    if wanted & waiting.WAIT_R:
        events |= select.POLLIN
    if wanted & waiting.WAIT_W:
        events |= select.POLLOUT
    if not _core.wait_fd(fileno, events, seconds):
        return 0
    poll = select.poll()
    poll.register(fileno, events)
    ready = 0
    for _, found in poll.poll(0):
        if found & select.POLLOUT:
            ready |= waiting.READY_W
        if found & ~select.POLLOUT:  # To be read, or over, which reading tells.
            ready |= waiting.READY_R
    return ready
