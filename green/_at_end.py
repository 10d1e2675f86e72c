"""The end of an unpatched program: greens run while native threads are waited for.

`threading` then blocks the main thread until all threads but daemons have ended, and those may wait
for what a green will do. Patched, that wait is cooperative by itself.
"""

from __future__ import annotations

import threading

from green import _core
from green.patch import is_monkey_patched


def wait_for_threads() -> None:
    """Wait for all threads that are no daemons. Switches, unless this thread has no greens."""
    while _core.can_park() and not is_monkey_patched("threading"):
        this = threading.current_thread()
        threads = [each for each in threading.enumerate() if each.is_alive() and not each.daemon]
        awaited = [each for each in threads if each not in (this, threading.main_thread())]
        if not awaited:
            return
        for each in awaited:
            _core.call_natively(each.join)


def install() -> None:
    """At the program's end, after whatever else is to end threads: those of executors for one."""
    functions = getattr(threading, "_threading_atexits", None)
    if isinstance(functions, list):  # `threading` calls the first of them last.
        functions.insert(0, wait_for_threads)
