"""AsyncResult: a value or an exception that one will set and others wait for."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import Any

from green._core import Semaphore, Timeout
from green.event import Event
from green.linked import Linked


class AsyncResult(Linked):
    """What one green or thread will know later. It is set once; wait() and iwait() take it."""

    def __init__(self) -> None:
        self._done = Event()
        self._to_be_set = Semaphore(1)  # Taken by whoever sets it.
        self._value: Any = None
        self._exception: BaseException | None = None
        self._traceback: TracebackType | None = None

    def ready(self) -> bool:
        """Has it been set? Never switches."""
        return self._done.is_set()

    def set(self, value: Any = None) -> None:
        """Give all who wait, and will, `value`. RuntimeError when it was set. Never switches."""
        self._claim()
        self._value = value
        self._done.set()
        self._tell_links()

    def set_exception(self, exception: BaseException) -> None:
        """Raise `exception` in all who wait, and will. RuntimeError as set(). Never switches."""
        if not isinstance(exception, BaseException):
            raise TypeError(f"set_exception: {exception!r} is not an exception")
        self._claim()
        self._exception = exception
        self._traceback = exception.__traceback__  # Each get() would make it longer.
        self._done.set()
        self._tell_links()

    def get(self, timeout: float | None = None) -> Any:
        """The value, or raises the exception; Timeout when it is not set in `timeout` seconds.

        Switches, unless it is set already. ValueError: the timeout is negative.
        """
        if not self._done.wait(timeout):
            assert timeout is not None
            raise Timeout.unstarted(timeout)
        if self._exception is not None:
            raise self._exception.with_traceback(self._traceback)
        return self._value

    def __await__(self) -> Generator[Any, Any, Any]:
        """In a coroutine: get(), while its asyncio loop goes on."""
        from green._awaiting import result_of

        return result_of(self)

    def _is_ready(self) -> bool:
        return self._done.is_set()

    def _claim(self) -> None:
        if not self._to_be_set.acquire(blocking=False):
            raise RuntimeError("the result has been set already")
