"""The handle of a thread that runs in a green; what `_thread._ThreadHandle` is for a native one.

From CPython 3.13 on `threading.Thread` asks its handle whether the thread has ended, and joins it.
"""

from __future__ import annotations

import os
import threading
from _thread import LockType


class ThreadHandle:
    """The end of one thread: the release of `lock`, by the green that runs it."""

    def __init__(self, lock: LockType) -> None:
        self._lock = lock
        self._process = os.getpid()
        self.ident: int | None = None

    def is_done(self) -> bool:
        """Has the thread ended? In the child of a fork all have but the one that forked."""
        if not self._lock.locked():
            return True
        return os.getpid() != self._process and self.ident != threading.get_ident()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end, or for `timeout` seconds. RuntimeError: the caller's own. Switches."""
        if self.is_done():
            return
        if self.ident == threading.get_ident():
            raise RuntimeError("Cannot join current thread")
        if self._lock.acquire(timeout=-1 if timeout is None or timeout < 0 else timeout):
            self._lock.release()

    def _set_done(self) -> None:
        if self._lock.locked():
            self._lock.release()
