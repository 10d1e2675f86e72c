"""The command in a subprocess: run to its end, or started and waited for."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from command import SECONDS, Served, command


@pytest.fixture
def greenwsgi(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command to its end, in the test's directory."""

    def run(
        *arguments: str, fds: Sequence[int] = (), **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            pass_fds=fds,
        )

    return run


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts `greenwsgi serve`, on a free port unless told otherwise, and waits until it serves."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, fds: Sequence[int] = (), **environment: str) -> Served:
        bind = () if "--bind" in arguments else ("--bind", "127.0.0.1:0")
        ready, ready_in = os.pipe()
        log = tmp_path / f"server{len(started)}.log"
        with open(log, "w") as stderr:
            process = subprocess.Popen(
                command("serve", *bind, "--ready-fd", str(ready_in), *arguments),
                cwd=tmp_path,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                pass_fds=[ready_in, *fds],
            )
        started.append(process)
        os.close(ready_in)
        with os.fdopen(ready, errors="surrogateescape") as lines:
            can_read, _, _ = select.select([lines], [], [], SECONDS)
            words = lines.readline().split() if can_read else []
            can_read, _, _ = select.select([lines], [], [], SECONDS)
            closed = can_read and lines.read() == ""
        assert words[:1] == ["ready"], log.read_text()
        assert closed
        return Served(process, words[1:], log)

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
