"""For all tests of the package: each leaves everything as it was; ./dev test leaks repeats them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir

import leaks
import pytest
from _pytest.runner import runtestprotocol
from nothing_left import nothing_left

import green

GROWTH = pytest.StashKey[str]()


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    green.sleep(0)  # The hub, with its descriptors, is there for all of them.
    with nothing_left():
        yield


if leaks.REPETITIONS:  # pytest keeps in mind each directory that it makes, and Python most paths.

    @pytest.fixture
    def tmp_path() -> Iterator[Path]:
        path = Path(gettempdir(), f"greenwsgi-{os.getpid()}")
        path.mkdir()
        yield path
        rmtree(path)


def run_again(item: pytest.Function) -> None:
    """The test with fixtures of its own, unreported; fails if it does not pass."""
    # What is needed of the next test is all around this one, so that nothing else is torn down.
    for report in runtestprotocol(item, log=False, nextitem=item.parent):  # type: ignore[arg-type]
        if not report.passed:
            pytest.fail(f"repeated, it is {report.outcome}:\n{report.longreprtext}", pytrace=False)
    item._report_sections.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Function) -> None:
    """Before pytest runs the test to be reported: what grows."""
    test = item.function
    if leaks.repeats(test) and not hasattr(test, "isolated"):
        try:
            item.stash[GROWTH] = leaks.growth(lambda: run_again(item))
        except pytest.fail.Exception as failure:
            item.stash[GROWTH] = str(failure)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Function) -> None:
    if growth := item.stash.get(GROWTH, ""):
        pytest.fail(growth, pytrace=False)
