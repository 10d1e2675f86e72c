"""`greenwsgi serve` in a subprocess, for tests: started, asked, and stopped as an operator would.

stop() sees to it that the server ends with status 0 and has logged no traceback but those expected.
How it was built and which hub it runs are the environment's matter.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from command import command

SECONDS = 30.0  # Longer than anything here takes on a machine that is busy.
HUBS = ("uring", "epoll")


class Served:
    """A server that has said it is ready."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._log = log

    def connect(self) -> HTTPConnection:
        return HTTPConnection(*self.address, timeout=SECONDS)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, *, tracebacks: int = 0) -> None:
        self.terminate()
        self.expect_end(tracebacks=tracebacks)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def expect_end(self, *, tracebacks: int = 0) -> None:
        """It ends with status 0, with so many tracebacks in its log."""
        status = self.process.wait(SECONDS)
        assert status == 0, self.log()
        assert self.log().count("Traceback (most recent call last)") == tracebacks, self.log()


@contextmanager
def serve(
    app: str, directory: Path, *options: str, hub: str | None = None, **environment: str
) -> Iterator[Served]:
    """Serves `app` on a free port; logs go to `directory`. Killed at the end if it still runs."""
    if hub is not None:
        environment["GREENWSGI_HUB"] = hub
    ready, ready_in = os.pipe()
    log = directory / f"server-{ready_in}-{os.getpid()}.log"
    options = (app, "--bind", "127.0.0.1:0", "--ready-fd", str(ready_in), *options)
    with open(log, "w") as output:
        process = subprocess.Popen(
            command("serve", *options),
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
            pass_fds=[ready_in],
        )
    os.close(ready_in)
    try:
        yield Served(process, _url(ready, log), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _url(ready: int, log: Path) -> str:
    with os.fdopen(ready) as lines:
        can_read, _, _ = select.select([lines], [], [], SECONDS)
        words = lines.readline().split() if can_read else []
    assert words[:1] == ["ready"], log.read_text()
    return words[1]
