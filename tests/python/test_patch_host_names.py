"""Names of hosts that sockets are given: the same are taken, and refused, as unpatched."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from patched import assert_same, isolated, outcome, patch, together

HOSTS: list[Any] = [
    "a..b",
    "localhost\0.example.org",
    b"localhost\0",
    bytearray(b"a\0"),
    "\xfc" * 80,
    5,
]


def connect_to_hosts() -> list[Any]:
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        found = []
        for host in HOSTS:
            found.append(outcome(stream.connect, (host, 9)))
            found.append(outcome(stream.connect_ex, (host, 9)))
            found.append(outcome(datagrams.sendto, b"x", (host, 9)))
    return found


@isolated
def test_a_host_that_is_no_name_is_refused_as_unpatched() -> None:
    before = connect_to_hosts()
    patch()

    assert_same(together(connect_to_hosts)[0], before)


def knows_localhost() -> bool:
    try:
        return bool(socket.gethostbyname("localhost"))
    except OSError:
        return False


@pytest.mark.skipif(not knows_localhost(), reason="no name server and no file knows localhost here")
@isolated
def test_a_host_may_be_bytes() -> None:
    patch()
    listener = socket.create_server(("127.0.0.1", 0))

    def connect(host: Any) -> str:
        with socket.socket() as client:
            client.connect((host, listener.getsockname()[1]))
            return str(client.getpeername()[0])

    assert together(lambda: connect(b"localhost"), lambda: connect(bytearray(b"localhost"))) == [
        "127.0.0.1",
        "127.0.0.1",
    ]
    listener.close()
