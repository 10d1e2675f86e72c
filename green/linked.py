"""What can be waited for: the small protocol of wait(), iwait() and their kin.

An object takes part when it has two methods:

  rawlink(callback)  call callback(object) once, as soon as the object is ready, or now if it is;
                     whoever makes it ready calls it, on any thread and stack, so it must not wait
  unlink(callback)   take that back; nothing happens when it was called already

Green, Semaphore and the queues have them from the extension module; here they are for objects in
Python. The callback is entered before the object is looked at, and the object is ready before the
entries are read, so no thread can fall between the two; whoever takes an entry out calls it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from green._core import report_exception


class Waitable(Protocol):
    """Whatever wait() takes."""

    def rawlink(self, callback: Callable[[Any], object], /) -> None: ...
    def unlink(self, callback: Callable[[Any], object], /) -> None: ...


class Linked:
    """The protocol for a class that has _is_ready(), and calls _tell_links() when it becomes so."""

    # By a key of each link's own. Made when the first one comes.
    _links: dict[object, Callable[[Any], object]] | None = None

    def rawlink(self, callback: Callable[[Any], object], /) -> None:
        """Call callback(self) once, as soon as this is ready, on the stack of who makes it so.

        The callback may be called on any thread and must not wait; its exception is reported.
        """
        if not callable(callback):
            raise TypeError(f"a link must be callable, not {type(callback).__name__}")
        links = self.__dict__.setdefault("_links", {})  # One, whichever threads come first.
        links[object()] = callback
        if self._is_ready():
            self._tell_links()

    def unlink(self, callback: Callable[[Any], object], /) -> None:
        """Take one rawlink() of `callback` back; nothing happens when there is none."""
        links = self._links or {}
        for key in list(links):
            if links.get(key) == callback and links.pop(key, None) is not None:
                return

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _tell_links(self) -> None:
        links = self._links
        if not links:
            return
        for key in list(links):
            callback = links.pop(key, None)
            if callback is None:
                continue  # Somebody else has called it, or taken it back.
            try:
                callback(self)
            except BaseException:
                report_exception("a link", callback)
