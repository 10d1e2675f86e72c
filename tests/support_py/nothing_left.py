"""A check around each test of a module: it leaves no green, no timer, no thread of its own."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

SECONDS = 5.0  # What was told to end has ended by then.


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """To be imported by the module whose tests it is for."""
    from green import _core, sleep

    sleep(0)
    gc.collect()
    before = _core.debug_counts()
    threads = set(threading.enumerate())
    yield
    deadline = time.monotonic() + SECONDS
    while _core.debug_counts() != before and time.monotonic() < deadline:
        gc.collect()
        sleep(0)
    assert _core.debug_counts() == before
    assert set(threading.enumerate()) <= threads
