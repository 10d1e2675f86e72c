"""Work for groups, pools and native threads, and ways to look at it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Never

import pytest

import green
from green import _core, native

SECONDS = 60.0  # Longer than anything here takes on a machine that is busy.


def fail(error: BaseException) -> Never:
    raise error


def until(condition: Callable[[], bool]) -> None:
    """Lets others run until it is so."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        green.sleep(0.001)


@pytest.fixture(autouse=True)
def native_threads() -> Iterator[None]:
    """Each test of a module that imports this has the pool of native threads to itself."""
    green.getcurrent()  # Calls of a thread without greens are made in place.
    yield
    native.set_size(20, idle_seconds=0)
    until(lambda: _core.native_counts() == {"threads": 0, "idle": 0, "queued": 0})
    native.set_size(20)


class Crowd:
    """Counts those who are inside, and have been."""

    def __init__(self) -> None:
        self.inside = self.most = self.started = 0

    def work(self, item: Any = None, seconds: float = 0) -> Any:
        self.started += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            green.sleep(seconds)
        finally:
            self.inside -= 1
        return item
