"""psycopg2, whose C library waits for itself unless it is given a wait callback.

Importing psycopg2 is the program's choice, so this waits for it.
"""

from __future__ import annotations

import select
import sys
from types import ModuleType
from typing import Any

from green import _core
from green._on_import import when_imported

_MODULE = "psycopg2.extensions"


def cooperate() -> None:
    """Gives psycopg2 its callback, now or when it is imported. One of the user's own stays.

    From then on psycopg2 refuses COPY and large objects, as it does with every wait callback.
    """
    global _prepared
    _prepared = True
    when_imported(_MODULE, _give_callback)


def is_prepared() -> bool:
    """Has psycopg2 its callback, or will it get it?"""
    return _prepared


def wait(connection: Any) -> None:
    """Waits for what the connection's poll() asks for. Switches; blocks a native thread.

    What is raised here (Timeout, GreenExit, KeyboardInterrupt) makes psycopg2 close the connection.
    """
    extensions = sys.modules[_MODULE]
    events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
    while (state := connection.poll()) != extensions.POLL_OK:
        if state not in events:
            raise sys.modules["psycopg2"].OperationalError(f"poll() of a connection gave {state}")
        _wait_for(connection.fileno(), events[state])


def _wait_for(fd: int, events: int) -> None:
    if _core.can_park():
        _core.wait_fd(fd, events, None)
        return
    poll = select.poll()
    poll.register(fd, events)
    poll.poll()


_prepared = False


def _give_callback(extensions: ModuleType) -> None:
    if extensions.get_wait_callback() is None:
        extensions.set_wait_callback(wait)
