"""Messages over blocking streams under the patch: all of them goes, and MSG_WAITALL gets all."""

from __future__ import annotations

import array
import functools
import os
import socket
from collections.abc import Callable
from typing import Any

from patched import Index, Ticker, isolated, outcome, patch, together

import green

MUCH = 3_000_000
SENDS: dict[str, Callable[[socket.socket, bytes], int]] = {
    "sendmsg": lambda to, data: to.sendmsg([data[:9], memoryview(data)[9:MUCH], bytearray()]),
    "sendto": lambda to, data: to.sendto(data, to.getpeername()),
}


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Connected, with buffers that MUCH does not fit into."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client = socket.create_connection(server.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        return client, server.accept()[0]


def read_all(from_: socket.socket) -> bytes:
    """All that comes before the end of the stream, or as much as is sent here, slowly."""
    parts: list[bytes] = []
    while sum(map(len, parts)) < MUCH:
        green.sleep(0.001)
        parts.append(from_.recv(262144))
        if parts[-1] == b"":
            break
    return b"".join(parts)


@isolated
def test_all_of_a_message_to_a_blocking_stream_is_sent() -> None:
    patch()
    data = os.urandom(MUCH)
    for name, pair in (("sendmsg", tcp_pair), ("sendto", tcp_pair), ("sendmsg", socket.socketpair)):
        one, two = pair()
        send, read = functools.partial(SENDS[name], one, data), functools.partial(read_all, two)
        with one, two, Ticker() as ticker:
            sent = together(send, read)
        assert sent == [MUCH, data]
        ticker.assert_kept_running(1)  # The time is what so much needs to be moved.


@isolated
def test_a_descriptor_goes_once_with_a_long_message() -> None:
    patch()
    one, two = socket.socketpair()
    data = os.urandom(MUCH)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [two.fileno()]))]

    def receive() -> tuple[bytes, int]:
        parts, descriptors = [], 0
        while sum(map(len, parts)) < MUCH:
            part, ancillary, _, _ = two.recvmsg(65536, socket.CMSG_SPACE(64))
            parts.append(part)
            for _, _, payload in ancillary:
                for fd in array.array("i", payload):
                    os.close(fd)
                    descriptors += 1
        return b"".join(parts), descriptors

    with one, two:
        sent = together(lambda: one.sendmsg([data], rights), receive)

    assert sent == [MUCH, (data, 1)]


@isolated
def test_a_message_that_an_exception_ends_tells_how_much_has_gone() -> None:
    patch()
    for send in SENDS.values():
        one, two = tcp_pair()
        told: list[int] = []

        def sends(send: Any = send, one: socket.socket = one, told: list[int] = told) -> None:
            told.append(send(one, bytes(MUCH)))
            green.sleep(60)

        with two:
            with one:
                sender = green.spawn(sends)
                green.sleep(0.05)
                sender.kill()
                assert isinstance(outcome(sender.get), green.GreenExit)
            arrived = read_all(two)

        assert told == [len(arrived)]
        assert 0 < len(arrived) < MUCH


@isolated
def test_a_message_to_a_socket_with_a_time_out_is_sent_in_part_as_natively() -> None:
    patch()
    one, two = socket.socketpair()
    one.settimeout(60)

    with one, two:
        sent = together(lambda: one.sendmsg([bytes(MUCH)]))[0]

    assert 0 < sent < MUCH


@isolated
def test_flags_and_descriptors_may_be_any_objects_that_stand_for_numbers() -> None:
    patch()
    one, two = socket.socketpair()
    calls: list[Callable[[], Any]] = [
        lambda: two.recvfrom(9, Index(socket.MSG_NOSIGNAL)),
        lambda: two.recvmsg(9, 0, Index(socket.MSG_NOSIGNAL)),
        lambda: os.read(Index(two.fileno()), 9),  # type: ignore[arg-type]
    ]

    with one, two, Ticker() as ticker:
        for call in calls:
            reading = green.spawn(call)
            green.sleep(0.1)
            one.send(b"x")
            reading.get()

    ticker.assert_kept_running()


@isolated
def test_who_waits_for_all_bytes_gets_them_all() -> None:
    patch()
    room = bytearray(6)
    receives: list[Callable[[socket.socket, int], Any]] = [
        lambda two, flags: two.recv(6, flags),
        lambda two, flags: two.recvfrom(6, flags)[0],
        lambda two, flags: two.recvmsg(6, 0, flags)[0],
        lambda two, flags: room[: two.recv_into(room, 6, flags)],
        lambda two, flags: room[: two.recvfrom_into(room, 6, flags)[0]],
        lambda two, flags: room[: two.recvmsg_into(iter([room]), 0, flags)[0]],
    ]

    def send(one: socket.socket) -> None:
        for part in (b"ab", b"cd", b"ef"):
            green.sleep(0.005)
            one.send(part)

    for receive in receives:
        one, two = tcp_pair()
        with one, two, Ticker() as ticker:
            for flags in (socket.MSG_WAITALL, socket.MSG_WAITALL | socket.MSG_PEEK):
                got = together(
                    functools.partial(receive, two, flags), functools.partial(send, one)
                )[0]
                assert got == b"abcdef"
        ticker.assert_kept_running()
