"""Greens that share the position of a file, or a transfer that is cut: every byte goes once."""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable

from patched import isolated, patch, start_natively, together

import green

MEBIBYTE = 1 << 20


@isolated
def test_large_writes_and_small_ones_at_one_position_lose_nothing() -> None:
    patch()
    with tempfile.TemporaryFile(buffering=0) as file:
        other = os.dup(file.fileno())

        def write_much() -> int:
            return os.write(file.fileno(), b"A" * (32 * MEBIBYTE))

        def write_little() -> int:
            count = 0
            for fd in (other, file.fileno()) * 4:
                count += os.write(fd, b"B" * 100)
                time.sleep(0.001)
            return count

        assert together(write_much, write_little) == [32 * MEBIBYTE, 800]
        assert os.lseek(other, 0, os.SEEK_CUR) == 32 * MEBIBYTE + 800
        os.close(other)
        file.seek(0)
        content = file.read()
        assert (content.count(b"A"), content.count(b"B")) == (32 * MEBIBYTE, 800)


@isolated
def test_each_read_at_a_shared_position_is_of_one_piece() -> None:
    patch()
    with tempfile.TemporaryFile(buffering=0) as file:
        for number in range(8):
            file.write(bytes([number]) * MEBIBYTE)
        file.seek(0)
        pieces = together(*[lambda: os.read(file.fileno(), 4 * MEBIBYTE)] * 2)

        assert sorted(piece[::MEBIBYTE] for piece in pieces) == [
            bytes(range(4)),
            bytes(range(4, 8)),
        ]
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 8 * MEBIBYTE


@isolated
def test_what_others_do_at_the_position_of_a_read_they_do_behind_it() -> None:
    patch()
    room = bytearray(4)
    others: list[tuple[Callable[[int], object], int]] = [
        (lambda fd: os.readv(fd, [room]), 4 * MEBIBYTE + 4),
        (lambda fd: os.write(fd, b"text"), 4 * MEBIBYTE + 4),
        (lambda fd: os.lseek(fd, 0, os.SEEK_SET), 0),
    ]
    for other, position in others:
        with tempfile.TemporaryFile(buffering=0) as file:
            content = b"".join(bytes([number]) * MEBIBYTE for number in range(8))
            file.write(content)
            file.seek(0)
            fd = file.fileno()
            read, _ = together(
                functools.partial(os.read, fd, 4 * MEBIBYTE), functools.partial(other, fd)
            )

            assert read == content[: 4 * MEBIBYTE]
            assert os.lseek(fd, 0, os.SEEK_CUR) == position
            assert file.seek(0) == 0
            assert file.read(4 * MEBIBYTE) == read
    assert room == b"\4" * 4


@isolated
def test_a_read_that_finds_less_than_it_asks_for_leaves_the_position_at_the_end() -> None:
    patch()
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(bytes(3 * MEBIBYTE + 5))
        file.seek(1)

        (read,) = together(lambda: os.read(file.fileno(), 8 * MEBIBYTE))
        assert len(read) == 3 * MEBIBYTE + 4
        assert file.tell() == 3 * MEBIBYTE + 5
        file.seek(100 * MEBIBYTE)
        assert together(lambda: os.read(file.fileno(), 8 * MEBIBYTE)) == [b""]
        assert file.tell() == 100 * MEBIBYTE


@isolated
def test_the_position_of_a_file_that_is_cut_while_it_is_read_is_where_its_bytes_end() -> None:
    patch()
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(bytes(8 * MEBIBYTE))
        file.seek(0)

        read, _ = together(
            lambda: os.read(file.fileno(), 8 * MEBIBYTE), lambda: file.truncate(3 * MEBIBYTE)
        )
        assert len(read) == 3 * MEBIBYTE
        assert file.tell() == 3 * MEBIBYTE


def numbered(size: int) -> bytes:
    return b"".join(b"%07d\n" % number for number in range(size // 8))


@isolated
def test_sendfile_goes_on_where_a_signal_has_interrupted_it() -> None:
    patch()
    content = numbered(4 * MEBIBYTE)
    left, right = socket.socketpair()
    received: list[bytes] = []

    def read_slowly() -> None:
        while piece := right.recv(65536):
            received.append(piece)
            time.sleep(0.0005)

    reader = threading.Thread(target=read_slowly)
    start_natively(reader)
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    with left, tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        sent = 0
        while sent < len(content):
            sent += os.sendfile(left.fileno(), file.fileno(), sent, len(content) - sent)
    signal.setitimer(signal.ITIMER_REAL, 0)
    reader.join()
    assert b"".join(received) == content
    right.close()


@isolated
def test_what_sendfile_has_sent_when_a_timeout_comes_is_told() -> None:
    patch()
    left, right = socket.socketpair()
    sent = []
    with left, right, tempfile.TemporaryFile(buffering=0) as file:
        file.write(bytes(MEBIBYTE))

        def send() -> None:
            with green.Timeout(0.05, False):
                sent.append(os.sendfile(left.fileno(), file.fileno(), 0, MEBIBYTE))
                time.sleep(10)

        together(send)
        right.setblocking(False)
        received = 0
        while True:
            try:
                received += len(right.recv(MEBIBYTE))
            except BlockingIOError:
                break
        assert 0 < received < MEBIBYTE
        assert sent == [received]


@isolated
def test_what_has_come_of_all_that_was_to_be_waited_for_is_told_when_a_timeout_comes() -> None:
    patch()
    left, right = socket.socketpair()
    got = []

    def receive() -> None:
        with green.Timeout(0.05, False):
            got.append(right.recv(10, socket.MSG_WAITALL))
            time.sleep(10)

    with left, right:
        left.send(b"12345")
        together(receive)
        assert got == [b"12345"]


@isolated
def test_what_has_come_of_it_is_told_to_who_is_killed_while_another_stands_in_line() -> None:
    patch()
    left, right = socket.socketpair()
    with left, right:
        received: list[bytes] = []
        first = green.spawn(lambda: received.append(right.recv(10, socket.MSG_WAITALL)))
        green.sleep(0)
        second = green.spawn(right.recv, 10)
        green.sleep(0)
        left.send(b"12345")
        green.sleep(0.01)
        first.kill(block=False)
        first.join()
        left.send(b"6")

        assert received == [b"12345"]
        assert second.get() == b"6"


@isolated
def test_a_datagram_that_is_longer_than_the_room_is_told_of() -> None:
    patch()
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        for size in (100, 1024, 60000):
            left.send(b"x" * 60000)
            found = together(lambda size=size: right.recv(size, socket.MSG_TRUNC))[0]
            assert (len(found), found[:size]) == (60000, b"x" * size)


@isolated
def test_who_waits_for_a_lock_of_a_file_that_is_closed_locks_no_other() -> None:
    patch()
    with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as another:
        holder = os.open(file.name, os.O_RDWR)
        fcntl.flock(holder, fcntl.LOCK_EX)
        fd = os.open(file.name, os.O_RDWR)
        waiter = green.spawn(fcntl.flock, fd, fcntl.LOCK_EX)
        green.sleep(0.005)
        os.close(fd)
        assert os.open(another.name, os.O_RDWR) == fd
        waiter.join(10)
        assert isinstance(waiter.exception, OSError)
        own = os.open(another.name, os.O_RDWR)
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for each in (holder, fd, own):
            os.close(each)


@isolated
def test_a_close_that_has_ended_others_waits_closes_also_when_it_is_killed() -> None:
    patch()
    read_end, write_end = os.pipe()
    reader = green.spawn(os.read, read_end, 1)
    green.sleep(0.001)
    closer = green.spawn(os.close, read_end)
    green.spawn(closer.kill)
    green.joinall([reader, closer], timeout=10)

    assert isinstance(reader.exception, OSError)
    try:
        os.fstat(read_end)
    except OSError:
        os.close(write_end)
    else:
        raise AssertionError("it is open")


@isolated
def test_a_large_write_that_a_timeout_comes_into_is_told_of() -> None:
    patch()
    written = []
    with tempfile.TemporaryFile(buffering=0) as file:
        data = bytes(64 * MEBIBYTE)

        def write() -> None:
            for write in (
                lambda: os.write(file.fileno(), data),
                lambda: os.writev(file.fileno(), [data]),
            ):
                with green.Timeout(0.001, False):
                    written.append(write())
                    time.sleep(10)

        together(write)
        assert written == [len(data)] * 2
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 2 * len(data)
