"""Sockets, TLS, files, children, name look-ups: something goes wrong at each of their waits."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faults import Crew, sweep
from patched import isolated, patch

import green
from green import _psycopg

CERTIFICATE = Path(__file__).parent / "tls" / "test.invalid.pem"
LONG = bytes(range(256)) * 4096  # More than a socket or a pipe takes at once.
WAIT = 10.0

server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain(CERTIFICATE)
client_context = ssl.create_default_context(cafile=str(CERTIFICATE))


def connect(crew: Crew) -> None:
    """accept, connect, recv, sendall; whoever is hit begins with a new connection."""
    done: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(WAIT)
                    connection.sendall(connection.recv(100))

        def ask() -> None:
            while not done:
                address = listener.getsockname()
                # Fails, or ends without an answer, when the server was hit.
                with (
                    contextlib.suppress(ConnectionError),
                    socket.create_connection(address, WAIT) as client,
                ):
                    client.sendall(b"hello")
                    done.extend(filter(None, [client.recv(100)]))

        crew.run(ask, helpers=[serve])

    assert done == [b"hello"]


def read_exactly(crew: Crew) -> None:
    """No byte that has come is lost to whoever is hit while it waits for it, nor to the next."""
    one, two = socket.socketpair()
    received = bytearray()
    left = [b"a", b"bc", b"def"]

    def write() -> None:
        while left:
            green.sleep(0)
            assert two.send(left[0]) == len(left[0])
            del left[0]

    def read() -> None:
        while len(received) < 6:
            received.extend(one.recv(2))

    with one, two:
        crew.run(write, read)

    assert bytes(received) == b"abcdef"


def send_much(crew: Crew) -> None:
    """Two at each end; after the one that is hit the other has its turn."""
    one, two = socket.socketpair()

    def send() -> None:
        one.sendall(LONG)

    def receive() -> None:
        while True:
            two.recv(1 << 20)

    with one, two:
        one.settimeout(WAIT)
        crew.run(send, send, helpers=[receive, receive])


def close_under_waiters(crew: Crew) -> None:
    one, two = socket.socketpair()
    ended: list[str] = []

    def wait(function: Callable[..., Any]) -> None:
        try:
            function(100)
        except OSError:
            ended.append("closed")

    def close() -> None:
        green.sleep(0)
        one.close()

    with one, two:
        read = functools.partial(wait, one.recv)
        crew.run(read, functools.partial(wait, one.recvfrom), close)

    assert len(ended) == 2


def tls(crew: Crew) -> None:
    """Handshake, data, end. (wrap_socket() does not close what it has made after such errors.)"""
    done: list[bytes] = []

    def serve(end: socket.socket) -> None:
        server = server_context.wrap_socket(end, server_side=True, do_handshake_on_connect=False)
        with server, contextlib.suppress(OSError):
            server.do_handshake()
            server.sendall(server.recv(100))
            server.unwrap().close()

    def talk(end: socket.socket) -> None:
        client = client_context.wrap_socket(
            end, server_hostname="test.invalid", do_handshake_on_connect=False
        )
        with client, contextlib.suppress(OSError):
            client.do_handshake()
            client.sendall(b"hello")
            done.extend(filter(None, [client.recv(100)]))
            client.unwrap().close()

    def ask() -> None:
        while not done:
            one, two = socket.socketpair()
            one.settimeout(WAIT)
            two.settimeout(WAIT)
            server = green.spawn(serve, two)
            try:
                talk(one)
            finally:
                server.kill()

    crew.run(ask)

    assert done == [b"hello"]


def files(crew: Crew) -> None:
    done: list[bytes] = []

    def write_and_read() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(LONG)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            done.append(file.read())

    crew.run(write_and_read)

    assert done == [LONG]


def pipes(crew: Crew) -> None:
    reading, writing = os.pipe()
    left = [b"one", b"two"]
    seen: list[bytes] = []

    def write() -> None:
        while left:
            green.sleep(0)
            os.write(writing, left[0])
            del left[0]

    def read() -> None:
        while sum(map(len, seen)) < 6:
            seen.append(os.read(reading, 3))

    crew.run(write, read)
    os.close(reading)
    os.close(writing)

    assert b"".join(seen) == b"onetwo"


def child(crew: Crew) -> None:
    """Who waits for one is hit: it can be waited for again, and gives what it was sent."""
    children: list[subprocess.Popen[bytes]] = []
    sent: list[int | None] = []
    output: list[bytes] = []

    def run() -> None:
        if not children:
            # Unbuffered: the close() of a buffered file forgets what it could not write.
            children.append(subprocess.Popen(["cat"], stdin=-1, stdout=-1, bufsize=0))
        (process,) = children
        assert process.stdin is not None
        if not sent:
            sent.append(process.stdin.write(b"hello"))
        process.stdin.close()
        assert process.stdout is not None
        if not output:
            output.append(process.stdout.read(5))
        assert process.wait() == 0
        process.stdout.close()

    crew.run(run)

    assert output == [b"hello"]
    # A Popen() that is hit while it starts leaves its child, whose pipes it has closed, to others.
    with pytest.raises(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def wait_for_descriptors(crew: Crew) -> None:
    """select, poll, epoll, and the wait that psycopg2 is given, on sockets that get a byte."""
    one, two = socket.socketpair()
    seen: set[str] = set()

    def by_select() -> None:
        seen.update(["select"] * len(select.select([one], [], [], WAIT)[0]))

    def by_poll() -> None:
        poll = select.poll()
        poll.register(one, select.POLLIN)
        seen.update(["poll"] * len(poll.poll(WAIT * 1000)))

    def by_epoll() -> None:
        with select.epoll() as epoll:
            epoll.register(one, select.EPOLLIN)
            seen.update(["epoll"] * len(epoll.poll(WAIT)))

    def by_callback() -> None:
        states = [1, 0]
        _psycopg.wait(SimpleNamespace(poll=lambda: states.pop(0), fileno=one.fileno))
        seen.add("callback")

    def write() -> None:
        green.sleep(0.001)
        two.send(b"x")

    with one, two:
        crew.run(by_select, by_poll, by_epoll, by_callback, write)

    assert seen == {"select", "poll", "epoll", "callback"}


def look_up(crew: Crew) -> None:
    """The answers are those of an unpatched call: a machine need not have a name for 127.0.0.1."""
    done: list[Any] = []

    def ask() -> None:
        done[:] = [socket.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICSERV)]
        try:
            done.append(socket.gethostbyaddr("127.0.0.1"))
        except socket.herror as error:
            done.append(str(error))

    crew.run(ask)

    patched = list(done)
    with green.blocking():
        ask()
    assert patched == done


@isolated
def test_connections_begin_again_and_keep_their_bytes() -> None:
    patch()
    sweep(connect, read_exactly, send_much, close_under_waiters)


@isolated
def test_tls_leaves_nothing() -> None:
    patch()
    sweep(tls)


@isolated
def test_files_pipes_and_children_leave_nothing() -> None:
    patch()
    sweep(files, pipes, child)


@isolated
def test_waits_for_descriptors_and_look_ups_leave_nothing() -> None:
    import sys

    patch()
    extensions = SimpleNamespace(POLL_OK=0, POLL_READ=1, POLL_WRITE=2)
    sys.modules["psycopg2.extensions"] = extensions  # type: ignore[assignment]
    sweep(wait_for_descriptors, look_up)
