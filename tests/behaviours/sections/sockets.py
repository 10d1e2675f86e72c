"""Sockets: behaviours 10 to 12, 15 and 16."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layer
from layer import NativeThread, result, spawn, together
from support import (
    CERTIFICATE,
    assert_flat,
    child,
    scenario,
    size,
    turning,
)


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or its error's number, or type."""
    try:
        return function(*arguments)
    except OSError as error:
        return error.errno
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# --- 10


@scenario(10)
def readers_of_one_socket_are_served_in_order() -> None:
    """Five greens read one socket: each gets a message, in the order of their coming."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    readers = []
    for _ in range(5):
        readers.append(spawn(lambda: outcome(here.recv, 10)))
        layer.sleep(0.01)
    for number in range(5):
        there.send(b"%d" % number)
    assert [result(each) for each in readers] == [b"%d" % number for number in range(5)]


@scenario(10)
def acceptors_of_one_listener_are_served() -> None:
    """Five greens accept from one listener."""
    listener = socket.create_server(("127.0.0.1", 0))
    acceptors = [spawn(lambda: outcome(lambda: listener.accept()[0].recv(1))) for _ in range(5)]
    layer.sleep(0.05)
    for _ in range(5):
        socket.create_connection(listener.getsockname()).send(b"x")
    assert [result(each) for each in acceptors] == [b"x"] * 5


@scenario(10)
def writers_of_one_socket_take_turns() -> None:
    """Three greens write much to one socket, and what each writes stays whole."""
    here, there = socket.socketpair()
    total = 3 * 500_000
    writers = [spawn(outcome, here.sendall, each * 500_000) for each in (b"a", b"b", b"c")]
    got = b""
    while len(got) < total:
        got += there.recv(65536)
    assert [result(each) for each in writers] == [None] * 3
    assert len(got) == total
    changes = sum(got[each] != got[each + 1] for each in range(499_999, total - 1, 500_000))
    assert changes == 2, "what one wrote is not in one piece"
    assert got[0] == got[499_999], "what one wrote is not in one piece"


@scenario(10, timed=True)
def reader_and_writer_together() -> None:
    """One green reads a socket while another writes more to it than it takes."""
    here, there = socket.socketpair()
    with turning():
        reader = spawn(lambda: outcome(here.recv, 1))
        writer = spawn(lambda: outcome(here.sendall, b"x" * 3_000_000))
        layer.sleep(0.1)
        there.send(b"r")
        assert result(reader) == b"r"
        got = 0
        while got < 3_000_000:
            got += len(there.recv(65536))
        assert result(writer) is None


@scenario(10)
def no_false_alarm_after_close_and_reuse() -> None:
    """A socket is closed while a green reads it; the next one has its number and works."""
    here, there = socket.socketpair()
    number = here.fileno()
    reader = spawn(lambda: outcome(here.recv, 1))
    layer.sleep(0.01)
    here.close()
    layer.sleep(0.01)
    again, other = socket.socketpair()
    assert again.fileno() == number, "the number is not free"
    second = spawn(lambda: outcome(again.recv, 1))
    layer.sleep(0.01)
    other.send(b"x")
    assert result(second) == b"x"
    assert result(reader) == errno.EBADF, result(reader)
    assert there.recv(1) == b""


# --- 11


@scenario(11)
def close_wakes_all_who_wait() -> None:
    """close() ends all reads, writes and accepts of the socket with EBADF, in one turn."""
    here, _there = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    greens = [spawn(lambda: outcome(here.recv, 1)) for _ in range(3)]
    greens += [spawn(lambda: outcome(here.sendall, b"x" * 3_000_000))]
    greens += [spawn(lambda: outcome(listener.accept)) for _ in range(3)]
    ended: list[Any] = []
    watchers = [spawn(lambda each=each: ended.append(result(each))) for each in greens]
    layer.sleep(0.05)
    here.close()
    listener.close()
    layer.sleep(0.05)
    assert ended == [errno.EBADF] * 7, ended
    for each in watchers:
        result(each)


@scenario(11)
def close_of_a_pipe_wakes_who_reads_it() -> None:
    """os.close() ends a green's os.read() of that descriptor with EBADF."""
    reading, _writing = os.pipe()
    reader = spawn(lambda: outcome(os.read, reading, 1))
    layer.sleep(0.05)
    os.close(reading)
    assert result(reader) == errno.EBADF


@scenario(11, seconds=60, timed=True)
def descriptors_closed_and_used_again() -> None:
    """Sockets are opened, waited for, closed and opened anew: each wait has its own end."""
    cycles = size(100_000, 3_000) // 20

    def life() -> None:
        for _ in range(cycles):
            here, there = socket.socketpair()
            reader = spawn(lambda one=here: outcome(one.recv, 1))
            layer.sleep(0)
            here.close()
            again, other = socket.socketpair()
            second = spawn(lambda one=again: outcome(one.recv, 1))
            layer.sleep(0)
            other.send(b"x")
            assert result(second) == b"x", "a wake-up was lost"
            assert result(reader) == errno.EBADF, result(reader)
            for each in (there, again, other):
                each.close()

    with turning():
        together(*[life] * 20)


# --- 12


@scenario(12, timed=True)
def socket_that_is_always_readable() -> None:
    """A green that reads a socket which always has bytes starves nobody."""
    here, there = socket.socketpair()
    code = "import os\nwhile True: os.write(0, b'x' * 65536)"

    def read() -> None:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            assert here.recv(4096)

    with child([sys.executable, "-c", code], stdin=there):
        layer.sleep(0.2)
        with turning():
            result(spawn(read))


@scenario(12, timed=True)
def socket_that_is_always_writable() -> None:
    """A green that writes to a socket which always has room starves nobody."""
    here, there = socket.socketpair()
    code = "import os\nwhile True: os.read(0, 1 << 20)"

    def write() -> None:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            here.send(b"x" * 1000)

    with child([sys.executable, "-c", code], stdin=there):
        layer.sleep(0.2)
        with turning():
            result(spawn(write))


def voluntary_switches() -> int:
    """How often threads of this process have gone to sleep."""
    total = 0
    for status in Path("/proc/self/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


@scenario(12, timed=True)
def idle_costs_nothing() -> None:
    """Greens that wait for sockets, locks and times to come cost under 5 wake-ups a second."""
    here, _there = socket.socketpair()
    greens = [spawn(here.recv, 1), spawn(layer.sleep, 100)]
    layer.in_pool(os.getpid)
    layer.sleep(0.2)
    before = voluntary_switches()
    layer.sleep(2)
    woken = voluntary_switches() - before
    assert len(greens) == 2
    assert woken < 10, f"{woken / 2:.0f} wake-ups a second"


# --- 15


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tls_pair(
    relay: Callable[[socket.socket, socket.socket], None] | None = None,
) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """A client and a server that have shaken hands, what they say going through `relay`."""
    here, there = socket.socketpair()
    if relay is not None:
        middle, there = socket.socketpair()
        here, far = socket.socketpair()
        spawn(relay, far, middle)
        spawn(relay, middle, far)
    serving = spawn(lambda: server_context().wrap_socket(there, server_side=True))
    client = client_context().wrap_socket(here)
    return client, result(serving)


def by_the_byte(one: socket.socket, other: socket.socket) -> None:
    while byte := one.recv(1):
        other.send(byte)


def with_pauses(one: socket.socket, other: socket.socket) -> None:
    """As a network that loses packets: bytes come in pieces, late."""
    while piece := one.recv(700):
        layer.sleep(0.02)
        other.sendall(piece)


def say_something(relay: Callable[[socket.socket, socket.socket], None]) -> None:
    with turning():
        client, server = tls_pair(relay)
        spawn(echo, server)
        client.sendall(b"x" * 3000)
        got = b""
        while len(got) < 3000:
            piece = client.recv(4000)
            assert piece, "the end came early"
            got += piece


def echo(server: ssl.SSLSocket) -> None:
    while piece := server.recv(4000):
        server.sendall(piece)


@scenario(15, timed=True)
def tls_by_the_byte() -> None:
    """TLS with a peer whose bytes come one by one does not hold up the hub."""
    say_something(by_the_byte)


@scenario(15, timed=True)
def tls_through_a_bad_network() -> None:
    """TLS with a peer whose bytes come in late pieces does not hold up the hub."""
    say_something(with_pauses)


@scenario(15, timed=True)
def tls_peer_that_stops() -> None:
    """A TLS peer that stops within its handshake ends a time-out, and holds up nobody."""
    here, there = socket.socketpair()
    here.settimeout(0.3)
    with turning():
        kind = outcome(lambda: client_context().wrap_socket(here))
    assert kind is None or "timed out" in str(kind), kind
    assert there.recv(10)


@scenario(15, seconds=60)
def tls_reads_leave_no_memory() -> None:
    """Many reads through TLS leave the memory as it was."""
    client, server = tls_pair()

    def say() -> None:
        while True:
            server.send(b"x" * 1000)

    spawn(say)
    assert_flat(lambda: client.recv(1000), size(100_000, 10_000))


@scenario(15, timed=True)
def tls_handshakes_hold_up_nobody() -> None:
    """A handshake holds up the others no longer than it computes, 50 times."""
    with turning():
        for _ in range(50):
            tls_pair()


# --- 16


@scenario(16)
def descriptors_stay_blocking() -> None:
    """Sockets that greens wait for do not get O_NONBLOCK."""
    here, there = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    greens = [spawn(here.recv, 1), spawn(listener.accept)]
    layer.sleep(0.05)
    wrong = [name for name, one in (("socket", here), ("listener", listener)) if nonblocking(one)]
    there.send(b"x")
    assert result(greens[0]) == b"x"
    assert not wrong, f"O_NONBLOCK was set: {wrong}"


def nonblocking(file: Any) -> bool:
    return bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_NONBLOCK)


@scenario(16)
def pipes_stay_blocking() -> None:
    """Pipes that greens wait for do not get O_NONBLOCK."""
    reading, writing = os.pipe()
    flags = []

    def write() -> None:
        layer.native_sleep(0.1)
        flags.extend([nonblocking(reading), nonblocking(writing)])
        os.write(writing, b"x")

    writer = NativeThread(write)
    assert result(spawn(os.read, reading, 1)) == b"x"
    writer.join()
    assert flags == [False, False]


@scenario(16)
def child_that_shares_a_socket_is_not_surprised() -> None:
    """A child that inherits a socket, used here by greens, reads it as a blocking one."""
    here, there = socket.socketpair()
    reader = spawn(here.recv, 1)
    layer.sleep(0.02)
    there.send(b"1")
    assert result(reader) == b"1"
    code = "import os; os.write(1, os.read(0, 1))"
    with child([sys.executable, "-c", code], stdin=here, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        layer.sleep(0.5)
        there.send(b"2")
        assert process.stdout.read() == b"2", "the child could not wait"


@scenario(16)
def non_blocking_stays_non_blocking() -> None:
    """A socket that the program made non-blocking fails at once where it would wait."""
    here, _there = socket.socketpair()
    here.setblocking(False)
    assert outcome(here.recv, 1) == errno.EAGAIN
    assert fcntl.fcntl(here, fcntl.F_GETFL) & os.O_NONBLOCK
