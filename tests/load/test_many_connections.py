"""Ten thousand keep-alive connections at once; LOAD_CONNECTIONS=500 for a machine with less."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crowd import Crowd, allow_descriptors, wait_until
from http_client import ask
from served import HUBS, Served, serve

APP = str(Path(__file__).with_name("app.py"))
CONNECTIONS = int(os.environ.get("LOAD_CONNECTIONS", "10000"))
ROUNDS = 4
PROCESS_BYTES = 64 << 20  # The interpreter, the application and the hub's own buffers.
CONNECTION_BYTES = 16 << 10  # Of one with a call that waits: green, stack, environ, request.


@pytest.fixture(params=HUBS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    if not allow_descriptors(CONNECTIONS + 200):
        pytest.skip(f"RLIMIT_NOFILE forbids {CONNECTIONS} descriptors; set LOAD_CONNECTIONS")
    with serve(APP, tmp_path, "--backlog", "4096", hub=request.param) as served:
        yield served


def test_every_answer_on_every_connection_is_the_right_one(server: Served) -> None:
    with Crowd(server.address, CONNECTIONS) as crowd:
        began = time.monotonic()
        crowd.ask("/sleep")
        crowd.read_answers("/sleep", ROUNDS)
        took = time.monotonic() - began

        print(f"{ROUNDS * CONNECTIONS / took:.0f} calls a second, {server.resident_bytes()} bytes")
        assert server.resident_bytes() < PROCESS_BYTES + CONNECTIONS * CONNECTION_BYTES
        server.terminate()
        crowd.expect_ends()
        server.expect_end()


def test_a_signal_under_load_loses_no_answer(server: Served, tmp_path: Path) -> None:
    let_go = tmp_path / "let go"
    control = server.connect()
    with Crowd(server.address, CONNECTIONS) as crowd:
        crowd.ask("/hold")
        wait_until(
            lambda: ask(control, "GET", "/waiting").text == str(CONNECTIONS), "every call waits"
        )
        held_bytes = server.resident_bytes()
        control.request("GET", f"/release?when={let_go}".replace(" ", "%20"))

        server.terminate()
        wait_until(lambda: refuses(server), "the server stops listening")
        let_go.touch()

        crowd.read_answers("/hold")
        assert all(b"\r\nConnection: close" in client.last_head for client in crowd.clients())
        assert control.getresponse().read() == b"released"
        crowd.expect_ends()
        server.expect_end()
        assert held_bytes < PROCESS_BYTES + CONNECTIONS * CONNECTION_BYTES
    control.close()


def refuses(server: Served) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(server.address) == errno.ECONNREFUSED
