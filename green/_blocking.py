"""Blocking on purpose: scopes and modules in which patched functions block the thread.

In-place hooks are shared by whoever calls a function, so "the original" is not another function
but another way to call it: from a scope that the hooks ask for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import types
from collections.abc import Callable
from typing import Any

from green import _core


class blocking(contextlib.ContextDecorator):
    """`with blocking():`, or `@blocking()` on a function: what is called inside blocks the thread.

    Patched functions do what they do unpatched, and so do the semaphores, events and queues of this
    package, as on a native thread: no other green of this thread runs meanwhile, and waiting for
    one never ends. What only greens can do (sleep, join) still switches. It holds for the green
    that enters it, not for those that it spawns. Scopes nest; leaving one in another green than the
    one that entered it is a RuntimeError. Entering and leaving never switch.
    """

    def __enter__(self) -> None:
        _core.enter_blocking()

    def __exit__(self, *exception: object) -> None:
        _core.leave_blocking()


def original(name: str) -> Any:
    """The module `name`, but its functions block the thread, as unpatched; never switches.

    Its functions run in a blocking() scope, and get_ident() tells the native thread. Everything
    else in it is the module's own: its classes are the same ones, and their objects' methods switch
    in a green, and block a native thread or in a blocking() scope, whoever made them. What a
    function returns to be run later (an iterator, a coroutine) runs where it is used. The same
    object for the same name. ImportError: there is no such module.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a module is a str, not {type(name).__name__}")
    module = importlib.import_module(name)
    if name not in _originals or _originals[name].__wrapped__ is not module:
        _originals[name] = _Original(module)
    return _originals[name]


class _Original(types.ModuleType):
    __wrapped__: types.ModuleType

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__wrapped__ = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__wrapped__, name)
        if name == "get_ident" and self.__name__ in ("threading", "_thread"):
            return _core.thread_ident
        return _blocking_version(value) if isinstance(value, _FUNCTIONS) else value

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)


_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_originals: dict[str, _Original] = {}


@functools.cache
def _blocking_version(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with blocking():
            return function(*arguments, **keywords)

    return call
