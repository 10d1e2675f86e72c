"""Green threads for CPython, and the WSGI server that runs every call in one."""

import sys
from typing import TYPE_CHECKING, Any

if "t" in sys.abiflags:  # Before the extension module, whose import would turn the GIL on.
    raise ImportError(
        "green needs a CPython with a GIL, and this is a free-threaded build: use the ordinary one"
    )

from green import _at_end, native
from green._blocking import blocking, original
from green._core import Green, GreenExit, Timeout, getcurrent, sleep, spawn, spawn_later
from green._version import __version__
from green.async_result import AsyncResult
from green.event import Event
from green.group import Group, Pool
from green.lock import Condition, Lock, RLock
from green.patch import import_patched, is_monkey_patched, monkey_patch, patch_report
from green.queue import Channel, JoinableQueue, LifoQueue, PriorityQueue, Queue, ShutDown
from green.semaphore import BoundedSemaphore, Semaphore
from green.tracing import start_from_environment, trace
from green.waiting import iwait, joinall, killall, wait, with_timeout

if TYPE_CHECKING:
    from green.executor import NativePoolExecutor
else:

    def __getattr__(name: str) -> Any:
        # concurrent.futures brings logging along: only for those who ask for the executor.
        if name != "NativePoolExecutor":
            raise AttributeError(f"module 'green' has no attribute {name!r}")
        from green.executor import NativePoolExecutor

        return NativePoolExecutor


__all__ = [
    "AsyncResult",
    "BoundedSemaphore",
    "Channel",
    "Condition",
    "Event",
    "Green",
    "GreenExit",
    "Group",
    "JoinableQueue",
    "LifoQueue",
    "Lock",
    "NativePoolExecutor",
    "Pool",
    "PriorityQueue",
    "Queue",
    "RLock",
    "Semaphore",
    "ShutDown",
    "Timeout",
    "__version__",
    "blocking",
    "getcurrent",
    "import_patched",
    "is_monkey_patched",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "monkey_patch",
    "native",
    "original",
    "patch_report",
    "sleep",
    "spawn",
    "spawn_later",
    "trace",
    "wait",
    "with_timeout",
]


def kill(green: Green, exception: type[BaseException] | BaseException = GreenExit) -> None:
    """Raise `exception` in `green`, where it waits; one that has not started never will.

    TypeError: it is no green.
    """
    if not isinstance(green, Green):
        raise TypeError(f"cannot kill {green!r}: it is no green")
    green.kill(exception)


_at_end.install()
start_from_environment()
