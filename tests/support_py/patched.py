"""For tests of the patched standard library: each runs alone in a process of its own.

A test is a plain function with `@isolated`; what its module imports and makes at import time was
there before the patch. The rest are the few moves that such tests share.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from leaks import REPETITIONS
from processor import processor_wait
from sanitized import ASAN

SECONDS = 60.0  # Longer than any of them takes on a machine that is busy.

_CHILD = """
import importlib, os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
test = getattr(importlib.import_module(sys.argv[2]), sys.argv[3]).__wrapped__
from leaks import assert_no_growth
from nothing_left import nothing_left
def run():
    with nothing_left(but="descriptor"):  # Which the end of the process closes.
        test()
if hasattr(test, "leaves_behind"):
    test()
else:
    assert_no_growth(test, run)
"""


def run_isolated(module: str, folder: Path, function: str, **environment: str) -> str:
    """Calls `function` of `module` in a new process; its output. It must succeed."""
    places = os.pathsep.join([str(folder), str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", _CHILD, places, module, function],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS * (1 + REPETITIONS),
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def isolated(test: Callable[[], None] | None = None, **environment: str) -> Any:
    """Makes the test run in a process of its own, with these environment variables."""
    if test is None:
        return lambda given: isolated(given, **environment)

    @functools.wraps(test)
    def run() -> None:
        path = Path(test.__code__.co_filename)
        run_isolated(path.stem, path.parent, test.__name__, **environment)

    run.isolated = True  # type: ignore[attr-defined]
    return run


def leaves_behind(test: Callable[[], None]) -> Callable[[], None]:
    """Marks an isolated test that ends, on purpose, while greens of its own wait."""
    test.leaves_behind = True  # type: ignore[attr-defined]
    return test


def run_patched(code: str) -> subprocess.CompletedProcess[str]:
    """What a program of its own prints, and how it ends; patched, with a few modules imported."""
    head = "import os, signal, sys, threading, time, green\ngreen.monkey_patch()\n"
    return subprocess.run(
        [sys.executable, "-P", "-c", head + code],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def run_program(text: str, *options: str, **environment: str) -> str:
    """What a program prints that must end well, in time and without a word of complaint."""
    always = ("-P", "-X", "faulthandler")
    done = subprocess.run(
        [sys.executable, *always, *options, "-c", textwrap.dedent(text)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def patch() -> None:
    """Patches, in place and completely."""
    from green.patch import install

    assert install() == []


def start_natively(*threads: threading.Thread) -> None:
    """Starts them as native threads, also where threads are greens."""
    import green

    with green.blocking():
        for thread in threads:
            thread.start()


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Calls each in a green of its own, all at once; what they return."""
    from green import _core

    greens = [_core.spawn(function) for function in functions]
    return [green.get() for green in greens]


def outcome(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """What a call gives: its value, or the type and text of its exception."""
    try:
        return function(*arguments, **keywords)
    except Exception as error:
        return type(error), str(error)


def assert_same(after: list[Any], before: list[Any]) -> None:
    """The outcomes patched are those unpatched; tells which are not."""
    differing = [(new, old) for new, old in zip(after, before, strict=True) if new != old]
    assert not differing, f"patched, unpatched: {differing}"


class Index:
    """What stands for a number without being an int."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Ticker:
    """A green that wakes every few milliseconds and remembers its longest gap, in seconds.

    Time in which other programs had the processor does not count: a busy machine is not our doing.
    Nor can a short gap be told from one of the machine's: that others ran is told by the turns.
    """

    LIMIT = 1.0 if ASAN else 0.25  # Of the gap, where nothing computes beside it.

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.longest = 0.0
        self.turns = 0
        self._ended = False

    def _run(self, last: float) -> None:
        while not self._ended:
            time.sleep(self.seconds)
            now = time.monotonic() - processor_wait()
            self.longest = max(self.longest, now - last)
            self.turns += 1
            last = now

    def __enter__(self) -> Self:
        from green import _core

        self._green = _core.spawn(self._run, time.monotonic() - processor_wait())
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended = True
        self._green.join()

    def have_turns(self, turns: int = 4) -> None:
        """Returns when it has had as many more; the caller waits, if need be for ever."""
        enough = self.turns + turns
        while self.turns < enough:
            time.sleep(self.seconds)

    def assert_kept_running(self, turns: int = 4) -> None:
        """It had as many turns, and never waited long for one."""
        assert self.turns >= turns, f"{self.turns} turns"
        assert self.longest < self.LIMIT, f"stood still for {self.longest:.3f} s"
