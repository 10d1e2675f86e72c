"""The programs that measure start: as they are, and where Python puts no script's folder first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("program", ["greens", "instructions", "run", "watchdog"])
@pytest.mark.parametrize("safe_path", ["", "1"])
def test_a_program_that_measures_finds_its_parts_and_tells_its_options(
    program: str, safe_path: str
) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / f"{program}.py"), "--help"],
        env={**os.environ, "PYTHONSAFEPATH": safe_path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program}.py")
