"""Group and Pool: many greens at once, without bound or with one.

A Group holds its greens until their end, which their links tell it. A Pool is a Group with a
semaphore: each green takes one before it is spawned and gives it back at its end. Both may be used
from the greens of several threads; each green runs on the thread that spawned it.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from green import _arguments
from green._core import Green, GreenExit, Lock, Semaphore, Timeout, can_park, getcurrent, spawn
from green.waiting import Arrivals, Deadline, Thrown, killall, wait

Function = Callable[..., Any]


class Group:
    """Greens that are waited for, or killed, together. Each leaves when it is done."""

    def __init__(self, greens: Iterable[Green] = ()) -> None:
        self._greens: dict[Green, None] = {}  # In the order of their coming.
        _groups.add(self)
        for each in greens:
            self.add(each)

    def __len__(self) -> int:
        return len(self._greens)

    def __iter__(self) -> Iterator[Green]:
        return iter(list(self._greens))

    def __contains__(self, green: object) -> bool:
        return green in self._greens

    def spawn(self, function: Function, /, *args: Any, **kwargs: Any) -> Green:
        """Start function(*args, **kwargs) in a green of the group. A Pool may switch."""
        self._enter()
        return self._spawn_entered(function, args, kwargs)

    def add(self, green: Green) -> None:
        """Take in a green that exists; nothing happens when it is in. A Pool may switch."""
        if not isinstance(green, Green):
            raise TypeError(f"a group takes greens, not {type(green).__name__}")
        if green in self._greens:
            return
        self._enter()
        if green in self._greens:  # By another, while this one waited for a place.
            self._leave()
        else:
            self._keep(green)

    def discard(self, green: Green) -> None:
        """Let go of a green, which runs on; nothing happens when it is not in. Never switches."""
        green.unlink(self._let_go)
        self._let_go(green)

    def join(self, timeout: float | None = None, raise_error: bool = False) -> bool:
        """Wait until all are done, also those that come meanwhile; False: not in `timeout` seconds.

        `raise_error`: raise the exception of the first of them that failed. Failures that nobody
        asks for are reported. Switches, unless it is empty.
        """
        deadline = Deadline(timeout)
        failed: Green | None = None
        while left := self._alive():
            done = wait(left, deadline.left())
            if raise_error and failed is None:
                failed = next((each for each in done if each.exception is not None), None)
            if len(done) < len(left):
                break
        if failed is not None and failed.exception is not None:
            raise failed.exception
        return not left

    def kill(
        self,
        exception: Thrown = GreenExit,
        block: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Raise `exception` in each of them, as killall(), also in those that come meanwhile."""
        deadline = Deadline(timeout)
        killed: set[Green] = set()
        caller = getcurrent() if can_park() else None
        while left := [each for each in self._alive() if each not in killed and each != caller]:
            killall(left, exception, block, deadline.left())
            killed.update(left)
        if caller in self._greens and caller is not None:
            caller.kill(exception)

    def apply(
        self,
        function: Function,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the function in a green of the group and return its value, or raise its exception.

        When the caller is killed meanwhile, so is that green. A green of the group itself calls
        the function in place: in a Pool it might wait for ever. Switches.
        """
        if can_park() and getcurrent() in self._greens:
            return function(*args, **(kwargs or {}))
        green = self.spawn(function, *args, **(kwargs or {}))
        try:
            return green.get()
        except BaseException:
            green.kill()
            raise

    def map(self, function: Function, /, *iterables: Iterable[Any]) -> list[Any]:
        """[function(*items) for items in zip(*iterables)], each call in a green of the group.

        The first exception, in the order of the items, is raised; calls that are not done by then,
        or when the caller is killed, are killed. Switches.
        """
        return self.starmap(function, zip(*iterables, strict=False))

    def starmap(self, function: Function, iterable: Iterable[Iterable[Any]], /) -> list[Any]:
        """map(), with each call's arguments in one item of `iterable`."""
        greens = []
        try:
            for args in iterable:
                greens.append(self.spawn(function, *args))
            return [each.get() for each in greens]
        finally:
            for each in greens:
                if not each.dead:
                    each.kill()

    def imap(
        self, function: Function, /, *iterables: Iterable[Any], maxsize: int | None = None
    ) -> Iterator[Any]:
        """Give what map() returns one by one, in the order of the items, as it comes.

        At most `maxsize` calls have begun whose value has not been taken (of a Pool: its size; of a
        Group: no limit, so the iterables must end), the first of them at once, the others as
        values are taken. A call's exception is raised by next() in its turn; the iteration may go
        on. An exception of the iterables comes after the values before it. When the iterator is
        dropped, or its consumer killed in next(), the calls that run are killed. next() switches.
        """
        return _Ordered(self, function, zip(*iterables, strict=False), maxsize)

    def imap_unordered(
        self, function: Function, /, *iterables: Iterable[Any], maxsize: int | None = None
    ) -> Iterator[Any]:
        """imap(), but in the order in which the calls end."""
        return _Unordered(self, function, zip(*iterables, strict=False), maxsize)

    def _alive(self) -> list[Green]:
        # One that is done is about to be let go of, perhaps by another thread.
        return [each for each in list(self._greens) if not each.dead]

    def _keep(self, green: Green) -> None:
        self._greens[green] = None
        green.rawlink(self._let_go)

    def _let_go(self, green: Green) -> None:
        if self._greens.pop(green, green) is None:
            self._leave()

    def _spawn_entered(
        self, function: Function, args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Green:
        try:
            green = spawn(function, *args, **kwargs)
        except BaseException:
            self._leave()
            raise
        self._keep(green)
        return green

    # What a Pool adds: each green enters before it is kept, and leaves when it is let go of.

    def _enter(self) -> None:
        pass

    def _enter_now(self) -> bool:
        return True

    def _leave(self) -> None:
        pass

    def _lookahead(self) -> int | None:
        return None


_groups: weakref.WeakSet[Group] = weakref.WeakSet()


def _let_go_of_the_parents() -> None:
    """In the child of a fork: the parent's greens are done, and links are not told of it there."""
    for group in list(_groups):
        for each in group:
            if each.dead:
                group._let_go(each)


os.register_at_fork(after_in_child=_let_go_of_the_parents)


class Pool(Group):
    """A Group of at most `size` greens at once: spawn() and add() wait for a free place.

    ValueError: the size is less than one.
    """

    def __init__(self, size: int, greens: Iterable[Green] = ()) -> None:
        self._size = _checked(size)
        self._places = Semaphore(self._size)
        self._owed: list[None] = []  # Places that resize() took while greens had them.
        super().__init__(greens)

    @property
    def size(self) -> int:
        """How many greens there may be at once."""
        return self._size

    def free_count(self) -> int:
        """How many can be spawned now without waiting."""
        return self._places.value

    def full(self) -> bool:
        """Would spawn() wait?"""
        return self._places.value == 0

    def resize(self, size: int) -> None:
        """Change the size. Greens above a smaller one run on until their end. Never switches."""
        more = _checked(size) - self._size
        self._size += more
        while more > 0 and self._owed:
            self._leave()
            more -= 1
        if more > 0:
            self._places.release(more)
        for _ in range(-more):
            if not self._places.acquire(blocking=False):
                self._owed.append(None)

    def _enter(self) -> None:
        self._places.acquire()

    def _enter_now(self) -> bool:
        return self._places.acquire(blocking=False)

    def _leave(self) -> None:
        try:
            self._owed.pop()
        except IndexError:
            self._places.release()

    def _lookahead(self) -> int | None:
        return self._size


def _checked(size: int) -> int:
    checked = _arguments.count(size, 1, "a pool needs room for one green at least")
    if checked > sys.maxsize:
        raise ValueError(f"a pool has room for {sys.maxsize} greens at most")
    return checked


class _Results:
    """What imap() returns. The consumer itself takes items and spawns, so nothing runs ahead.

    Several consumers may call next(): each first claims a value to come, and then waits for it.
    """

    def __init__(
        self,
        group: Group,
        function: Function,
        items: Iterator[Iterable[Any]],
        maxsize: int | None,
    ) -> None:
        self._running: dict[Green, None] = {}  # And those whose value has not been taken.
        self._unclaimed = 0
        self._group = group
        self._function = function
        self._items: Iterator[Iterable[Any]] | None = items
        self._error: Exception | None = None  # Of the iterables.
        self._feeding = Lock()
        if maxsize is not None:
            _arguments.count(maxsize, 1, "imap: maxsize must be one or more")
        self._most = group._lookahead() if maxsize is None else maxsize
        self._guarded(self._fill)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        green = self._guarded(self._next_done)
        if green is None:
            error, self._error = self._error, None
            raise error or StopIteration
        self._running.pop(green, None)
        return green.get()

    def __del__(self) -> None:
        for each in self._running:
            if not each.dead:
                each.kill()

    def _guarded(self, step: Callable[[], Any]) -> Any:
        """A step of a consumer, who may be killed in it: then nothing is left running."""
        try:
            return step()
        except (Timeout, Exception):  # The consumer may come again.
            raise
        except BaseException:
            self.__del__()
            self._items, self._error, self._unclaimed = None, None, 0
            self._running.clear()
            raise

    def _next_done(self) -> Green | None:
        self._fill()
        while self._unclaimed == 0 and self._items is not None:
            self._group._enter()
            self._spawn_next()
            self._fill()
        if self._unclaimed == 0:
            return None
        self._unclaimed -= 1
        try:
            return self._wait_for_one()
        except BaseException:
            self._unclaimed += 1
            raise

    def _fill(self) -> None:
        """Spawn as many as may run, without waiting for a place."""
        while (
            self._items is not None
            and (self._most is None or len(self._running) < self._most)
            and self._group._enter_now()
        ):
            self._spawn_next()

    def _spawn_next(self) -> None:
        """Spawn for the next item, after a place was taken; or note that there is none."""
        try:
            with self._feeding:  # What gives the items may wait.
                args = next(self._items or iter(()))  # Another consumer may have come to their end.
        except BaseException as end:
            self._group._leave()
            if not isinstance(end, Exception):
                raise
            self._items = None
            self._error = None if isinstance(end, StopIteration) else end
            return
        green = self._group._spawn_entered(self._function, args, {})
        self._running[green] = None
        self._unclaimed += 1
        self._note(green)

    def _note(self, green: Green) -> None:
        raise NotImplementedError

    def _wait_for_one(self) -> Green:
        """One that is done, after it was claimed. Switches."""
        raise NotImplementedError


class _Ordered(_Results):
    def __init__(self, *arguments: Any) -> None:
        self._order: deque[Green] = deque()
        super().__init__(*arguments)

    def _note(self, green: Green) -> None:
        self._order.append(green)

    def _wait_for_one(self) -> Green:
        green = self._order.popleft()
        try:
            green.join()
        except BaseException:
            self._order.appendleft(green)
            raise
        return green


class _Unordered(_Results):
    def __init__(self, *arguments: Any) -> None:
        self._arrivals = Arrivals()
        super().__init__(*arguments)

    def _note(self, green: Green) -> None:
        green.rawlink(self._arrivals.add)

    def _wait_for_one(self) -> Green:
        self._arrivals.wait()
        green: Green = self._arrivals.next()
        return green
