"""NativePoolExecutor: concurrent.futures over the pool of native threads.

Futures are set by the thread that makes the call, so they need no green to run meanwhile; who waits
for one waits for its event, which is set when the future is done.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from green import _arguments
from green._core import native_start
from green.event import Event
from green.linked import Linked


class NativeFuture(Linked, concurrent.futures.Future[Any]):
    """A Future whose result() and exception() wait cooperatively; wait() and iwait() take it."""

    def __init__(self) -> None:
        super().__init__()
        self._finished = Event()
        self.add_done_callback(_finish)

    def result(self, timeout: float | None = None) -> Any:
        """As concurrent.futures has it. Switches, unless it is done."""
        try:
            self._wait(timeout)
            return super().result(0)
        finally:
            del self  # Else the exception's frames keep it, and it the exception.

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As concurrent.futures has it. Switches, unless it is done."""
        self._wait(timeout)
        return super().exception(0)

    def _wait(self, timeout: float | None) -> None:
        if not self._finished.wait(None if timeout is None else _arguments.patience(timeout)):
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
            del self, function, args, kwargs  # Which the exception's frames would keep for long.
        else:
            self.future.set_result(value)


class NativePoolExecutor(concurrent.futures.Executor):
    """A concurrent.futures.Executor over the pool of native threads, for greens and threads.

    `max_workers`: at most so many of its calls at once, within the size of the pool; None: no
    limit of its own. Whatever has not ended when the interpreter exits is left behind: leave a
    with-block, or call shutdown(), to wait for it. ValueError: less than one worker.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        if max_workers is not None:
            _arguments.count(max_workers, 1, "an executor needs one worker at least")
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
            native_start(self._run, self._queue[0])
            self._queue.popleft()
            self._active += 1

    def _run(self, work: _Work) -> None:
        try:
            work.run()
        finally:
            del work  # As in run().
            with self._lock:
                self._active -= 1
                self._start_next()

    def _forget(self, future: Any) -> None:
        self._pending.pop(future, None)
