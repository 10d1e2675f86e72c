# ruff: noqa: SIM115 - files that are open across greens have no `with` around them.
"""Files of every kind through io and the built-in open(), under the patch."""

from __future__ import annotations

import errno
import io
import os
import pty
import tempfile
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from patched import Ticker, assert_same, isolated, outcome, patch, start_natively, together
from sanitized import moves_large_blocks

MEBIBYTE = 1 << 20


@contextmanager
def folder() -> Iterator[Path]:
    # Not in memory, where that is possible: that is another path through the hooks.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name:
        yield Path(name)


def forget_cached(path: Path) -> None:
    """Makes the next read of the file one from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# --- As unpatched


def use_files(path: Path) -> list[Any]:
    """What can be asked of a file, and what it answers; exceptions too."""
    path.write_bytes(b"one\ntwo\nthree\n" * 1000)
    answers: list[Any] = []

    def ask(function: Callable[..., Any], *arguments: Any) -> None:
        answers.append(outcome(function, *arguments))

    raw = io.FileIO(path, "r+")
    for size in (0, 5, 100_000, 1, -1, None):
        ask(raw.read, size)
    raw.seek(13_990)
    for call in (raw.readall, raw.readall, raw.read, raw.tell):
        ask(call)
    room = bytearray(8)
    raw.seek(0)
    for buffer in (room, memoryview(room)[2:4], b"", bytearray(), "text", None):
        ask(raw.readinto, buffer)
    ask(raw.read, "x")
    ask(raw.read, 1, 2)
    ask(raw.read, 1 << 70)
    for data in (b"", b"abc", bytearray(b"de"), memoryview(b"abcdef")[::2], "text", None):
        ask(raw.write, data)
    ask(raw.write, bytes(3 * MEBIBYTE))
    ask(raw.tell)
    raw.close()
    for closed_call in (raw.read, raw.readall, raw.close):
        ask(closed_call)
    ask(raw.write, b"x")
    ask(raw.readinto, room)
    for mode, call in (("w", raw.read.__name__), ("w", "readall"), ("r", "write")):
        with io.FileIO(path, mode) as file:
            ask(getattr(file, call), *([b"x"] if call == "write" else []))
    path.write_bytes(bytes(range(256)) * 5000)
    with open(path, "rb") as buffered:
        for name, argument in (("read", 3), ("read1", 9), ("peek", 1), ("readline", -1)):
            answers.append(len(getattr(buffered, name)(argument)))
        answers.append(buffered.readinto(bytearray(100_000)))
        answers.append(len(buffered.read()))
        ask(buffered.read, 1)
    with open(path, "rb") as buffered:
        answers.append([len(line) for line in buffered])
    ask(os.read, os.open(path, os.O_WRONLY), 1)
    ask(os.pread, os.open(path, os.O_RDONLY), 4, 1_279_998)
    ask(os.pread, os.open(path, os.O_RDONLY), 4, -1)
    ask(io.open, path.parent)
    return answers


@isolated
def test_files_answer_as_unpatched_cached_and_from_the_disk() -> None:
    with folder() as place:
        before = use_files(place / "file")
        patch()

        (after,) = together(lambda: use_files(place / "file"))

        assert_same(after, before)
        data = os.urandom(3 * MEBIBYTE + 17)
        (place / "cold").write_bytes(data)
        forget_cached(place / "cold")
        assert (place / "cold").read_bytes() == data
        forget_cached(place / "cold")
        with open(place / "cold", "rb") as file:
            assert os.pread(file.fileno(), len(data), 5) == data[5:]
            forget_cached(place / "cold")
            assert os.read(file.fileno(), len(data)) == data
            assert os.read(file.fileno(), 9) == b""


@isolated
def test_files_without_a_disk_are_read() -> None:
    patch()

    (status,) = together(lambda: Path("/proc/self/status").read_text())

    assert f"Pid:\t{os.getpid()}" in status
    assert Path("/dev/null").read_bytes() == b""


@moves_large_blocks
@isolated
def test_a_hundred_megabytes_there_and_back_stop_nobody() -> None:
    data = os.urandom(MEBIBYTE) * 100

    def work(path: Path) -> list[bytes]:
        for _ in range(2):
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        forget_cached(path)
        with open(path, "rb") as file:
            return [file.read(MEBIBYTE), file.read()]

    patch()
    with folder() as place:
        with Ticker() as ticker:
            ((first, rest),) = together(lambda: work(place / "large"))

        ticker.assert_kept_running(20)  # There are fewer calls than that.
        assert first + rest == data


# --- Pipes inside of file objects


@isolated
def test_a_read_of_a_pipe_lets_the_writer_run() -> None:
    read_end, write_end = os.pipe()
    reader, writer = open(read_end, "rb"), open(write_end, "wb")
    patch()

    def write() -> None:
        writer.write(b"a line\n" + bytes(MEBIBYTE))
        writer.close()

    def read() -> tuple[bytes, bytes]:
        return reader.readline(), reader.read()

    ((line, rest), _) = together(read, write)

    assert line == b"a line\n"
    assert rest == bytes(MEBIBYTE)
    reader.close()


@isolated
def test_greens_read_lines_of_one_file_in_order() -> None:
    class Derived(io.BufferedReader):
        pass

    for make in (io.BufferedReader, Derived):
        read_end, write_end = os.pipe()
        reader = make(io.FileIO(read_end))
        if make is io.BufferedReader:
            patch()
        readers = [reader.readline, lambda: next(reader), lambda: reader.read(2)]  # noqa: B023

        def write() -> None:
            for line in (b"1\n", b"2\n", b"3\n"):
                os.write(write_end, line)  # noqa: B023
                green.sleep(0)
                green.sleep(0.005)

        import green

        assert together(*readers, write)[:3] == [b"1\n", b"2\n", b"3\n"]
        reader.close()
        os.close(write_end)


@isolated
def test_greens_and_threads_write_to_one_file_whole_lines_each() -> None:
    read_end, write_end = os.pipe()
    writer = open(write_end, "wb", buffering=100)
    patch()
    lines = [bytes([letter]) * 700 + b"\n" for letter in b"abcdefgh"]

    def write(line: bytes) -> None:
        for _ in range(100):
            writer.write(line)

    def read() -> bytes:
        with open(read_end, "rb") as reader:
            return reader.read()

    threads = [threading.Thread(target=write, args=[line]) for line in lines[:2]]
    import green

    reading = green.spawn(read)
    start_natively(*threads)
    together(*[lambda line=line: write(line) for line in lines[2:]])
    for thread in threads:
        thread.join()
    writer.close()
    text = reading.get()

    assert sorted(text.splitlines(keepends=True)) == sorted(lines * 100)


@isolated
def test_a_green_that_is_killed_in_a_read_leaves_the_file_to_the_others() -> None:
    import green

    patch()
    read_end, write_end = os.pipe()
    reader = open(read_end, "rb")
    first, second, third = (green.spawn(reader.readline) for _ in range(3))
    green.sleep(0)

    second.kill(block=True)  # It waits for its turn.
    first.kill(block=True)  # It waits for bytes.
    os.write(write_end, b"a line\n")

    assert third.get() == b"a line\n"
    reader.close()
    os.close(write_end)


@isolated
def test_a_file_object_that_calls_itself_is_told_so() -> None:
    class Raw(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, room: Any) -> int:
            return buffered.readinto(room)

    buffered = io.BufferedReader(Raw())
    before = outcome(buffered.read, 1)
    patch()

    assert together(lambda: outcome(buffered.read, 1)) == [before]
    assert before[0] is RuntimeError


@isolated
def test_close_of_a_raw_file_ends_the_waits_for_it() -> None:
    patch()
    read_end, write_end = os.pipe()
    owner = io.FileIO(read_end)
    borrower = io.FileIO(read_end, closefd=False)

    def read() -> int | None:
        try:
            owner.read(1)
        except OSError as error:
            return error.errno
        return None

    import green

    reading = green.spawn(read)
    green.sleep(0)
    borrower.close()
    green.sleep(0)
    assert not reading.dead
    owner.close()

    assert reading.get() == errno.EBADF
    os.close(write_end)


# --- What is waited for before there are bytes


@isolated
def test_open_of_a_fifo_waits_for_the_other_end() -> None:
    patch()
    with folder() as place:
        fifo = place / "fifo"
        os.mkfifo(fifo)

        def read_fd() -> bytes:
            fd = os.open(fifo, os.O_RDONLY)
            try:
                return os.read(fd, 99)
            finally:
                os.close(fd)

        assert together(fifo.read_text, lambda: fifo.write_text("text"))[0] == "text"
        assert together(read_fd, lambda: fifo.write_text("more"))[0] == b"more"


@isolated
def test_a_line_from_the_terminal_is_waited_for() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    os.dup2(slave, 0)
    os.dup2(slave, 1)
    patch()
    import green

    answer = green.spawn(input)
    green.sleep(0)
    os.write(master, b"Ada\n")
    assert answer.get() == "Ada"
    with open(0, "rb", buffering=0, closefd=False) as raw:
        read = green.spawn(raw.read, 99)
        green.sleep(0)
        os.write(master, b"more")
        assert read.get() == b"more"


@isolated
def test_a_lock_on_a_file_is_waited_for() -> None:
    import fcntl

    import green

    patch()
    with folder() as place:
        files = [open(place / "lock", "wb") for _ in range(3)]
        fcntl.flock(files[0], fcntl.LOCK_EX)
        second, third = (green.spawn(fcntl.flock, file, fcntl.LOCK_EX) for file in files[1:])
        green.sleep(0.01)
        assert not second.dead
        assert not third.dead
        second.kill(block=True)
        fcntl.flock(files[0], fcntl.LOCK_UN)
        third.get()

        # Who was killed has not got it behind everybody's back.
        fcntl.flock(files[2], fcntl.LOCK_UN)
        fcntl.flock(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        answers = [
            outcome(fcntl.flock, files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)[0],
            outcome(fcntl.flock, -1, fcntl.LOCK_EX)[0],
            outcome(fcntl.lockf, files[1], fcntl.LOCK_EX),
            outcome(fcntl.lockf, files[1], fcntl.LOCK_UN, 1, 2, 0),
        ]
        assert answers == [BlockingIOError, ValueError, None, None]
        for file in files:
            file.close()


@isolated
def test_sendfile_waits_for_the_reader() -> None:
    import socket

    patch()
    data = os.urandom(2 * MEBIBYTE)
    with folder() as place:
        (place / "file").write_bytes(data)
        ours, theirs = socket.socketpair()

        def send() -> int:
            with open(place / "file", "rb") as file, ours:
                os.sendfile(ours.fileno(), file.fileno(), None, 1000)
                assert os.lseek(file.fileno(), 0, os.SEEK_CUR) == 1000
                return 1000 + (ours.sendfile(file, offset=1000) or 0)

        def receive() -> bytes:
            with theirs, theirs.makefile("rb") as stream:
                return stream.read()

        sent, received = together(send, receive)

    assert sent == len(data)
    assert received == data
