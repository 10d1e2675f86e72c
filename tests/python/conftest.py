"""For all tests of the package: each leaves everything as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from nothing_left import nothing_left

import green


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    green.sleep(0)  # The hub, with its descriptors, is there for all of them.
    with nothing_left():
        yield
