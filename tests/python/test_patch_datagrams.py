"""Datagram sockets that are "ready" and yet would block, under the patch: full, or shut down."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from patched import Ticker, isolated, outcome, patch, together

import green

COUNT = 40  # More than the queue of a Unix socket takes.


@isolated
def test_who_sends_to_a_full_unix_socket_waits_for_its_reader() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        name = folder + "/socket"
        sends: list[Callable[[socket.socket], Any]] = [
            lambda each: each.sendto(b"x", name),
            lambda each: each.sendto(b"x", 0, name),
            lambda each: each.sendmsg([b"x"], [], 0, name),
        ]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
            reader.bind(name)
            for send in sends:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as writer, Ticker() as ticker:
                    sending = green.spawn(lambda w, s: [s(w) for _ in range(COUNT)], writer, send)
                    ticker.have_turns()
                    assert not sending.dead
                    assert [reader.recv(9) for _ in range(COUNT)] == [b"x"] * COUNT
                    assert sending.get() == [1] * COUNT
                ticker.assert_kept_running()

            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as writer:
                writer.settimeout(0.05)

                def fill() -> None:
                    while True:
                        writer.sendto(b"x", name)

                assert together(lambda: outcome(fill)) == [(TimeoutError, "timed out")]


@isolated
def test_a_close_ends_the_wait_for_room_in_a_unix_socket() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        name = folder + "/socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
            reader.bind(name)
            writer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

            def fill() -> None:
                while True:
                    writer.sendto(b"x", name)

            filling = green.spawn(outcome, fill)
            with Ticker() as ticker:
                ticker.have_turns()
            writer.close()
            assert filling.get() == (OSError, "[Errno 9] Bad file descriptor")


@isolated
def test_a_shutdown_ends_the_wait_for_a_datagram() -> None:
    room = bytearray(9)
    receives: list[Callable[[socket.socket], Any]] = [
        lambda each: each.recv(9),
        lambda each: each.recv_into(room),
        lambda each: each.recvfrom(9)[0],
        lambda each: each.recvfrom_into(room)[0],
        lambda each: each.recvmsg(9)[0],
        lambda each: each.recvmsg_into([room])[0],
    ]
    patch()
    for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "")):
        for receive in receives:
            with socket.socket(family, socket.SOCK_DGRAM) as waiting, Ticker() as ticker:
                waiting.bind(address)
                receiving = green.spawn(receive, waiting)
                ticker.have_turns()
                with contextlib.suppress(OSError):  # It is not connected, and is shut down.
                    waiting.shutdown(socket.SHUT_RDWR)
                assert receiving.get() in (b"", 0)
            ticker.assert_kept_running()


@isolated
def test_one_that_is_shut_down_keeps_its_time_out_and_stops_nobody() -> None:
    patch()
    with socket.socket(type=socket.SOCK_DGRAM) as waiting, Ticker() as ticker:
        waiting.bind(("127.0.0.1", 0))
        waiting.settimeout(0.2)
        receiving = green.spawn(outcome, waiting.recvfrom, 9)
        green.sleep(0)
        with contextlib.suppress(OSError):
            waiting.shutdown(socket.SHUT_RDWR)
        assert receiving.get() == (TimeoutError, "timed out")

    ticker.assert_kept_running()


@isolated
def test_sizes_that_are_none_are_refused_while_others_stand_in_line() -> None:
    def outcomes(each: socket.socket) -> list[Any]:
        return [
            outcome(each.recvfrom, -1),
            outcome(each.recvmsg, -1),
            outcome(each.recvmsg, 5, -1),
            outcome(each.recvmsg_into, [bytearray(2)], -1),
            outcome(each.recvfrom_into, bytearray(2), 5),
            outcome(each.recvfrom_into, bytearray(2), -1),
            outcome(each.recvfrom_into, b"not writable", 1),
            outcome(each.recvfrom, "x"),
        ]

    one, two = socket.socketpair(type=socket.SOCK_DGRAM)
    with one, two:
        before = outcomes(one)
        patch()
        receiving = green.spawn(one.recv, 9)
        green.sleep(0)

        assert together(lambda: outcomes(one)) == [before]
        two.send(b"x")
        assert receiving.get() == b"x"
