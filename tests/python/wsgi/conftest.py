"""Servers of this room's tests: each a process of its own, on a free port, that says when it is
ready. Nothing here sleeps: what a server has logged is read when it has ended."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from client import SECONDS, Client

PROGRAM = Path(__file__).with_name("serve_app.py")


class Served:
    def __init__(self, app: str, bare: bool, log: Path, options: dict[str, Any]) -> None:
        self._log = log
        self._clients: list[Client] = []
        ready, ready_in = os.pipe()
        arguments = [str(ready_in), app, "bare" if bare else "validated", json.dumps(options)]
        with open(log, "w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-X", "faulthandler", str(PROGRAM), *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=[ready_in],
            )
        os.close(ready_in)
        with os.fdopen(ready) as line:
            can_read, _, _ = select.select([line], [], [], SECONDS)
            text = line.readline() if can_read else ""
        assert text, log.read_text()
        self.port = int(text)

    def connect(self) -> Client:
        self._clients.append(Client(self.port))
        return self._clients[-1]

    def get(self, target: str, *fields: str) -> Any:
        return self.connect().get(target, *fields)

    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> str:
        """Ends the server, which must go in peace; what it logged."""
        self.close_clients()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(SECONDS)
        log = self._log.read_text()
        assert status == 0, log
        return log

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    def discard(self) -> None:
        self.close_clients()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a server: start(app, bare=False, **options of _core.Server)."""
    started: list[Served] = []

    def start_one(app: str = "*", bare: bool = False, **options: Any) -> Served:
        started.append(Served(app, bare, tmp_path / f"{len(started)}.log", options))
        return started[-1]

    yield start_one
    for served in started:
        served.discard()


@pytest.fixture(scope="module", params=["validated", "bare"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """All applications, at /NAME; once under the validator, once without. Ends in peace."""
    log = tmp_path_factory.mktemp("server") / "log"
    served = Served("*", request.param == "bare", log, {})
    try:
        yield served
        served.stop()
    finally:
        served.discard()


@pytest.fixture(autouse=True)
def no_clients_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """The server of a module outlives a test, whose connections to it end."""
    yield
    if "server" in request.fixturenames:
        request.getfixturevalue("server").close_clients()
