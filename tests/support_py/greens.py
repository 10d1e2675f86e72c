"""The few moves that tests of green's primitives share."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import green


def until(predicate: Callable[[], Any]) -> None:
    """Lets others run until `predicate()`."""
    while not predicate():
        green.sleep(0)


def native(function: Callable[..., Any], *args: Any) -> threading.Thread:
    """Calls it on a native thread that has started."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def native_names() -> list[str]:
    """What the system calls the native threads there are; one stays for a moment after its end."""
    names = []
    for each in Path("/proc/self/task").glob("*/comm"):
        with suppress(FileNotFoundError, ProcessLookupError):  # It has just ended.
            names.append(each.read_text().strip())
    return names


def drain(items: green.Queue[Any]) -> list[Any]:
    """All that is in the queue, in its order."""
    return [items.get_nowait() for _ in range(items.qsize())]


def fork() -> int:
    """os.fork(), of which Python from 3.12 on warns when there are native threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(function: Callable[[], Any]) -> bool:
    """Is function() true in a forked child?"""
    pid = fork()
    if pid == 0:
        answer = 1
        try:
            answer = 0 if function() else 1
        finally:
            os._exit(answer)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
