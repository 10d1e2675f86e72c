"""psycopg2, whose C library waits for itself unless it is given a wait callback.

Importing psycopg2 is the program's choice, so this waits for it: a finder in front of the others
lets them find `psycopg2.extensions`, and gives the module its callback once it has been executed.
"""

from __future__ import annotations

import importlib
import select
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from green import _core

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_MODULE = "psycopg2.extensions"


def cooperate() -> None:
    """Gives psycopg2 its callback, now or when it is imported; once. One of the user's own stays.

    From then on psycopg2 refuses COPY and large objects, as it does with every wait callback.
    """
    global _prepared
    if _prepared:
        return
    _prepared = True
    if _MODULE in sys.modules:
        _give_callback(
            importlib.import_module(_MODULE)
        )  # Which waits for a thread that imports it.
    else:
        sys.meta_path.insert(0, _Finder())


def is_prepared() -> bool:
    """Has psycopg2 its callback, or will it get it?"""
    return _prepared


def wait(connection: Any) -> None:
    """Waits for what the connection's poll() asks for. Switches; blocks a native thread.

    What is raised here (Timeout, GreenExit, KeyboardInterrupt) makes psycopg2 close the connection.
    """
    extensions = sys.modules[_MODULE]
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in events:
            raise sys.modules["psycopg2"].OperationalError(f"poll() of a connection gave {state}")
        _wait_for(connection.fileno(), events[state])


def _wait_for(fd: int, events: int) -> None:
    if _core.can_park():
        _core.wait_fd(fd, events, None)
        return
    poll = select.poll()
    poll.register(fd, events)
    poll.poll()


_prepared = False


def _give_callback(extensions: ModuleType) -> None:
    if extensions.get_wait_callback() is None:
        extensions.set_wait_callback(wait)


class _Finder:
    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Steps aside for the real one as soon as it has executed the module."""

    def __init__(self, real: Any, finder: _Finder) -> None:
        self._real = real
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._real.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._real
        self._real.exec_module(module)
        _give_callback(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
