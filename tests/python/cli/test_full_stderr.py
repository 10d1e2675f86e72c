"""A log that nobody reads any more must not stop a server, nor its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from command import SECONDS, command
from serving import HELLO

NO_END = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"


@contextmanager
def with_full_stderr(*arguments: str, place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`greenwsgi serve` that serves, with a pipe as its stderr in which there is no room."""
    (ready, ready_in), (log, log_in) = os.pipe(), os.pipe()
    try:
        with subprocess.Popen(
            command("serve", *arguments, "--bind", "127.0.0.1:0", "--ready-fd", str(ready_in)),
            cwd=place,
            stderr=log_in,
            pass_fds=[ready_in],
        ) as process:
            try:
                os.close(ready_in)
                assert os.read(ready, 9)[:5] == b"ready"
                while select.select([], [log_in], [], 0)[1]:
                    os.write(log_in, bytes(select.PIPE_BUF))  # Does not wait where there is room.
                yield process
            finally:
                process.kill()
    finally:
        for fd in (ready, log, log_in):
            os.close(fd)


def children(pid: int) -> set[int]:
    (of_main_thread,) = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for child in of_main_thread.read_text().split()}


def test_workers_are_restarted_and_told_to_stop(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)
    with with_full_stderr("hello:app", "--workers", "2", place=tmp_path) as process:
        before = children(process.pid)
        os.kill(min(before), signal.SIGKILL)

        end = time.monotonic() + SECONDS
        while len(children(process.pid) - {min(before)}) < 2:
            assert time.monotonic() < end, "no other has been started"
        process.terminate()
        assert process.wait(SECONDS) == 0


def test_a_process_that_does_not_end_by_itself_is_ended(tmp_path: Path) -> None:
    (tmp_path / "has_a_thread.py").write_text(NO_END + HELLO)
    with with_full_stderr("has_a_thread:app", "--grace", "0.1s", place=tmp_path) as process:
        process.terminate()
        assert process.wait(SECONDS) == 0
