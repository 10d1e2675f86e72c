"""Waiting for several things at once, or not for long.

iwait() gives each object a callback that queues it and releases a semaphore; whoever waits takes
from the semaphore first and from the queue then. So an object that becomes ready between two looks
is in the queue, whichever thread made it ready, and nothing is taken from the object itself.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from green import _arguments
from green._core import Green, GreenExit, Semaphore, Timeout, can_park, getcurrent
from green.linked import Waitable

W = TypeVar("W", bound=Waitable)
Thrown = type[BaseException] | BaseException

_RAISE = object()


class Deadline:
    """The moment `timeout` seconds from now. ValueError: it is negative or NaN."""

    def __init__(self, timeout: float | None) -> None:
        self._end = math.inf if timeout is None else time.monotonic() + _arguments.seconds(timeout)

    def left(self) -> float | None:
        """Seconds until then, 0 when it has passed; None: there is none."""
        if self._end == math.inf:
            return None
        return max(0.0, self._end - time.monotonic())


class Arrivals:
    """The objects that have become ready, in that order, for who waits for the next."""

    def __init__(self) -> None:
        self._ready: deque[Any] = deque()
        self._count = Semaphore(0)

    def add(self, ready: object) -> None:
        """A callback for rawlink(). Never switches."""
        self._ready.append(ready)
        self._count.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the next; True: next() has it. Switches, unless it is there already."""
        return self._count.acquire(timeout=timeout)

    def next(self) -> Any:
        """After each wait() that returned True, once."""
        return self._ready.popleft()


def iwait(
    objects: Iterable[W], timeout: float | None = None, count: int | None = None
) -> Iterator[W]:
    """Give those of `objects` that are ready, one after the other, as they become so.

    `objects`: greens (ready at their end), events, results, queues and semaphores (ready when
    something could be taken; nothing is), and whatever else has the protocol of green.linked; each
    is given once. The iteration ends after all, after `count`, or when `timeout` seconds have
    passed since this call. Each step switches, unless one is ready. ValueError: a negative timeout
    or count; TypeError: an object without the protocol.
    """
    waited_for = dict.fromkeys(objects)
    for each in waited_for:
        if not (hasattr(each, "rawlink") and hasattr(each, "unlink")):
            raise TypeError(f"cannot wait for {each!r}: it has no rawlink() and unlink()")
    most = len(waited_for)
    if count is not None:
        most = min(most, _arguments.count(count, 0, "wait for a count of none at least"))
    return _arrivals_of(waited_for, Deadline(timeout), most)


def _arrivals_of(pending: dict[W, None], deadline: Deadline, most: int) -> Iterator[W]:
    arrivals = Arrivals()
    notify = arrivals.add  # One object, so that unlink() finds it by identity.
    try:
        for each in pending:
            each.rawlink(notify)
        for _ in range(most):
            if not arrivals.wait(deadline.left()):
                return
            ready: W = arrivals.next()
            del pending[ready]
            yield ready
    finally:
        for each in pending:
            each.unlink(notify)


def wait(objects: Iterable[W], timeout: float | None = None, count: int | None = None) -> list[W]:
    """Wait for all of `objects`, or `count` of them; those that are ready, in that order.

    As iwait(), which says what the objects may be and what is raised. Fewer come when `timeout`
    seconds pass. Switches, unless enough are ready.
    """
    return list(iwait(objects, timeout, count))


def joinall(
    greens: Iterable[Green], timeout: float | None = None, raise_error: bool = False
) -> list[Green]:
    """Wait until all greens are done, or for `timeout` seconds; those that are, in that order.

    `raise_error`: raise the exception of the first that fails, at once, and leave the others
    running. Otherwise failures are no news to anybody any more, as after Green.join(). Switches,
    unless all are done.
    """
    done = []
    for each in iwait(greens, timeout):
        each.join()
        if raise_error and each.exception is not None:
            raise each.exception
        done.append(each)
    return done


def killall(
    greens: Iterable[Green],
    exception: Thrown = GreenExit,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    """Raise `exception` in each green, where it waits; those that have not started never will.

    `block`: wait until they are done; then it switches, and raises Timeout when some are not after
    `timeout` seconds. When the caller is one of them its turn comes last, after that wait.
    """
    deadline = Deadline(timeout)
    others = dict.fromkeys(greens)
    for each in others:
        if not isinstance(each, Green):
            raise TypeError(f"cannot kill {each!r}: it is no green")
    caller = getcurrent() if can_park() else None
    among_them = caller in others
    if caller is not None:
        others.pop(caller, None)
    for each in others:
        each.kill(exception)
    if block and len(wait(others, deadline.left())) < len(others):
        assert timeout is not None
        raise Timeout.unstarted(timeout)
    if among_them and caller is not None:
        caller.kill(exception)


def with_timeout(
    seconds: float | None,
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout_value: Any = _RAISE,
    **kwargs: Any,
) -> Any:
    """function(*args, **kwargs), but Timeout is raised in it when it takes longer than `seconds`.

    With `timeout_value` given, return that instead of raising. Another Timeout that passes by is
    none of its business. None: no limit. Only a function that waits can be interrupted.
    """
    with Timeout(seconds) as timeout:
        try:
            return function(*args, **kwargs)
        except Timeout as raised:
            if raised is not timeout or timeout_value is _RAISE:
                raise
            return timeout_value
