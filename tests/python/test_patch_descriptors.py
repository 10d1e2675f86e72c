"""os.read, write and their kin on pipes, under the patch."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import tempfile
import time
from functools import partial
from typing import Any

from patched import assert_same, isolated, outcome, patch, together

import green

MEBIBYTE = 1 << 20


def read_all(fd: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += os.read(fd, 1 << 16)
    return data


@isolated
def test_a_read_from_a_pipe_lets_the_writer_run() -> None:
    read_end, write_end = os.pipe()
    patch()

    assert together(lambda: os.read(read_end, 9), lambda: os.write(write_end, b"abc")) == [
        b"abc",
        3,
    ]
    room = bytearray(4)
    assert together(
        lambda: os.readv(read_end, [room]), lambda: os.writev(write_end, [b"de", b"f"])
    ) == [3, 3]
    assert room == b"def\0"
    assert together(lambda: os.read(read_end, 9), lambda: os.close(write_end)) == [b"", None]
    assert os.get_blocking(read_end)


@isolated
def test_a_write_that_is_larger_than_a_pipe_lets_the_reader_run() -> None:
    read_end, write_end = os.pipe()
    patch()
    data = os.urandom(MEBIBYTE)

    written, read = together(
        lambda: os.write(write_end, data), lambda: read_all(read_end, MEBIBYTE)
    )

    assert written == MEBIBYTE
    assert read == data
    half = MEBIBYTE // 2
    for parts in ([data[:half], bytearray(data[half:])], (data[:half], memoryview(data)[half:])):
        write, take = partial(os.writev, write_end, parts), partial(read_all, read_end, MEBIBYTE)
        assert together(write, take) == [MEBIBYTE, data]
    assert os.get_blocking(write_end)


@isolated
def test_a_small_write_into_a_full_pipe_waits() -> None:
    read_end, write_end = os.pipe()
    patch()
    os.set_blocking(write_end, False)
    full = os.write(write_end, bytes(MEBIBYTE))
    os.set_blocking(write_end, True)

    written, read = together(
        lambda: os.write(write_end, b"end"), lambda: read_all(read_end, full + 3)
    )

    assert written == 3
    assert read == bytes(full) + b"end"


@isolated
def test_readers_of_one_pipe_are_served_in_order() -> None:
    read_end, write_end = os.pipe()
    patch()
    reads = [lambda: os.read(read_end, 1)] * 3

    assert together(*reads, lambda: os.write(write_end, b"abc")) == [b"a", b"b", b"c", 3]


@isolated
def test_close_ends_the_waits_for_a_descriptor() -> None:
    read_end, _ = os.pipe()
    patch()

    first, second, _ = together(
        lambda: outcome(os.read, read_end, 1),
        lambda: outcome(os.read, read_end, 1),
        lambda: os.close(fd=read_end),
    )

    assert first == second
    assert first[0] is OSError
    assert str(errno.EBADF) in str(first[1])


@isolated
def test_a_forked_child_knows_nothing_of_those_who_wait_in_its_parent() -> None:
    read_end, write_end = os.pipe()
    patch()

    def fork() -> int:
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            again, other = os.pipe()
            os.write(other, b"x")
            os._exit(
                0 if again == read_end and together(lambda: os.read(again, 1)) == [b"x"] else 1
            )
        _, status = os.waitpid(pid, 0)
        os.write(write_end, b"end")
        return status

    assert together(lambda: os.read(read_end, 9), fork) == [b"end", 0]


@isolated
def test_a_child_that_a_handler_forks_amid_a_close_may_use_its_number_again() -> None:
    patch()
    statuses: list[int] = []
    with tempfile.TemporaryFile(buffering=0) as file:
        fd = os.dup(file.fileno())

        def handle(number: int, frame: Any) -> None:
            pid = os.fork()
            statuses.append(os.waitpid(pid, 0)[1] if pid else -1)

        signal.signal(signal.SIGUSR1, handle)
        writer = green.spawn(os.write, fd, bytes(64 * MEBIBYTE))
        green.sleep(0)  # It writes on a native thread, which the close waits for.
        green.spawn(os.kill, os.getpid(), signal.SIGUSR1)
        os.close(fd)
        if statuses == [-1]:
            again, other = os.pipe()
            read, _ = together(lambda: os.read(again, 1), lambda: os.write(other, b"x"))
            os._exit(0 if again == fd and read == b"x" else 1)
        outcome(writer.get)

    assert statuses == [0]


@isolated
def test_a_write_whose_reader_goes_away_fails() -> None:
    patch()
    for size in (3, MEBIBYTE):
        read_end, write_end = os.pipe()
        os.close(read_end)
        (failed,) = together(lambda fd=write_end, n=size: outcome(os.write, fd, bytes(n)))
        assert failed[0] is BrokenPipeError


@isolated
def test_errors_and_descriptors_that_do_not_block_are_the_originals() -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    waiting_read_end, _ = os.pipe()
    _unread, full_write_end = os.pipe()
    os.set_blocking(full_write_end, False)
    os.write(full_write_end, bytes(MEBIBYTE))
    os.set_blocking(full_write_end, True)

    def outcomes() -> list[Any]:
        file = os.open(__file__, os.O_RDONLY)
        try:
            return [
                outcome(os.read, read_end, 1),
                outcome(os.read, file, 3),
                outcome(os.read, -1, 1),
                outcome(os.read, 1 << 20, 1),
                outcome(os.read, 1 << 70, 1),
                outcome(os.read, "0", 1),
                outcome(os.read, read_end, -1),
                outcome(os.read, read_end),
                outcome(os.write, 1 << 20, b"x"),
                outcome(os.write, file, b"x"),
                outcome(os.write, file, bytes(MEBIBYTE)),
                outcome(os.write, write_end, "text"),
                outcome(os.write, read_end, b"x"),
                outcome(os.write, waiting_read_end, b"x"),
                outcome(os.write, waiting_read_end, bytes(MEBIBYTE)),
                outcome(os.writev, waiting_read_end, [b"x"]),
                outcome(os.read, write_end, 1),
                outcome(os.read, waiting_read_end, 0),
                outcome(os.read, waiting_read_end, -1),
                outcome(os.read, waiting_read_end, 1 << 70),
                outcome(os.read, waiting_read_end, "1"),
                outcome(os.read, waiting_read_end),
                outcome(os.readv, waiting_read_end, []),
                outcome(os.readv, waiting_read_end, [bytearray()]),
                outcome(os.readv, waiting_read_end, [b"not to be written"]),
                outcome(os.readv, waiting_read_end, 1),
                outcome(os.write, full_write_end, b""),
                outcome(os.write, full_write_end, "text"),
                outcome(os.write, full_write_end),
                outcome(os.writev, full_write_end, [b""]),
                outcome(os.writev, full_write_end, ["text"]),
                outcome(os.write, read_end, bytes(MEBIBYTE)),
                outcome(os.readv, read_end, [bytearray(1)]),
                outcome(os.readv, file, iter([bytearray(1)])),
                outcome(os.writev, write_end, iter([b"x"])),
                outcome(os.writev, 1 << 20, [b"x"]),
                outcome(os.close, -1),
                outcome(os.close, 1 << 20),
                outcome(os.close, "0"),
                outcome(os.close),
            ]
        finally:
            os.close(file)

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_sets_and_dicts_of_functions_still_find_them() -> None:
    import time

    functions = {os.read, os.write, len}
    places = {time.sleep: 1, len: 2, os.open: 3}
    patch()

    assert os.open in os.supports_dir_fd
    assert all(function in functions for function in (os.read, os.write, len))
    assert [places[function] for function in (time.sleep, len, os.open)] == [1, 2, 3]
    assert list(places) == [time.sleep, len, os.open]


@isolated
def test_a_missing_argument_is_a_type_error() -> None:
    patch()

    for call in (
        lambda: os.open(flags=0),  # type: ignore[call-arg]
        lambda: os.truncate(length=5),  # type: ignore[call-arg]
        lambda: os.splice(count=1),  # type: ignore[call-arg]
        lambda: os.sendfile(1, 2, count=5),  # type: ignore[call-arg]
    ):
        assert outcome(call)[0] is TypeError


@isolated
def test_what_went_before_an_exception_is_not_written_twice() -> None:
    patch()
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    file = os.fdopen(write_end, "wb", 65536)
    file.write(bytes(8192))

    with green.Timeout(0.01, False):
        file.flush()
    received = os.read(read_end, 4096)
    green.spawn(file.close)

    assert len(received + read_all(read_end, 4096)) == 8192
    assert os.read(read_end, 1) == b""
    os.close(read_end)


@isolated
def test_what_was_read_of_a_file_before_a_kill_is_not_lost() -> None:
    patch()
    got = []

    def read() -> None:
        got.append(len(os.read(file.fileno(), 8 * MEBIBYTE)))
        time.sleep(60)

    # /dev/shm would not do: what is in memory is read at once.
    with tempfile.TemporaryFile(buffering=0, dir=".") as file:
        file.truncate(8 * MEBIBYTE)
        reader = green.spawn(read)
        green.sleep(0)
        reader.kill()
        reader.join()

        assert sum(got) == os.lseek(file.fileno(), 0, os.SEEK_CUR) > 0
        assert isinstance(reader.value, green.GreenExit)


@isolated
def test_an_error_behind_the_first_bytes_of_a_file_is_raised() -> None:
    master, slave = pty.openpty()
    os.write(slave, b"hello\n")
    os.close(slave)
    patch()

    with open(master, "rb", buffering=0) as file:
        assert outcome(file.read) == (OSError, "[Errno 5] Input/output error")
