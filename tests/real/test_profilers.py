"""coverage and py-spy, called as their users call them, see what runs in greens."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 60.0  # Longer than any of them takes on a machine that is busy.

MEASURED = """
import sys, threading
import green

if "patched" in sys.argv:
    green.monkey_patch()

def work(turns):
    for turn in range(turns):
        green.sleep(0)
        if turn % 2:
            odd()
        else:
            even()
        if turn > 100:
            never()

def odd():
    green.sleep(0)

def even():
    green.sleep(0)

def never():
    return 1

green.joinall([green.spawn(work, 3) for _ in range(3)])
thread = threading.Thread(target=work, args=(2,))
thread.start()
thread.join()
"""
LINES = MEASURED.split("\n")


def line(text: str) -> int:
    return 1 + next(number for number, each in enumerate(LINES) if each.strip() == text)


@pytest.mark.parametrize("core", ["ctrace", "pytrace", "sysmon"])
@pytest.mark.parametrize("concurrency", [[], ["--concurrency=thread"]])
def test_coverage_measures_lines_and_branches_of_greens_that_alternate(
    core: str, concurrency: list[str], tmp_path: Path
) -> None:
    pytest.importorskip("coverage")
    if core == "sysmon" and sys.version_info < (3, 14):
        pytest.skip("coverage measures branches by sys.monitoring from 3.14 on")
    program = tmp_path / "measured.py"
    program.write_text(MEASURED)
    command = [sys.executable, "-m", "coverage"]
    run = [*command, "run", "--branch", "--include=measured.py", *concurrency]
    environment = {**os.environ, "COVERAGE_CORE": core}
    environment.pop("PYTHONSAFEPATH", None)
    for arguments in ([*run, "measured.py", "patched"], [*command, "json", "-q", "-o", "out.json"]):
        subprocess.run(
            arguments,
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            timeout=SECONDS,
        )

    found = json.loads((tmp_path / "out.json").read_text())["files"]["measured.py"]
    assert found["missing_lines"] == [line("never()"), line("return 1")]
    first_check, never = line('if "patched" in sys.argv:'), line("never()")
    assert found["missing_branches"] == [
        [first_check, line("def work(turns):")],
        [line("if turn > 100:"), never],
    ]


def spy() -> str:
    found = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return found or pytest.skip("py-spy is not installed")


SPINNING = """
import sys, green
green.monkey_patch()

def waiting():
    green.sleep(100)

def spinning():
    print("spins", flush=True)
    while True:
        sum(range(1000))

green.spawn(waiting)
green.spawn(spinning).join()
"""


def test_py_spy_shows_the_stack_of_the_green_that_runs() -> None:
    command = [sys.executable, "-P", "-c", SPINNING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "spins\n"
            dump = subprocess.run(
                [spy(), "dump", "--pid", str(process.pid)],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        finally:
            process.kill()
    if "ermission" in dump.stderr:
        pytest.skip("this user may not look into processes")

    assert re.findall(r"^    (\w+) \(", dump.stdout, re.M) == ["spinning"], dump
