"""The neutral layer: what scenarios need of a green-thread package, for green, gevent and eventlet.

Each package is used as its documentation says. What one of them does not have raises Missing, which
the table shows as "none" and not as a failure. Imports no runtime before choose().
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

RUNTIMES = ("green", "gevent", "eventlet")
runtime = ""
package: Any = None


class Missing(Exception):
    """The runtime has nothing of the kind."""


def choose(name: str) -> None:
    """From here on the scenarios run on `name`, which is imported, but patches nothing."""
    global runtime, package
    assert name in RUNTIMES
    runtime = name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of eventlet, that it is old.
        package = importlib.import_module(name)


def patch(*, stdio: bool = False) -> None:
    """Patches all that the runtime patches; with `stdio` the standard streams as well."""
    if runtime == "gevent":
        from gevent import monkey

        monkey.patch_all(sys=stdio)
    else:
        package.monkey_patch()


def program(path: str, *arguments: str) -> list[str]:
    """The command that runs a program under the patch, without a change to the program."""
    if runtime == "eventlet":
        raise Missing("no command that patches a program")
    module = {"green": "green", "gevent": "gevent.monkey"}[runtime]
    return [sys.executable, "-P", "-m", module, path, *arguments]


# --- Green threads


def spawn(function: Callable[..., Any], *arguments: Any) -> Any:
    return package.spawn(function, *arguments)


def spawn_later(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    name = "spawn_after" if runtime == "eventlet" else "spawn_later"
    return getattr(package, name)(seconds, function, *arguments)


def result(green: Any) -> Any:
    """Waits for the end; its value, or raises what ended it."""
    return green.wait() if runtime == "eventlet" else green.get()


def kill(green: Any) -> None:
    """Ends a green thread, and waits until it has ended."""
    if runtime == "green":
        green.kill(block=True)
    else:
        green.kill()


def join(green: Any) -> None:
    """Waits for the end, however it comes."""
    if runtime == "green":
        green.join()
    elif runtime == "gevent":
        package.joinall([green])
    else:
        with contextlib.suppress(Exception, importlib.import_module("greenlet").GreenletExit):
            green.wait()


def sleep(seconds: float = 0) -> None:
    package.sleep(seconds)


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Calls each in a green thread of its own, all at once; what they return."""
    greens = [spawn(function) for function in functions]
    return [result(green) for green in greens]


def pool_map(size: int, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """Through the runtime's own pool of `size` green threads."""
    if runtime == "eventlet":
        return list(package.GreenPool(size).imap(function, items))
    module = importlib.import_module("gevent.pool") if runtime == "gevent" else package
    return list(module.Pool(size).map(function, items))


def timeout(seconds: float) -> Any:
    """A context manager that raises itself; an instance of layer.Timeout()."""
    return package.Timeout(seconds)


def current() -> Any:
    return package.getcurrent()


def frame_of(green: Any) -> Any:
    """The innermost frame of a green thread that waits."""
    return green.frame if runtime == "green" else green.gr_frame


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exceptions that end green threads are not printed meanwhile, where that can be chosen."""
    if runtime != "gevent":
        yield
        return
    hub = package.get_hub()
    before, hub.exception_stream = hub.exception_stream, None
    try:
        yield
    finally:
        hub.exception_stream = before


# --- Native threads


class NativeThread:
    """A thread of the system that runs function(*arguments), however it must be had."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.done = False
        self.error: BaseException | None = None

        def body() -> None:
            try:
                function(*arguments)
            except BaseException as error:
                self.error = error
            self.done = True

        if runtime == "gevent":
            from gevent.threadpool import ThreadPool

            self._thread: Any = ThreadPool(1)
            self._thread.spawn(body)
        elif runtime == "eventlet":
            thread = importlib.import_module("eventlet.patcher").original("threading").Thread
            self._thread = thread(target=body, daemon=True)
            self._thread.start()
        else:
            import threading

            self._thread = threading.Thread(target=body, daemon=True)
            with package.blocking():
                self._thread.start()

    def join(self) -> None:
        """Waits cooperatively; raises what it raised."""
        while not self.done:
            sleep(0.002)
        if self.error is not None:
            raise self.error


def native_sleep(seconds: float) -> None:
    """On a native thread: what time.sleep() does there unpatched."""
    if runtime == "gevent":
        from gevent.monkey import get_original

        get_original("time", "sleep")(seconds)
    elif runtime == "eventlet":
        importlib.import_module("eventlet.patcher").original("time").sleep(seconds)
    else:
        with package.blocking():
            import time

            time.sleep(seconds)


def in_pool(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls it on a native thread of the runtime's pool, and waits cooperatively."""
    if runtime == "gevent":
        return package.get_hub().threadpool.apply(function, arguments)
    if runtime == "eventlet":
        return importlib.import_module("eventlet.tpool").execute(function, *arguments)
    return package.native.call(function, *arguments)


# --- Looking inside


def early_report() -> str:
    """What was imported before the patch, and whether it matters."""
    if runtime != "green":
        raise Missing("no report of what was imported too early")
    return str(package.patch_report())


def dump() -> str:
    """Every green thread, as text."""
    if runtime == "green":
        from green import debug

        return debug.format_greens()
    if runtime == "gevent":
        from gevent.util import format_run_info

        return "\n".join(format_run_info())
    raise Missing("no list of green threads")


def dump_on_signal(number: int) -> None:
    """The signal makes the runtime print every green thread to the standard error."""
    if runtime == "green":
        from green import debug

        debug.on_signal(number)
    elif runtime == "gevent":
        from gevent.util import print_run_info

        package.signal_handler(number, print_run_info)
    else:
        raise Missing("no list of green threads")


def deadlock() -> str:
    """For the main program, when it has nothing to do: who waits for whom for ever, as text."""
    if runtime == "green":
        from green import debug

        return "\n".join(map(str, debug.deadlock()))
    if runtime == "gevent":
        try:
            package.get_hub().join()  # Returns, or raises LoopExit, when nothing can happen.
        except package.exceptions.LoopExit as error:
            return f"{error}\n{dump()}"
        return dump()
    raise Missing("no detection of deadlocks")


def watch_hub(seconds: float) -> None:
    """Whoever blocks the hub for so long is reported to the standard error."""
    if runtime == "green":
        from green import debug

        debug.watch_hub(seconds)
    elif runtime == "gevent":
        package.config.monitor_thread = True
        package.config.max_blocking_time = seconds
        package.get_hub().start_periodic_monitoring_thread()
    else:
        importlib.import_module("eventlet.debug").hub_blocking_detection(True, seconds)
