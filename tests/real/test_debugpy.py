"""debugpy stops in greens as in threads: the one that comes to the line, with its own stack."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from debug_client import SECONDS, DebugClient
from ports import free_port

pytest.importorskip("debugpy", reason="debugpy is not installed")

PROGRAM = """
import sys, threading, green

if "patched" in sys.argv:
    green.monkey_patch()

def work(turns):
    total = 0
    for turn in range(turns):
        green.sleep(0)
        total += turn  # Here.
    return total

def start_thread():
    thread = threading.Thread(target=work, args=(2,))
    thread.start()
    thread.join()

def ticker():
    while True:
        green.sleep(0.01)

green.spawn(ticker)
if "thread" in sys.argv:
    start_thread()
else:
    green.spawn(work, 2).join()
"""
LINE = 1 + PROGRAM.split("\n").index("        total += turn  # Here.")


def connect(port: int) -> socket.socket:
    end = time.monotonic() + SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            assert time.monotonic() < end, "debugpy does not listen"
            time.sleep(0.05)


@contextlib.contextmanager
def debugged(program: Path, *arguments: str) -> Iterator[DebugClient]:
    """The program, stopped before its first line; it has to end by itself, well."""
    port = free_port()
    command = [sys.executable, "-P", "-X", "frozen_modules=off", "-W", "ignore", "-m", "debugpy"]
    command += ["--listen", f"127.0.0.1:{port}", "--wait-for-client", str(program), *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            client = DebugClient(connect(port))
            client.ask("initialize", adapterID="test", pathFormat="path")
            client.send("attach", justMyCode=False)
            client.event("initialized")
            yield client
            client.event("terminated")
            client.close()
            said = process.communicate(timeout=SECONDS)[1]
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "WARNING" not in said  # Nobody but threading may call sys.settrace() under it.


@pytest.mark.parametrize("way", [(), ("patched",), ("patched", "thread")])
def test_a_breakpoint_stops_a_green_with_its_own_stack(
    way: tuple[str, ...], tmp_path: Path
) -> None:
    program = tmp_path / "debugged.py"
    program.write_text(PROGRAM)
    stops = []

    with debugged(program, *way) as client:
        client.ask(
            "setBreakpoints", source={"path": str(program)}, breakpoints=[{"line": LINE}]
        )  # fmt: skip
        client.ask("configurationDone")
        for _ in range(2):
            stop = client.event("stopped")
            frames = client.ask("stackTrace", threadId=stop["threadId"])["stackFrames"]
            scope = client.ask("scopes", frameId=frames[0]["id"])["scopes"][0]
            found = client.ask("variables", variablesReference=scope["variablesReference"])
            values = {each["name"]: each["value"] for each in found["variables"]}
            names = [frame["name"] for frame in frames]
            stops.append((stop["reason"], names, frames[0]["line"], values["turn"]))
            client.send("continue", threadId=stop["threadId"])

    stack = ["work", "run", "_bootstrap_inner", "_bootstrap"] if "thread" in way else ["work"]
    assert stops == [("breakpoint", stack, LINE, turn) for turn in "01"]
