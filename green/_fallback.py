"""What a group of hooks falls back to, and what hooks alone do not do.

When this interpreter is not what the self-check of a group expects, names are replaced, as other
libraries of green threads do it. That reaches only code that looks a name up afterwards, so it is
remembered who had taken one before. The extension module calls this; nothing here is public.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from green import _core

# Of plain locks, which a Condition takes back by acquire().
_LOCK_TYPES = (_thread.LockType, _core.Lock)

# {group: names elsewhere that still mean what was replaced, as "module.name"}
taken_before: dict[str, list[str]] = {}


# What is missing without a group that nothing can be waited for in.
_MISSED = {
    "close": "close() does not wake those who wait for a descriptor",
    "mask": "the greens of a thread have one signal mask",
    "trace": "settrace_all_threads() misses greens that wait",
}


def fall_back(group: str, why: str) -> str:
    """Replaces what `group` would have hooked by name; says what was done, and why."""
    if group in _MISSED:
        return f"not patched, {_MISSED[group]} ({why})"
    replace = _FALLBACKS.get(group)
    if replace is None:
        return f"not patched, blocks the thread ({why})"
    _replaced.clear()
    names = replace()
    taken_before[group] = sorted(_holders(_replaced))
    return f"replaced by name: {names} ({why})"


def complete() -> None:
    """What hooks alone do not do; called once, when they are in place.

    A Condition's wait() that is ended by an exception has the lock again, as whoever leaves its
    `with` supposes. What is thrown while it takes a lock of ours back is raised at the next wait.

    Until 3.12 `threading` keeps the stand-in that current_thread() makes for a green for ever: here
    the green takes it along when it ends, as later versions do by themselves.
    """
    condition: Any = threading.Condition
    take_back = condition._acquire_restore

    def _acquire_restore(self: Any, state: Any) -> None:
        if isinstance(self._lock, _LOCK_TYPES):
            _core.take_back(self._lock)
        else:
            take_back(self, state)

    condition._acquire_restore = _acquire_restore
    if sys.version_info >= (3, 13):
        return
    dummy = threading._DummyThread
    original = dummy.__init__

    def __init__(self: threading._DummyThread) -> None:
        original(self)
        # In a green that may not wait just now as well.
        if _core.can_park() or _core.current_ident() != _core.thread_ident():
            _ends_with_the_green.dummy = _Forgetter(self)

    dummy.__init__ = __init__  # type: ignore[method-assign]


_ends_with_the_green = threading.local()


class _Forgetter:
    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread

    def __del__(self, active: Any = threading._active) -> None:  # type: ignore[attr-defined]
        if active.get(self.thread.ident) is self.thread:
            del active[self.thread.ident]


# --- What the groups fall back to. Each returns the names it has replaced.


def _natively(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _core.can_park():
            return function(*args, **kwargs)
        return _core.call_natively(function, *args, **kwargs)

    call.__name__, call.__doc__ = function.__name__, function.__doc__
    return call


def _replace(names: dict[str, Any], *modules: str) -> str:
    """Sets names in modules that have them and are imported, or are about to be."""
    for module in modules:
        for name, value in names.items():
            if hasattr(sys.modules.get(module), name):
                _replaced.append(getattr(sys.modules[module], name))
                setattr(sys.modules[module], name, value)
    return ", ".join(f"{modules[-1]}.{name}" for name in names)


_replaced: list[Any] = []  # By the fallback that runs.


def _holders(objects: Iterable[Any]) -> set[str]:
    """Names of modules, but for our own, that mean one of these."""
    wanted = {id(each) for each in objects}
    return {
        f"{module_name}.{name}"
        for module_name, module in list(sys.modules.items())
        if module_name.partition(".")[0] != "green"
        for name, value in list(getattr(module, "__dict__", {}).items())
        if id(value) in wanted
    }


def _sleep_by_name() -> str:
    import time

    original = time.sleep

    def sleep(seconds: float) -> None:
        if not _core.can_park():
            return original(seconds)
        if not seconds > 0:
            return original(seconds)  # Its own error for a negative length.
        _core.park(object(), seconds, False)
        return None

    return _replace({"sleep": sleep}, "time")


def _locks_by_name() -> str:
    from green import _by_name

    lock = _by_name.Lock
    threading._allocate_lock = lock  # type: ignore[attr-defined]
    return (
        _replace({"Lock": lock}, "threading")
        + ", "
        + _replace({"allocate_lock": lock, "allocate": lock}, "_thread")
    )


def _rlocks_by_name() -> str:
    # The one that is written in Python is made of a lock and get_ident().
    threading._CRLock = None  # type: ignore[attr-defined]
    names = {"get_ident": _core.current_ident}
    return "threading.RLock, " + _replace(names, "_thread", "threading")


def _queues_by_name() -> str:
    import queue

    names = {"SimpleQueue": queue._PySimpleQueue}  # type: ignore[attr-defined]
    return _replace(names, "_queue", "queue")


def _sockets_by_name() -> str:
    import socket

    from green import _by_name

    return _replace({"socket": _by_name.make_socket_class(socket.socket)}, "socket")


def _names_by_name() -> str:
    import _socket
    import socket  # noqa: F401  (it holds the same names)

    names = ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"]
    return _replace(
        {name: _natively(getattr(_socket, name)) for name in names}, "_socket", "socket"
    )


def _select_by_name() -> str:
    import select

    return _replace({"select": _natively(select.select)}, "select")


def _processes_by_name() -> str:
    import os

    names = ["waitpid", "wait", "wait3", "wait4", "waitid", "system"]
    return _replace({name: _natively(getattr(os, name)) for name in names}, "posix", "os")


def _descriptors_by_name() -> str:
    import os

    names = ["read", "readv", "write", "writev"]
    return _replace({name: _natively(getattr(os, name)) for name in names}, "posix", "os")


_FALLBACKS: dict[str, Callable[[], str]] = {
    "sleep": _sleep_by_name,
    "lock": _locks_by_name,
    "rlock": _rlocks_by_name,
    "queue": _queues_by_name,
    "socket": _sockets_by_name,
    "names": _names_by_name,
    "select": _select_by_name,
    "process": _processes_by_name,
    "descriptor": _descriptors_by_name,
}
