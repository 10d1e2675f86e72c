"""A call that gives its turn away must not go on with what has the descriptor's number by then."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable

from patched import isolated, patch

import green

ROUNDS = 100  # Every 32nd call gives its turn away before it begins.


def fate(reader: green.Green) -> object:
    """What a reader has read, or the errno of its error."""
    try:
        return reader.get()
    except OSError as error:
        return error.errno


def close_under_readers(begin: Callable[[int], green.Green]) -> None:
    """Closes the descriptor of a reader that has begun, and opens another of the same number."""
    for round_number in range(ROUNDS):
        read, write = os.pipe()
        reader = begin(read)
        green.sleep(0)
        os.close(read)
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
def test_an_unbuffered_file_s_read_is_ended_by_a_close_of_its_descriptor() -> None:
    patch()

    def begin(fd: int) -> green.Green:
        file = open(fd, "rb", 0, closefd=False)  # noqa: SIM115
        return green.spawn(file.read, 99)

    close_under_readers(begin)


@isolated
def test_a_large_read_of_a_file_ends_where_its_descriptor_is_closed() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        names = [os.path.join(folder, name) for name in ("one", "other")]
        for name, byte in zip(names, (b"1", b"2"), strict=True):
            with open(name, "wb") as file:
                file.write(byte * (8 << 20))
        fd = os.open(names[0], os.O_RDONLY)
        reader = green.spawn(os.read, fd, 8 << 20)
        green.sleep(0)
        assert not reader.dead  # It gives its turn away between the pieces.
        os.close(fd)
        assert os.open(names[1], os.O_RDONLY) == fd

        assert fate(reader) == errno.EBADF
        os.close(fd)
