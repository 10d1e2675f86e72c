"""Five hundred peers that send a byte now and then, five hundred that read nothing, one client."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path

import pytest
from crowd import allow_descriptors, wait_until
from http_client import ask
from served import HUBS, SECONDS, Served, serve

APP = str(Path(__file__).with_name("app.py"))
PEERS = max(1, int(os.environ.get("LOAD_CONNECTIONS", "10000")) // 20)
REQUESTS = 1000
TIMEOUTS = ("--header-timeout", "4s", "--write-timeout", "4s")


@pytest.fixture(params=HUBS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    if not allow_descriptors(2 * PEERS + 200):
        pytest.skip(f"RLIMIT_NOFILE forbids {2 * PEERS} descriptors; set LOAD_CONNECTIONS")
    with serve(APP, tmp_path, *TIMEOUTS, hub=request.param) as served:
        yield served


def connect(server: Served, stack: ExitStack, sent: bytes) -> socket.socket:
    peer = stack.enter_context(socket.socket())
    peer.settimeout(SECONDS)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(server.address)
    peer.sendall(sent)
    return peer


def read_to_end(peer: socket.socket) -> bytes:
    """What the server sent until it closed or cut the connection."""
    received = b""
    try:
        while piece := peer.recv(1 << 20):
            received += piece
    except ConnectionResetError:
        pass
    return received


def drip(peer: socket.socket) -> None:
    """A slow peer sends its next byte; what comes back once it has been refused is no matter."""
    with suppress(ConnectionResetError, BrokenPipeError):
        peer.send(b"a")


def latencies_beside(server: Served, slow: list[socket.socket]) -> list[float]:
    connection = server.connect()
    latencies = []
    for number, peer in zip(range(REQUESTS), cycle(slow), strict=False):
        drip(peer)
        began = time.perf_counter()
        answer = ask(connection, "GET", f"/echo?id={number}")
        latencies.append(time.perf_counter() - began)
        assert answer.text == str(number)
    connection.close()
    return sorted(latencies)


def test_nobody_is_held_up_and_the_hostile_are_cut(server: Served) -> None:
    before, before_descriptors = server.resident_bytes(), server.descriptors()
    with ExitStack() as stack:
        head = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
        slow = [connect(server, stack, head) for _ in range(PEERS)]
        request = b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        for _ in range(PEERS):
            connect(server, stack, request)  # Deaf: nobody reads from them.

        latencies = latencies_beside(server, slow)
        grown = server.resident_bytes() - before
        print(f"p99 {latencies[REQUESTS * 99 // 100] * 1000:.2f} ms, grown by {grown} bytes")

        assert latencies[REQUESTS * 99 // 100] < 0.2
        assert grown < (32 << 20) + PEERS * (64 << 10)
        ends = [read_to_end(peer) for peer in slow]
        assert sum(end.startswith(b"HTTP/1.1 408 ") for end in ends) > 0.9 * PEERS
        assert all(len(end) < 1024 for end in ends)
        # The deaf have not read a byte, and still the server lets go of them.
        wait_until(lambda: server.descriptors() < before_descriptors + 10, "the deaf are cut")
    server.stop()
