"""Event: a flag that greens and native threads can wait for.

Each that waits has a semaphore of its own, which set() releases. It is entered before the flag is
looked at, and the flag is set before the entries are read, so no thread can fall between the two.
"""

from __future__ import annotations

from green._core import Semaphore
from green.linked import Linked


class Event(Linked):
    """A flag, at first not set. wait() and iwait() of the package take it: ready is set."""

    def __init__(self) -> None:
        self._flag = False
        self._turns: dict[Semaphore, None] = {}  # In the order of their coming.

    def is_set(self) -> bool:
        """Is the flag set? Never switches."""
        return self._flag

    def set(self) -> None:
        """Set the flag and wake all who wait, in the order of their coming. Never switches."""
        self._flag = True
        for turn in list(self._turns):
            turn.release()
        self._tell_links()

    def clear(self) -> None:
        """Take the flag back. Those woken already return True all the same. Never switches."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set; False when it was not in `timeout` seconds.

        Switches, unless it is set already. ValueError: the timeout is negative.
        """
        if self._flag:
            return True
        turn = Semaphore(0)
        self._turns[turn] = None
        try:
            return self._flag or turn.acquire(timeout=timeout)
        finally:
            del self._turns[turn]

    def _is_ready(self) -> bool:
        return self._flag
