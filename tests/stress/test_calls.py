"""Functions that the patch hooks, called with arguments by dice, do what they do unpatched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Not a new one each run: what is arbitrary enough may always find a difference that is none.
SEED = os.environ.get("STRESS_SEED") or "1"
COUNT = 400 * int(os.environ.get("STRESS_SEEDS") or 1)


def start(how: str) -> subprocess.Popen[str]:
    program = Path(__file__).with_name("calls.py")
    return subprocess.Popen(
        [sys.executable, "-P", "-X", "faulthandler", program, SEED, str(COUNT), how],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_calls_with_any_arguments_do_what_they_do_unpatched() -> None:
    with start("plain") as plain, start("patched") as patched:
        expected, told = plain.communicate()[0].splitlines(), patched.communicate()[0].splitlines()

    assert (plain.returncode, patched.returncode) == (0, 0)
    assert len(expected) == COUNT
    differing = [pair for pair in zip(told, expected, strict=True) if pair[0] != pair[1]]
    assert not differing, "\n".join(f"patched   {new}\nunpatched {old}" for new, old in differing)
