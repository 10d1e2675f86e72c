"""Runs a scenario on a runtime, in a process of its own: how did it end, and why."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from support import Scenario

# Programs start in threads, while pytest changes what it has of its own.
ENVIRONMENT = dict(os.environ)

HERE = Path(__file__).parent
EXCEPTION = re.compile(r"[\w.]+(Error|Exit|Exception|Interrupt|Expired|SkipTest|Timeout)\b")
TRIES = 3  # Of what a busy machine may miss: what a runtime does wrong it does wrong each time.


@dataclass(frozen=True)
class Outcome:
    """`how`: pass, fail, hang, none (the runtime has no such thing) or skip (this machine)."""

    how: str
    output: str

    @property
    def why(self) -> str:
        """The last line of what it said, or the line of the exception that it ended with."""
        lines = [line.rstrip() for line in self.output.splitlines() if line.strip()]
        if self.how == "fail" and lines and not lines[-1].startswith("ended by"):
            lines = [line for line in lines if EXCEPTION.match(line)] or lines
        return lines[-1].strip() if lines and self.how != "pass" else ""


def run(scenario: Scenario, runtime: str, python: str = sys.executable) -> Outcome:
    for _ in range(TRIES if scenario.timed else 1):
        outcome = _run_once(scenario, runtime, python)
        if outcome.how != "fail":
            break
    return outcome


def _run_once(scenario: Scenario, runtime: str, python: str) -> Outcome:
    order = "patch later" if scenario.late else "patch first"
    command = [python, "-P", "-X", "faulthandler", str(HERE / "run.py"), runtime]
    command += [scenario.section, scenario.name, order, "stdio" if scenario.stdio else ""]
    # A file and not a pipe: a grandchild that stays behind must not hold up the end.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        try:
            status = process.wait(scenario.limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status is None:
        return Outcome("hang", f"{text}\nnot at its end after {scenario.limit:.0f} s")
    if status < 0:
        text += f"\nended by {signal.Signals(-status).name}"
    return Outcome({0: "pass", 77: "skip", 78: "none"}.get(status, "fail"), text)
