"""What waits for a disk, a lock on a file or a terminal, and moves of many buffers, patched."""

from __future__ import annotations

import array
import fcntl
import mmap
import os
import pty
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaks import once
from patched import Ticker, assert_same, isolated, outcome, patch, together

import green

MEBIBYTE = 1 << 20


@contextmanager
def folder() -> Iterator[Path]:
    # Not in memory, where that is possible: that is another path through the hooks.
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as name:
        yield Path(name)


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def used_a_native_thread(function: Callable[[], Any]) -> bool:
    """Was there, after the call in a green, one more native thread than before?"""
    before = native_threads()
    together(function)
    return native_threads() > before


# --- The disk


def use_paths(place: Path) -> list[Any]:
    """What the calls on names and sizes answer; exceptions without the place's name."""
    answers: list[Any] = []

    def ask(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> None:
        answer = outcome(function, *arguments, **keywords)
        answers.append(repr(answer).replace(str(place), ""))

    for size in (10, 40 * MEBIBYTE):
        for path in (one := place / "one", two := place / "two", place / "linked"):
            path.write_bytes(bytes(size))
        os.link(place / "linked", place / "link")
        os.symlink("one", place / "symbolic")
        fd = os.open(one, os.O_RDWR)
        ask(os.truncate, one, 5)
        ask(os.truncate, fd, 3)
        ask(os.ftruncate, fd, 7)
        ask(os.ftruncate, fd, -1)
        ask(os.ftruncate, fd)
        ask(os.truncate, "x" * 5, 1)
        ask(os.truncate, path="one\0", length=1)
        answers.append(os.stat(one).st_size)
        ask(os.posix_fallocate, fd, 0, 4096)
        ask(os.posix_fallocate, fd, -1, 4096)
        ask(os.posix_fallocate, 999, 0, 1)
        answers.append(os.stat(one).st_size)
        ask(os.rename, one, two)
        ask(os.rename, one, two)
        ask(os.replace, src=two, dst=place / "three")
        ask(os.rename, place / "linked", place / "link")  # One file: nothing happens.
        os.close(fd)
        directory = os.open(place, os.O_RDONLY)
        ask(os.unlink, "three", dir_fd=directory)
        ask(os.remove, "three", dir_fd=directory)
        ask(os.unlink, path=place / "symbolic")
        ask(os.remove, place / "linked")
        ask(os.unlink, os.fsencode(place / "link"))
        ask(os.unlink, 5)
        ask(os.unlink)
        ask(os.unlink, "a", "b")
        ask(os.sync)
        ask(os.sync, 1)
        os.close(directory)
        answers.append(sorted(os.listdir(place)))
    return answers


@isolated
def test_files_are_cut_renamed_and_removed_as_unpatched() -> None:
    with folder() as place:
        before = use_paths(place)
        patch()
        assert_same(*together(lambda: use_paths(place)), before)
        assert before[-1] == []


@isolated
@once("the thread of the last time is still there")
def test_only_what_gives_much_back_goes_to_a_native_thread() -> None:
    patch()
    with folder() as place:
        small, large, sparse = place / "small", place / "large", place / "sparse"
        for made in (small, large):
            made.write_bytes(b"x")
        sparse.write_bytes(b"")
        os.truncate(sparse, 1 << 40)
        assert not used_a_native_thread(lambda: os.unlink(small))
        assert not used_a_native_thread(lambda: os.rename(large, small))
        assert not used_a_native_thread(lambda: os.truncate(sparse, 0))

        with green.blocking():  # Else it would be written by such a thread.
            large.write_bytes(bytes(20 * MEBIBYTE))
        os.link(large, small.with_name("other"))
        assert not used_a_native_thread(lambda: os.unlink(small.with_name("other")))
        assert used_a_native_thread(lambda: os.unlink(large))
        assert not large.exists()


@isolated
def test_much_on_the_disk_stops_nobody() -> None:
    patch()
    with folder() as place:
        path, copy = place / "file", place / "copy"
        fd, copied = os.open(path, os.O_RDWR | os.O_CREAT), os.open(copy, os.O_RDWR | os.O_CREAT)
        data = os.urandom(MEBIBYTE) * 64
        buffers = [memoryview(data)[start : start + 5 * MEBIBYTE] for start in (0, 30 * MEBIBYTE)]
        into = [bytearray(4 * MEBIBYTE), bytearray(6 * MEBIBYTE + 5)]

        def work() -> None:
            os.posix_fallocate(fd, 0, 16 * MEBIBYTE)
            assert os.pwrite(fd, data, 0) == len(data)
            assert os.writev(fd, buffers) == 10 * MEBIBYTE
            assert os.pwritev(fd, buffers, 0) == 10 * MEBIBYTE
            assert os.pwritev(fd, [b"x"], 0, os.RWF_DSYNC) == 1
            os.sync()
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.lseek(fd, 0, os.SEEK_SET)
            assert os.readv(fd, into) == 10 * MEBIBYTE + 5
            assert os.lseek(fd, 0, os.SEEK_CUR) == 10 * MEBIBYTE + 5
            assert os.preadv(fd, into, 3) == 10 * MEBIBYTE + 5
            assert into[1][-8:] == data[10 * MEBIBYTE : 10 * MEBIBYTE + 8]
            left = len(data)
            while left:
                left -= os.copy_file_range(fd, copied, left, len(data) - left)
            os.ftruncate(fd, 5)
            with mmap.mmap(copied, 0) as map_:
                map_[:MEBIBYTE] = bytes(MEBIBYTE)
                map_.flush()
            os.unlink(copy)

        with Ticker() as ticker:
            together(work)
        os.close(fd)
        os.close(copied)

    ticker.assert_kept_running()


@isolated
def test_many_buffers_are_read_and_written_as_unpatched() -> None:
    def moves() -> list[Any]:
        answers: list[Any] = []
        with tempfile.TemporaryFile(dir=Path(__file__).parent) as file:
            fd = file.fileno()
            parts = [b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3], array.array("i", [7])]
            room = [bytearray(3), bytearray(0), bytearray(200)]
            for function, *arguments in (
                (os.writev, fd, parts),
                (os.pwritev, fd, parts, 5),
                (os.pwritev, fd, [], 5),
                (os.pwritev, fd, [b""], 5),
                (os.pwritev, fd, parts, -1),
                (os.pwritev, fd, parts, 5, 0x7000),
                (os.pwritev, fd, [5], 5),
                (os.pwrite, fd, b"xyz", 100),
                (os.pwrite, fd, b"", 100),
                (os.pwrite, fd, "x", 100),
                (os.pwrite, fd, b"x", -1),
                (os.preadv, fd, room, 0),
                (os.preadv, fd, room, 500),
                (os.preadv, fd, room, -1),
                (os.preadv, fd, [b"ab"], 0),
                (os.preadv, fd, room, 0, os.RWF_HIPRI),
                (os.readv, fd, room),
                (os.writev, fd, [b"x"] * 1024),
                (os.writev, fd, [b"x"] * 1025),
                (os.readv, fd, [bytearray(1)] * 1025),
                (os.readv, 999, room),
                (os.writev, 999, parts),
                (os.lseek, fd, 0, os.SEEK_CUR),
            ):
                answers.append(outcome(function, *arguments))
            answers.append([bytes(part) for part in room])
            read_end, write_end = os.pipe()
            answers.append(outcome(os.pwritev, write_end, parts, 0))
            answers.append(outcome(os.pwrite, write_end, b"x", 0))
            answers.append(outcome(os.preadv, read_end, room, 0))
        return answers

    before = moves()
    patch()

    assert_same(*together(moves), before)


@isolated
def test_a_writev_of_more_than_a_pipe_takes_lets_the_reader_run() -> None:
    patch()
    read_end, write_end = os.pipe()
    parts = [bytes([number]) * 50_000 for number in range(10)]

    def write() -> int:
        written = os.writev(write_end, parts)
        os.close(write_end)
        return written

    def read() -> bytes:
        with open(read_end, "rb") as file:
            return file.read()

    assert together(write, read) == [500_000, b"".join(parts)]


@isolated
def test_mmap_flush_answers_as_unpatched() -> None:
    def flushes() -> list[Any]:
        with tempfile.TemporaryFile(dir=Path(__file__).parent) as file:
            file.write(bytes(20_000))
            file.flush()
            maps = [
                mmap.mmap(file.fileno(), 0),
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ),
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY),
                mmap.mmap(-1, 20_000),
            ]
            ranges: list[tuple[Any, ...]] = [
                *[
                    (),
                    (0,),
                    (0, 4096),
                    (4096, 4096),
                    (4096,),
                    (1, 5),
                    (0, 20_001),
                    (-1, 5),
                    (0, -1),
                ],
                *[("x",), (1, 2, 3)],
            ]
            answers = [outcome(each.flush, *given) for each in maps for given in ranges]
            for each in maps:
                each.close()
            return [*answers, outcome(maps[0].flush)]

    before = flushes()
    patch()

    assert_same(*together(flushes), before)


# --- Pipes and counters


@isolated
def test_splice_waits_for_both_ends() -> None:
    patch()
    import green

    first, second = os.pipe(), os.pipe()
    os.set_blocking(second[1], False)
    filled = 0
    try:
        while True:
            filled += os.write(second[1], bytes(4096))
    except BlockingIOError:
        os.set_blocking(second[1], True)

    def move() -> int:
        return os.splice(first[0], second[1], 4096)

    with Ticker() as ticker:
        moving = green.spawn(move)
        time.sleep(0.01)
        os.write(first[1], b"moved")
        time.sleep(0.01)
        assert not moving.dead
        assert len(os.read(second[0], filled)) == filled
        assert moving.get() == 5
        assert os.read(second[0], 99) == b"moved"

        killed = green.spawn(move)
        time.sleep(0.01)
        killed.kill()
        killed.join()
        os.write(first[1], b"kept")
        assert together(lambda: os.read(first[0], 9)) == [b"kept"]

    ticker.assert_kept_running()
    assert outcome(os.splice, first[0], second[1], 5, flags=os.SPLICE_F_NONBLOCK)[0] is (
        BlockingIOError
    )
    assert together(lambda: outcome(os.splice, first[0], 999, 5))[0][0] is OSError
    one, two = socket.socketpair()
    with one, two:  # Neither is a pipe; a pipe has no offsets.
        invalid = (OSError, "[Errno 22] Invalid argument")
        assert together(lambda: outcome(os.splice, one.fileno(), two.fileno(), 5)) == [invalid]
        illegal = (OSError, "[Errno 29] Illegal seek")
        assert together(lambda: outcome(os.splice, first[0], one.fileno(), 5, 0)) == [illegal]
    os.close(first[1])
    assert together(move) == [0]


@isolated
def test_an_eventfd_is_waited_for() -> None:
    patch()
    counter = os.eventfd(0)
    full = os.eventfd(0)
    os.eventfd_write(full, (1 << 64) - 2)

    with Ticker() as ticker:
        assert (
            together(
                lambda: os.eventfd_read(fd=counter),
                lambda: (time.sleep(0.02), os.eventfd_write(counter, 7)),
            )[0]
            == 7
        )
        assert (
            together(
                lambda: os.eventfd_write(full, 1),
                lambda: (time.sleep(0.02), os.eventfd_read(full)),
            )[1][1]
            == (1 << 64) - 2
        )

    assert os.eventfd_read(full) == 1
    assert ticker.turns > 3
    assert outcome(os.eventfd_read, 999)[0] is OSError
    assert outcome(os.eventfd_read)[0] is TypeError
    assert outcome(os.eventfd_read, os.eventfd(0, os.EFD_NONBLOCK))[0] is BlockingIOError


# --- Locks on files

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@isolated
def test_locks_of_fcntl_and_of_os_are_waited_for() -> None:
    patch()
    # struct flock: type, whence, start, length, pid.
    write_lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    locks: list[Callable[[int], Any]] = [
        lambda fd: fcntl.fcntl(fd, fcntl.F_SETLKW, write_lock),
        lambda fd: fcntl.fcntl(fd, fcntl.F_OFD_SETLKW, write_lock),
        lambda fd: os.lockf(fd, os.F_LOCK, 0),
    ]
    with folder() as place:
        for lock in locks:
            wait_for_a_lock(place / "file", lock)
        for lock in [*locks, lambda fd: fcntl.fcntl(fd, fcntl.F_SETLKW, b"short")]:
            assert together(lambda lock=lock: outcome(lock, 999))[0][0] is OSError


def wait_for_a_lock(path: Path, lock: Callable[[int], Any]) -> None:
    path.write_bytes(b"x")
    command = [sys.executable, "-c", HOLD, str(path)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder,
        open(path, "r+b") as file,
    ):
        assert holder.stdout is not None
        assert holder.stdin is not None
        let_go = holder.stdin.close
        assert holder.stdout.readline() == b"held\n"
        with Ticker() as ticker:
            together(lambda: lock(file.fileno()), lambda: (ticker.have_turns(), let_go()))
    ticker.assert_kept_running()


# --- Terminals


@isolated
def test_terminals_are_drained_and_set_as_unpatched() -> None:
    def answers() -> list[Any]:
        main, terminal = pty.openpty()
        facts = termios.tcgetattr(terminal)
        told = [
            outcome(termios.tcdrain, terminal),
            outcome(termios.tcsendbreak, terminal, 0),
            *[outcome(termios.tcsetattr, terminal, when, facts) for when in (0, 1, 2, 9)],
            outcome(termios.tcdrain, "x"),
            outcome(termios.tcsetattr, terminal, 1, []),
            outcome(termios.tcdrain, 999),
        ]
        os.close(main)
        os.close(terminal)
        return told

    before = answers()
    patch()

    assert_same(*together(answers), before)


@isolated
def test_a_spin_with_sched_yield_lets_the_others_run() -> None:
    patch()
    flags: list[int] = []

    def spin() -> None:
        while not flags:
            os.sched_yield()

    together(spin, lambda: flags.append(1))
