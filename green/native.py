"""Calls that must block, on native threads, while greens wait cooperatively.

For C libraries that wait by themselves and for long computations that let go of the GIL. One pool
of threads serves call(), Proxy and NativePoolExecutor; they start when needed, end when idle for
some seconds, and hold up nobody's exit. The child of a fork starts with none.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import copy
import functools
import operator
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from green import _core
from green.event import Event
from green.linked import Linked

__all__ = ["NativePoolExecutor", "Proxy", "call", "set_size"]


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call function(*args, **kwargs) on a native thread; return its value, or raise its exception.

    It sees the caller's context variables. More calls than the pool has threads wait for one, in
    turn. On a thread without greens, and on the pool's own threads, the function is called in
    place. Switches; when the green is killed meanwhile, a call that has begun goes on and nobody
    learns what it returns.
    """
    return _core.native_call(contextvars.copy_context().run, function, *args, **kwargs)


def set_size(threads: int, idle_seconds: float = 5.0) -> None:
    """At most so many native threads, at first 20; each ends when idle for `idle_seconds`.

    Those above a smaller size end when their call does. Never switches. ValueError: less than one
    thread, or a negative time.
    """
    _core.set_native_limits(threads, idle_seconds)


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
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_autowrap", types)
        object.__setattr__(self, "_autowrap_names", frozenset(autowrap_names))

    def __getattr__(self, name: str) -> Any:
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
_STAY_PROXIES = frozenset({"__copy__", "__deepcopy__", "__iter__"})


def _operator(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Proxy, /, *args: Any, **kwargs: Any) -> Any:
        value = self._wrapped(call(function, self._obj, *args, **kwargs), name)
        if name in _STAY_PROXIES and not isinstance(value, Proxy):
            return Proxy(value, self._autowrap, self._autowrap_names)
        return value

    method.__name__ = name
    return method


for _name, _function in _OPERATORS.items():
    setattr(Proxy, _name, _operator(_name, _function))


# --- The executor


class NativeFuture(Linked, concurrent.futures.Future[Any]):
    """A Future whose result() and exception() wait cooperatively; wait() and iwait() take it."""

    def __init__(self) -> None:
        super().__init__()
        self._finished = Event()
        self.add_done_callback(_finish)

    def result(self, timeout: float | None = None) -> Any:
        """As concurrent.futures has it. Switches, unless it is done."""
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As concurrent.futures has it. Switches, unless it is done."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        # A time in the past is no time there, and no error.
        if not self._finished.wait(None if timeout is None else max(0.0, timeout)):
            raise concurrent.futures.TimeoutError

    def _is_ready(self) -> bool:
        return self._finished.is_set()


def _finish(future: Any) -> None:
    future._finished.set()
    future._tell_links()


class _Work:
    """One submitted call."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.future = NativeFuture()
        self._call = (function, args, kwargs)

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        function, args, kwargs = self._call
        del self._call
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            self.future.set_exception(error)
        else:
            self.future.set_result(value)


class NativePoolExecutor(concurrent.futures.Executor):
    """A concurrent.futures.Executor over the pool of native threads, for greens and threads.

    `max_workers`: at most so many of its calls at once, within the size of the pool; None: no
    limit of its own. Whatever has not ended when the interpreter exits is left behind: leave a
    with-block, or call shutdown(), to wait for it. ValueError: less than one worker.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"an executor needs one worker at least, not {max_workers}")
        self._max_workers = max_workers
        self._ended = False
        self._begin()

    def submit(
        self, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> concurrent.futures.Future[Any]:
        """Have function(*args, **kwargs) called; its future. RuntimeError after shutdown()."""
        self._begin_after_fork()
        work = _Work(function, args, kwargs)
        with self._lock:
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._pending[work.future] = None
            self._queue.append(work)
            try:
                self._start_next()
            except BaseException:  # No thread can be started, and none is there.
                self._queue.remove(work)
                del self._pending[work.future]
                raise
        work.future.add_done_callback(self._forget)
        return work.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; `cancel_futures`: and drop those that have not begun.

        `wait`: until those that have are done; then it may switch.
        """
        self._begin_after_fork()
        with self._lock:
            self._ended = True
        pending = list(self._pending)
        for future in pending:
            if cancel_futures:
                future.cancel()
        for future in pending:
            if wait:
                future._finished.wait()

    def _begin(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.Lock()  # For what follows; nobody waits while holding it.
        self._queue: deque[_Work] = deque()  # Not given to the pool yet.
        self._active = 0  # Given to the pool.
        self._pending: dict[NativeFuture, None] = {}

    def _begin_after_fork(self) -> None:
        if os.getpid() != self._owner:
            self._begin()  # The parent's calls are the parent's.

    def _start_next(self) -> None:
        if self._queue and (self._max_workers is None or self._active < self._max_workers):
            _core.native_start(self._run, self._queue[0])
            self._queue.popleft()
            self._active += 1

    def _run(self, work: _Work) -> None:
        try:
            work.run()
        finally:
            with self._lock:
                self._active -= 1
                self._start_next()

    def _forget(self, future: Any) -> None:
        self._pending.pop(future, None)
