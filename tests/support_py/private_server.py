"""Servers that tests start for themselves: processes of their own, in a directory of their own.

They listen on the loopback interface only, write nowhere else, run as nobody when the tests run as
root, and end with the process that started them, however it ends. A test whose server is not
installed is skipped.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

SECONDS = 60.0  # Longer than any of them takes to start on a machine that is busy.
NOBODY = "nobody"


def program(name: str) -> str:
    """The path of a server's program; skips the test when it is not installed."""
    versions = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    places = os.pathsep.join([os.environ["PATH"], *versions, "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def directory(*, keep_user: bool = False) -> Iterator[Path]:
    """A directory that a server may write to and nobody else may read; gone in the end."""
    path = Path(tempfile.mkdtemp(prefix="greenwsgi-"))
    try:
        if os.getuid() == 0 and not keep_user:
            user = pwd.getpwnam(NOBODY)
            os.chown(path, user.pw_uid, user.pw_gid)
        yield path
    finally:
        shutil.rmtree(path)


def unprivileged(command: list[str], *, keep_user: bool = False) -> list[str]:
    """The command as nobody, when this is root; it ends with the process that starts it."""
    options = ["--pdeathsig", "TERM"]
    if os.getuid() == 0 and not keep_user:
        user = pwd.getpwnam(NOBODY)
        options += ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    return ["setpriv", *options, *command]


def prepare(command: list[str], place: Path) -> None:
    """Runs what a server needs before it starts."""
    done = subprocess.run(
        unprivileged(command), capture_output=True, text=True, cwd=place, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@contextmanager
def on_free_port(
    command: Callable[[int], list[str]], place: Path, *, keep_user: bool = False
) -> Iterator[int]:
    """Runs a server that cannot choose a port by itself; its port, once it accepts.

    Somebody may take the port between the choice and the server's start: then it tries others.
    """
    log = place / "log"
    for _ in range(5):
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                unprivileged(command(port), keep_user=keep_user),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=place,
            )
        try:
            if _accepts(process, port):
                yield port
                return
        finally:
            _stop(process)
    raise AssertionError(f"{command(0)} does not start:\n{log.read_text(errors='replace')}")


@contextmanager
def peer(script: Path, *arguments: str) -> Iterator[list[int]]:
    """Runs a server written in Python, which prints the ports it listens on; those ports."""
    command = [sys.executable, "-P", str(script), *arguments]
    process = subprocess.Popen(
        unprivileged(command, keep_user=True), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ports = [int(word) for word in process.stdout.readline().split()]
        assert ports, f"{script.name} does not start"
        yield ports
    finally:
        _stop(process)
        if process.stdout is not None:
            process.stdout.close()


def _accepts(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until the server accepts connections; False when it has ended instead."""
    deadline = time.monotonic() + SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, f"{process.args} does not listen"
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def _stop(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
