"""TLS over patched sockets: handshakes, data, time-outs, the end; in greens and with a thread."""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

from patched import Ticker, assert_same, isolated, outcome, patch, start_natively, together

import green

CERTIFICATE = Path(__file__).parent / "tls" / "test.invalid.pem"
NAME = "test.invalid"
MEGABYTE = bytes(range(256)) * 4096

# Made before the patch, as a driver's connection pool would have them.
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain(CERTIFICATE)
client_context = ssl.create_default_context(cafile=str(CERTIFICATE))


def pair(timeout: float | None = None) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """A server's end and a client's, before the handshake."""
    one, two = socket.socketpair()
    one.settimeout(timeout)
    two.settimeout(timeout)
    server = server_context.wrap_socket(one, server_side=True, do_handshake_on_connect=False)
    client = client_context.wrap_socket(two, server_hostname=NAME, do_handshake_on_connect=False)
    return server, client


def connected(timeout: float | None = None) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    server, client = pair(timeout)
    together(server.do_handshake, client.do_handshake)
    return server, client


def echo(connection: Any) -> None:
    """Sends back what comes until the other side says that it is done; then says so too."""
    with connection:
        connection.do_handshake()
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.unwrap().close()


def exchange(client: Any) -> bytes:
    client.do_handshake()
    echoed = bytearray()

    def read() -> None:
        while len(echoed) < len(MEGABYTE):
            echoed.extend(client.recv(65536))

    together(read, lambda: client.sendall(MEGABYTE))
    client.unwrap().close()
    return bytes(echoed)


@isolated
def test_client_and_server_in_greens_of_one_thread_exchange_a_megabyte() -> None:
    patch()
    for timeout in (None, 30.0):
        server, client = pair(timeout)

        _, echoed = together(lambda s=server: echo(s), lambda c=client: exchange(c))

        assert echoed == MEGABYTE


@isolated
def test_a_native_thread_at_the_other_end_sees_no_difference() -> None:
    patch()
    server, client = pair()
    thread = threading.Thread(target=echo, args=[server])
    start_natively(thread)

    (echoed,) = together(lambda: exchange(client))

    thread.join()
    assert echoed == MEGABYTE


@isolated
def test_what_two_greens_write_to_one_connection_arrives_once_each() -> None:
    patch()
    server, client = connected()
    rounds, size = 20, 20_000  # More than one record.

    def write(letter: bytes) -> None:
        for _ in range(rounds):
            server.sendall(letter * size)

    def read() -> bytes:
        data = b""
        while len(data) < 2 * rounds * size:
            data += client.recv(65536)
        return data

    data = together(lambda: write(b"a"), lambda: write(b"b"), read)[2]
    assert (data.count(b"a"), data.count(b"b")) == (rounds * size, rounds * size)


@isolated
def test_waiting_for_data_stops_nobody() -> None:
    patch()
    server, client = connected()

    def answer() -> None:
        ticker.have_turns()
        server.sendall(b"late")

    with Ticker() as ticker:
        received, _ = together(lambda: client.recv(9), answer)

    assert received == b"late"
    ticker.assert_kept_running()


@isolated
def test_time_outs_are_the_originals() -> None:
    def outcomes() -> list[Any]:
        server, client = pair(0.01)
        handshake = outcome(client.do_handshake)
        # Connected by a thread, so that it can be done unpatched too.
        server, client = pair(10)
        thread = threading.Thread(target=server.do_handshake)
        start_natively(thread)
        client.do_handshake()
        thread.join()
        client.settimeout(0.01)
        read = outcome(client.recv, 9)
        while not isinstance(sent := outcome(client.send, MEGABYTE), tuple):
            pass
        client.settimeout(0)
        return [handshake, read, sent, outcome(client.recv, 9)]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_the_descriptor_keeps_its_mode_and_the_socket_its_time_out() -> None:
    patch()
    for timeout in (None, 10.0):
        server, client = connected(timeout)

        together(lambda c=client: c.recv(1), lambda s=server: (time.sleep(0.01), s.send(b"x")))

        assert os.get_blocking(client.fileno()) == (timeout is None)
        assert client.gettimeout() == timeout


@isolated
def test_a_kill_ends_a_wait_and_leaves_the_connection_usable() -> None:
    patch()
    server, client = connected()
    waiting = green.spawn(client.recv, 9)
    green.sleep(0)

    waiting.kill(block=True)

    assert together(lambda: client.recv(9), lambda: server.send(b"data")) == [b"data", 4]


@isolated
def test_a_connection_over_memory_is_the_originals() -> None:
    patch()

    def handshake() -> Any:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = client_context.wrap_bio(incoming, outgoing, server_hostname=NAME)
        return outcome(connection.do_handshake)[0]

    assert together(handshake) == [ssl.SSLWantReadError]


def taught_to_wait(connection: ssl.SSLSocket, peer: ssl.SSLSocket) -> None:
    """Reads that find nothing at first, until the connection's next ones wait without trying."""
    for number in range(5):
        read = green.spawn(connection.recv, 100)
        green.sleep(0)
        peer.sendall(b"%d" % number)
        assert read.get(timeout=10) == b"%d" % number


@isolated
def test_after_reads_that_waited_what_is_there_already_needs_no_arrivals() -> None:
    patch()
    server, client = connected()
    taught_to_wait(server, client)

    client.sendall(b"a record in pieces")

    pieces = [together(lambda: server.recv(6))[0] for _ in range(3)]
    assert b"".join(pieces) == b"a record in pieces"
    closing = green.spawn(client.unwrap)  # Says that it is done, and keeps the descriptor open.
    with green.Timeout(10):
        assert [together(lambda: server.recv(10))[0] for _ in range(3)] == [b"", b"", b""]
    closing.kill(block=True)


@isolated
def test_after_reads_that_waited_a_new_connection_of_that_number_shakes_hands_by_reading() -> None:
    patch()
    server, client = connected()
    taught_to_wait(client, server)
    number = client.fileno()
    client.close()
    ends = sorted(socket.socketpair(), key=lambda end: end.fileno() == number)
    assert ends[1].fileno() == number
    with ends[0] as one, ends[1] as two, green.Timeout(10):
        server = server_context.wrap_socket(one, server_side=True, do_handshake_on_connect=False)
        # It has to write first, though it is told to read.
        client = client_context.wrap_socket(
            two, server_hostname=NAME, do_handshake_on_connect=False
        )
        reads = [green.spawn(end.recv, 10) for end in (server, client)]
        green.sleep(0.1)
        for end in (server, client):
            together(lambda end=end: end.sendall(b"hello"))
        assert [read.get() for read in reads] == [b"hello", b"hello"]
