"""The command `greenwsgi` in a process of its own, for tests of the command line itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SECONDS = 20.0  # Longer than anything here takes on a machine that is busy.


@dataclass
class Served:
    """A running `greenwsgi serve` that has said it is ready."""

    process: subprocess.Popen[str]
    urls: list[str]
    log: Path

    @property
    def port(self) -> int:
        return int(self.urls[0].rsplit(":", 1)[1])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends the signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "green", *arguments]
