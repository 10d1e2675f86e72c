"""Something to do with a module as soon as it is imported, whoever imports it, or now if it is.

For what a library has to be told that the program may never import. A finder in front of the
others lets them find the module, and its loader's part is only to be there when it has been
executed: the real one is the module's before that.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec


def when_imported(name: str, function: Callable[[ModuleType], None]) -> None:
    """Calls function(module) once: now, or by whoever imports it, right after its code has run.

    Asked for the same a second time it does nothing.
    """
    if (name, function) in _asked:
        return
    _asked.add((name, function))
    if name in sys.modules:
        function(importlib.import_module(name))  # Which waits for a thread that is still at it.
    else:
        sys.meta_path.insert(0, _Finder(name, function))


_asked: set[tuple[str, Callable[[ModuleType], None]]] = set()


class _Finder:
    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._function = function

    def __repr__(self) -> str:
        return f"<greenwsgi's finder of {self._name}>"

    def find_spec(
        self, fullname: str, path: Any, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        place = sys.meta_path.index(self) if self in sys.meta_path else -1
        for finder in sys.meta_path[place + 1 :]:  # Those in front have been asked.
            find = getattr(finder, "find_spec", None)  # It may be older than PEP 451.
            spec: ModuleSpec | None = find(fullname, path, target) if find is not None else None
            if spec is not None:
                spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None

    def imported(self, module: ModuleType) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            self._function(module)


class _Loader:
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
        self._finder.imported(module)
