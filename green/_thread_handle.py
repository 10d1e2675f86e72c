"""The handle of a thread that runs in a green; what `_thread._ThreadHandle` is for a native one.

From CPython 3.13 on `threading.Thread` asks its handle whether the thread has ended, and joins it.
In the child of a fork the interpreter marks every handle of its own as ended but that of the native
thread that forked, so that the green that forked needs another.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from _thread import LockType
from typing import Any


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
        return os.getpid() != self._process

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


def cooperate_with_fork() -> None:
    """From now on a green that forks is the main thread of the child, alive; once."""
    global _prepared
    if not _prepared and hasattr(_thread, "_make_thread_handle"):
        # What threading makes in the child for a thread that it does not know is the native one's.
        os.register_at_fork(before=threading.current_thread, after_in_child=_begin_child)
    _prepared = True


_prepared = False


def _begin_child() -> None:
    main: Any = threading.main_thread()
    name = "_os_thread_handle" if sys.version_info >= (3, 14) else "_handle"
    if main.ident != threading.get_ident() or not getattr(main, name).is_done():
        return
    lock = _thread.allocate_lock()
    lock.acquire()
    handle = ThreadHandle(lock)
    handle.ident = main.ident
    setattr(main, name, handle)
    _keep(main)


def _keep(main: threading.Thread) -> None:
    """No end of the green takes it out of threading.enumerate(): the main thread has no such end.

    The object that would, one for each thread that threading had not started, could at the
    interpreter's end only fail.
    """
    local: Any = getattr(threading, "_thread_local_info", None)
    remover = getattr(local, "_track_dummy_thread_ref", None)
    if remover is not None and remover._dummy_thread is main:
        remover._dummy_thread = None
        del local._track_dummy_thread_ref
