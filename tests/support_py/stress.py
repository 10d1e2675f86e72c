"""For tests that are led by dice: each runs alone in a process of its own, patched.

Whatever is decided by chance comes from the dice, and these from the seed; each green and thread
has dice of its own, so that it decides alike when the scheduler does not. A hang is a failure that
shows all greens and native threads; each failure says how to repeat it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 120.0  # Twenty times what any of them takes by itself.
PATIENCE = 30.0  # For a single wait inside: whoever still waits then has been forgotten.
SECONDS_TO_TELL = 10.0

_CHILD = """
import importlib, os, sys
sys.path[:0] = sys.argv[1].split(os.pathsep)
import stress
stress.play(getattr(importlib.import_module(sys.argv[2]), sys.argv[3]), int(sys.argv[4]))
"""


class Dice:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def of(self, *names: object) -> random.Random:
        """Those of one part of the scenario."""
        return random.Random(f"{self.seed} {names}")


def stressed(scenario: Callable[[Dice], None]) -> Callable[[int], None]:
    """Makes a test of it, which runs it with a seed in a process of its own."""
    path = Path(scenario.__code__.co_filename)
    name = scenario.__name__

    def test(seed: int) -> None:
        places = os.pathsep.join([str(path.parent), str(Path(__file__).parent)])
        output, status = run(["-c", _CHILD, places, path.stem, name, str(seed)])
        assert status == 0, f"{status}\n{output}\n{how_to_repeat(name, seed)}"

    test.__name__ = name
    test.__doc__ = scenario.__doc__
    test.scenario = scenario  # type: ignore[attr-defined]
    return test


def how_to_repeat(name: str, seed: int) -> str:
    hub = os.environ.get("GREENWSGI_HUB", "uring")
    return f"again: GREENWSGI_HUB={hub} STRESS_SEED={seed} STRESS_TESTS={name} ./dev test stress"


def run(arguments: list[str]) -> tuple[str, int | str]:
    """What an interpreter of its own says with these, and its status, or what became of it."""
    # A file and not a pipe: a grandchild that stays behind must not hold up the end.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "faulthandler", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            status = _status(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return output.read().decode(errors="replace"), status


def _status(process: subprocess.Popen[bytes]) -> int | str:
    try:
        status = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        # First all greens, by our own handler; then all native threads, by faulthandler's.
        for number in (signal.SIGUSR2, signal.SIGABRT):
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_TELL)
        return f"hangs: not at its end after {SECONDS:.0f} s"
    return status if status >= 0 else f"ended by {signal.Signals(-status).name}"


def play(test: Any, seed: int) -> None:
    """In the new process. That its end goes well is a part of it."""
    from patched import patch

    from green import debug

    patch()
    debug.on_signal(signal.SIGUSR2)
    try:
        test.scenario(Dice(seed))
    except BaseException:
        debug.print_greens()
        traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # What the end did to those that are left would only hide it.
