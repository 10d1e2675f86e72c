"""Whatever clients do, thousands of times: the server's memory does not grow with it."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import leaks
import pytest
from http_client import ask
from sanitized import measures_memory
from served import HUBS, SECONDS, Served, serve

APP = str(Path(__file__).with_name("app.py"))
REQUESTS = 500  # In each of up to 30 rounds.
ROUNDS = 27
CACHED_TEXTS = 1024  # What the server keeps of them, clients' ports above all.
HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module", params=HUBS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Its caches are full."""
    place = tmp_path_factory.mktemp("server")
    paths = [str(Path(leaks.__file__).parent), os.environ.get("PYTHONPATH", "")]
    with serve(APP, place, hub=request.param, PYTHONPATH=os.pathsep.join(paths)) as served:
        for _ in range(8 * CACHED_TEXTS):
            with send(served, b"GET /echo?id=1" + HEAD + b"Connection: close\r\n\r\n") as peer:
                assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")
        yield served
        served.stop(tracebacks=served.log().count("Traceback (most recent call last)"))


def send(server: Served, sent: bytes) -> socket.socket:
    peer = socket.create_connection(server.address, SECONDS)
    peer.sendall(sent)
    return peer


def get_on_one_connection(server: Served) -> None:
    connection = server.connect()
    for number in range(REQUESTS):
        assert ask(connection, "GET", f"/echo?id={number}").text == str(number)
    connection.close()


def get_on_many_connections(server: Served) -> None:
    for number in range(REQUESTS):
        connection = server.connect()
        assert ask(connection, "GET", f"/echo?id={number}", Connection="close").status == 200
        connection.close()


def upload(server: Served) -> None:
    connection = server.connect()
    for _ in range(REQUESTS // 2):
        assert ask(connection, "POST", "/upload", bytes(100_000)).text == "100000"
        assert ask(connection, "POST", "/upload", iter([bytes(5000)] * 2)).text == "10000"
    connection.close()


def fail(server: Served) -> None:
    for _ in range(REQUESTS):
        connection = server.connect()
        assert ask(connection, "GET", "/nowhere").status == 500
        connection.close()


def ask_wrongly(server: Served) -> None:
    for number in range(REQUESTS):
        wrong = b"Host: second\r\n\r\n" if number % 2 else b"A: %s\r\n\r\n" % bytes(100_000)
        with send(server, b"GET /" + HEAD + wrong) as peer:
            assert peer.recv(100).startswith(b"HTTP/1.1 4")


def go_away(server: Served) -> None:
    unfinished = [
        b"GET /echo",
        b"GET /echo?id=1" + HEAD + b"\r\n",
        b"GET /large" + HEAD + b"\r\n",
        b"POST /upload" + HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(50_000),
    ]
    for _ in range(REQUESTS // len(unfinished)):
        for sent in unfinished:
            with send(server, sent) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


KINDS = [get_on_one_connection, get_on_many_connections, upload, fail, ask_wrongly, go_away]


@measures_memory
@pytest.mark.parametrize("requests", KINDS)
def test_requests_leave_nothing_behind(server: Served, requests: Callable[[Served], None]) -> None:
    control = server.connect()

    def look() -> list[int]:
        found: list[int] = json.loads(ask(control, "GET", "/measure").body)
        return found

    assert leaks.growth(lambda: requests(server), ROUNDS, look) == ""

    control.close()
