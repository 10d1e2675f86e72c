"""Stand-ins for what could not be hooked in place: a lock and a socket class that cooperate.

They are slower than the hooks and reach only code that finds them by name, so nothing uses them
unless a self-check has failed (green._fallback). Each does what its original does when the caller
cannot wait cooperatively.
"""

from __future__ import annotations

import _thread
import errno
import os
import select
import socket
import time
from typing import Any

from green import _core

_allocate = _thread.allocate_lock


class Lock:
    """A `threading.Lock` over the original one, which it asks without waiting."""

    def __init__(self) -> None:
        self._lock = _allocate()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if not blocking or timeout == 0 or timeout < -1 or not _core.can_park():
            return self._lock.acquire(blocking, timeout)
        end = None if timeout == -1 else time.monotonic() + timeout
        front = False
        while not self._lock.acquire(False):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not _core.park(self, left, front):
                return self._lock.acquire(False)
            front = True
        return True

    def release(self) -> None:
        self._lock.release()
        _core.unpark(self)

    def locked(self) -> bool:
        return self._lock.locked()

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()  # type: ignore[attr-defined]

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    acquire_lock, release_lock, locked_lock = acquire, release, locked


def _waiting(name: str, events: int, flags_at: int | None) -> Any:
    """A method that waits for readiness, then calls the original one without waiting."""

    def method(self: socket.socket, *args: Any) -> Any:
        original = getattr(super(type(self)._cooperative, self), name)  # type: ignore[attr-defined]
        timeout = self.gettimeout()
        if timeout == 0 or not _core.can_park():
            return original(*args)
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not _core.wait_fd(self.fileno(), events, left):
                raise TimeoutError("timed out")
            if flags_at is None:
                return original(*args)
            try:
                return original(*_with_dontwait(args, flags_at))
            except BlockingIOError:
                continue

    method.__name__ = name
    return method


def _with_dontwait(args: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    flags = args[at] if len(args) > at else 0
    padded = args[:at] + (0,) * (at - len(args))
    return (*padded, flags | socket.MSG_DONTWAIT, *args[at + 1 :])


def make_socket_class(base: type[socket.socket]) -> type[socket.socket]:
    """A subclass of `base` whose blocking methods cooperate."""

    class CooperativeSocket(base):  # type: ignore[valid-type, misc]
        __slots__ = ()

        recv = _waiting("recv", select.POLLIN, 1)
        recv_into = _waiting("recv_into", select.POLLIN, 2)
        recvfrom = _waiting("recvfrom", select.POLLIN, 1)
        recvfrom_into = _waiting("recvfrom_into", select.POLLIN, 2)
        recvmsg = _waiting("recvmsg", select.POLLIN, 2)
        _accept = _waiting("_accept", select.POLLIN, None)
        send = _waiting("send", select.POLLOUT, 1)

        def sendall(self, data: Any, flags: int = 0) -> None:
            with memoryview(data) as view, view.cast("B") as rest:
                sent = 0
                while sent < len(rest):
                    sent += self.send(rest[sent:], flags)

        def connect(self, address: Any) -> None:
            error = self.connect_ex(address)
            if error == errno.EAGAIN and self.gettimeout():
                raise TimeoutError("timed out")
            if error:
                raise OSError(error, os.strerror(error))

        def connect_ex(self, address: Any) -> int:
            timeout = self.gettimeout()
            error: int
            if timeout == 0 or not _core.can_park():
                error = super().connect_ex(address)
                return error
            self.settimeout(0)
            try:
                error = super().connect_ex(address)
            finally:
                self.settimeout(timeout)
            if error != errno.EINPROGRESS:
                return error
            if not _core.wait_fd(self.fileno(), select.POLLOUT, timeout):
                return errno.EAGAIN  # As the original says that its time is over.
            error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return error

    CooperativeSocket._cooperative = CooperativeSocket
    CooperativeSocket.__name__ = CooperativeSocket.__qualname__ = base.__name__
    return CooperativeSocket
