"""A call that gives its turn away must not go on with what has the descriptor's number by then."""

from __future__ import annotations

import errno
import os
import select
import socket
import tempfile
from collections.abc import Callable

from patched import isolated, patch

import green

LARGE = 8 << 20
ROUNDS = 100  # Every 32nd call gives its turn away before it begins.


def fate(reader: green.Green) -> object:
    """What a reader has read, or the errno of its error."""
    try:
        return reader.get()
    except OSError as error:
        return error.errno


def two_files(folder: str) -> list[str]:
    """One full of "1", one of "2", larger than what a pipe or a socket takes at once."""
    names = [os.path.join(folder, name) for name in ("one", "other")]
    for name, byte in zip(names, (b"1", b"2"), strict=True):
        with open(name, "wb") as file:
            file.write(byte * LARGE)
    return names


def close_under_readers(
    begin: Callable[[int], green.Green], close: Callable[[int], object] = os.close
) -> None:
    """Closes the descriptor of a reader that has begun, and opens another of the same number."""
    for round_number in range(ROUNDS):
        read, write = os.pipe()
        reader = begin(read)
        green.sleep(0)
        close(read)
        again, other = os.pipe()
        assert again == read
        os.write(other, b"another's")

        assert fate(reader) == errno.EBADF, round_number
        assert os.read(again, 99) == b"another's"
        for fd in (write, again, other):
            os.close(fd)


@isolated
def test_a_read_is_ended_by_a_close_also_when_it_has_not_reached_the_kernel() -> None:
    patch()
    close_under_readers(lambda fd: green.spawn(os.read, fd, 99))


@isolated
def test_a_read_is_ended_by_closerange_and_by_dup2() -> None:
    patch()
    close_under_readers(
        lambda fd: green.spawn(os.read, fd, 99), lambda fd: os.closerange(fd, fd + 1)
    )
    for _ in range(ROUNDS):
        (read, write), (again, other) = os.pipe(), os.pipe()
        reader = green.spawn(os.read, read, 99)
        green.sleep(0)
        assert os.dup2(read, read) == read  # Which closes nothing.
        green.sleep(0)
        assert not reader.dead
        assert os.dup2(again, read) == read
        os.write(other, b"another's")

        assert fate(reader) == errno.EBADF
        assert os.read(read, 99) == b"another's"
        for fd in (read, write, again, other):
            os.close(fd)


@isolated
def test_an_unbuffered_file_s_read_is_ended_by_a_close_of_its_descriptor() -> None:
    patch()

    def begin(fd: int) -> green.Green:
        file = open(fd, "rb", 0, closefd=False)  # noqa: SIM115
        return green.spawn(file.read, 99)

    close_under_readers(begin)


@isolated
def test_a_large_read_of_a_file_ends_where_its_descriptor_is_closed() -> None:
    patch()
    for read in (lambda fd: os.read(fd, LARGE), lambda fd: os.pread(fd, LARGE, 0)):
        with tempfile.TemporaryDirectory() as folder:
            one, other = two_files(folder)
            fd = os.open(one, os.O_RDONLY)
            reader = green.spawn(read, fd)
            green.sleep(0)
            assert not reader.dead  # It gives its turn away between the pieces.
            os.close(fd)
            assert os.open(other, os.O_RDONLY) == fd

            got = reader.get()
            assert set(got) == set(b"1")
            assert len(got) < LARGE
            assert os.lseek(fd, 0, os.SEEK_CUR) == 0
            os.close(fd)


@isolated
def test_what_has_come_before_a_close_is_not_asked_for_again_by_another_descriptor() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        one, _ = two_files(folder)
        fd = os.open(one, os.O_RDONLY)
        shares_its_position = os.dup(fd)
        reader = green.spawn(os.read, fd, LARGE)
        green.sleep(0)
        os.close(fd)

        got = reader.get()
        assert 0 < len(got) < LARGE
        assert os.lseek(shares_its_position, 0, os.SEEK_CUR) == len(got)
        os.close(shares_its_position)


def drain(fd: int) -> bytes:
    """What there is to read now, until nothing comes any more."""
    arrived = b""
    while select.select([fd], [], [], 0)[0]:
        arrived += os.read(fd, LARGE)
        green.sleep(0)
        green.sleep(0)
    return arrived


@isolated
def test_a_sendfile_that_waits_for_its_receiver_sends_nothing_of_another_file() -> None:
    patch()
    for offset in (0, None):  # None: from the file's own position, which moves.
        sends_nothing_of_another_file(offset)


def sends_nothing_of_another_file(offset: int | None) -> None:
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as folder, ours, theirs:
        one, other = two_files(folder)
        fd = os.open(one, os.O_RDONLY)
        sender = green.spawn(os.sendfile, theirs.fileno(), fd, offset, LARGE)
        green.sleep(0)
        assert not sender.dead
        os.close(fd)
        assert os.open(other, os.O_RDONLY) == fd
        arrived = drain(ours.fileno())

        assert set(arrived) == set(b"1")
        assert fate(sender) == len(arrived) < LARGE
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
        os.close(fd)


@isolated
def test_a_sendfile_that_stands_in_line_for_its_receiver_sends_nothing_of_another_file() -> None:
    patch()
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory() as folder, ours, theirs:
        one, other = two_files(folder)
        stays, fd = os.open(one, os.O_RDONLY), os.open(one, os.O_RDONLY)
        senders = [
            green.spawn(os.sendfile, theirs.fileno(), each, 0, LARGE // 8) for each in (stays, fd)
        ]
        green.sleep(0)
        os.close(fd)
        assert os.open(other, os.O_RDONLY) == fd

        arrived = drain(ours.fileno())
        assert (set(arrived), len(arrived)) == (set(b"1"), LARGE // 8)
        fates = [fate(each) for each in senders]
        assert fates == [LARGE // 8, errno.EBADF], fates
        for each in (stays, fd):
            os.close(each)


@isolated
def test_a_splice_that_waits_for_room_moves_nothing_of_another_file() -> None:
    patch()
    read, write = os.pipe()
    os.set_blocking(write, False)
    filled = os.write(write, b"0" * LARGE)
    os.set_blocking(write, True)
    with tempfile.TemporaryDirectory() as folder:
        one, other = two_files(folder)
        fd = os.open(one, os.O_RDONLY)
        mover = green.spawn(os.splice, fd, write, 4096)
        green.sleep(0)
        assert not mover.dead
        os.close(fd)
        assert os.open(other, os.O_RDONLY) == fd
        arrived = drain(read)

        assert fate(mover) == errno.EBADF
        assert len(arrived + drain(read)) == filled
        for each in (fd, read, write):
            os.close(each)


@isolated
def test_a_native_thread_that_has_not_begun_moves_nothing_of_another_file() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        one, other = two_files(folder)
        target = os.open(os.path.join(folder, "target"), os.O_RDWR | os.O_CREAT)
        for call in (
            lambda fd: os.copy_file_range(fd, target, 4096, 0, 0),
            lambda fd: os.preadv(fd, [bytearray(4096)] * (LARGE // 4096 // 8), 0),
        ):
            for _ in range(ROUNDS):
                fd = os.open(one, os.O_RDONLY)
                mover = green.spawn(call, fd)
                green.sleep(0)
                os.close(fd)
                assert os.open(other, os.O_RDONLY) == fd

                assert fate(mover) in (errno.EBADF, 4096, LARGE // 8)
                assert b"2" not in os.pread(target, 4096, 0)
                os.close(fd)
        os.close(target)


@isolated
def test_a_descriptor_that_two_close_at_once_leaves_its_number_usable() -> None:
    patch()
    one, two = socket.socketpair()
    reader = green.spawn(one.recv, 1)
    green.sleep(0)
    closers = [green.spawn(one.close), green.spawn(one.close)]

    green.wait(closers, timeout=10)
    assert fate(reader) == errno.EBADF
    again, peer = socket.socketpair()
    peer.send(b"x")

    assert again.recv(1) == b"x"
    two.close()
