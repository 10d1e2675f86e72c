"""Calls that must block, on native threads, while greens wait cooperatively.

For C libraries that wait by themselves and for long computations that let go of the GIL. One pool
of threads serves call(), Proxy and green.NativePoolExecutor; they start when needed, end when idle
for some seconds, and hold up nobody's exit. The child of a fork starts with none.
"""

from __future__ import annotations

import contextvars
import copy
import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

from green._core import native_call, set_native_limits

__all__ = ["Proxy", "call", "set_size"]


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call function(*args, **kwargs) on a native thread; return its value, or raise its exception.

    It sees the caller's context variables. More calls than the pool has threads wait for one, in
    turn. On a thread without greens, and on the pool's own threads, the function is called in
    place. Switches; when the green is killed meanwhile, a call that has begun goes on and nobody
    learns what it returns.
    """
    return native_call(contextvars.copy_context().run, function, *args, **kwargs)


def set_size(threads: int, idle_seconds: float = 5.0) -> None:
    """At most so many native threads, at first 20; each ends when idle for `idle_seconds`.

    Those above a smaller size end when their call does. Never switches. ValueError: less than one
    thread, or a negative time.
    """
    set_native_limits(threads, idle_seconds)


# --- Proxy


class Proxy:
    """Stands for `obj`: its methods, operators and iteration run as by call().

    Attributes that cannot be called are read and set in place. Results that are `obj` itself, or
    of a type in `autowrap`, or come from a method named in `autowrap_names`, become proxies too.
    The vocabulary is that of eventlet's tpool.Proxy.
    """

    def __init__(
        self,
        obj: Any,
        autowrap: type | Iterable[type] = (),
        autowrap_names: Iterable[str] = (),
    ) -> None:
        types = (autowrap,) if isinstance(autowrap, type) else tuple(autowrap)
        for each in types:
            if not isinstance(each, type):
                raise TypeError(f"autowrap takes types, not {type(each).__name__}")
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_autowrap", types)
        object.__setattr__(self, "_autowrap_names", frozenset(autowrap_names))

    def __getattr__(self, name: str) -> Any:
        if name in ("_obj", "_autowrap", "_autowrap_names"):  # One that is being unpickled.
            raise AttributeError(name)
        value = getattr(self._obj, name)
        if not callable(value):
            return self._wrapped(value, name)

        @functools.wraps(value, updated=())
        def method(*args: Any, **kwargs: Any) -> Any:
            return self._wrapped(call(value, *args, **kwargs), name)

        return method

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._obj, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._obj, name)

    def __dir__(self) -> Iterable[str]:
        return dir(self._obj)

    def _wrapped(self, value: Any, name: str) -> Any:
        if value is self._obj:
            return self
        if isinstance(value, self._autowrap) or name in self._autowrap_names:
            return Proxy(value, self._autowrap, self._autowrap_names)
        return value


# Operators do not go through __getattr__. These look for the method as the interpreter does.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "__bool__": bool,
    "__call__": lambda obj, *args, **kwargs: obj(*args, **kwargs),
    "__contains__": operator.contains,
    "__copy__": copy.copy,
    "__deepcopy__": copy.deepcopy,
    "__delitem__": operator.delitem,
    "__enter__": lambda obj: type(obj).__enter__(obj),
    "__eq__": operator.eq,
    "__exit__": lambda obj, *args: type(obj).__exit__(obj, *args),
    "__ge__": operator.ge,
    "__getitem__": operator.getitem,
    "__gt__": operator.gt,
    "__hash__": hash,
    "__iter__": iter,
    "__le__": operator.le,
    "__len__": len,
    "__lt__": operator.lt,
    "__ne__": operator.ne,
    "__next__": next,
    "__repr__": repr,
    "__setitem__": operator.setitem,
    "__str__": str,
}
_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow")
_BITWISE = ("and", "or", "xor", "lshift", "rshift")


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda obj, other: function(other, obj)


for _name in _ARITHMETIC + _BITWISE:
    _OPERATORS[f"__{_name}__"] = _function = getattr(operator, f"__{_name}__")
    _OPERATORS[f"__r{_name}__"] = _reflected(_function)
    _OPERATORS[f"__i{_name}__"] = getattr(operator, f"__i{_name}__")
for _name in ("__neg__", "__pos__", "__abs__", "__invert__"):
    _OPERATORS[_name] = getattr(operator, _name)

# What the interpreter takes from nobody but the type itself.
_PLAIN = frozenset({"__bool__", "__contains__", "__hash__", "__len__", "__repr__", "__str__"})
_STAY_PROXIES = frozenset({"__copy__", "__deepcopy__", "__iter__"})


def _operator(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
        value = call(function, self._obj, *args, **kwargs)
        if name in _PLAIN:
            return value
        value = self._wrapped(value, name)
        if name in _STAY_PROXIES and not isinstance(value, Proxy):
            return Proxy(value, self._autowrap, self._autowrap_names)
        return value

    method.__name__ = name
    return method


for _name, _function in _OPERATORS.items():
    setattr(Proxy, _name, _operator(_name, _function))
