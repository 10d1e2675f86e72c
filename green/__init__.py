"""Green threads for CPython, and the WSGI server that runs every call in one."""

from green._core import Green, GreenExit, Timeout, getcurrent, sleep, spawn
from green._version import __version__
from green.async_result import AsyncResult
from green.event import Event
from green.patch import monkey_patch, patch_report
from green.semaphore import BoundedSemaphore, Semaphore

__all__ = [
    "AsyncResult",
    "BoundedSemaphore",
    "Event",
    "Green",
    "GreenExit",
    "Semaphore",
    "Timeout",
    "__version__",
    "getcurrent",
    "kill",
    "monkey_patch",
    "patch_report",
    "sleep",
    "spawn",
]


def kill(green: Green, exception: type[BaseException] | BaseException = GreenExit) -> None:
    """Raise `exception` in `green`, where it waits; one that has not started never will."""
    green.kill(exception)
