"""calls.py SEED COUNT plain|patched: random calls of functions that the patch hooks, a line each.

Made twice, unpatched and, in a green each, patched, the lines must be the same: what was called,
what came of it, and how the world looks after it. Each call has a process and a world of its own:
the same pipes, files and sockets at the same numbers, with something to read in each.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import io
import json
import mmap
import os
import queue
import random
import re
import select
import signal
import socket
import sys
import tempfile
import termios
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

SECONDS = 3.0  # A call that takes longer waits for ever.
ODD = 0.25  # How often an argument is one that no program should pass.


class Index:
    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Index({self.value})"


class Fileno:
    def __init__(self, value: Any) -> None:
        self.value = value

    def fileno(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"Fileno({self.value!r})"


class Failing:
    def __index__(self) -> int:
        raise KeyError("an index that fails")

    __bool__ = __float__ = fileno = __index__

    def __repr__(self) -> str:
        return "Failing()"


def at(number: int, fd: int) -> int:
    os.dup2(fd, number)
    os.close(fd)
    return number


def socket_at(number: int, made: socket.socket) -> socket.socket:
    family, kind = made.family, made.type
    return socket.socket(family, kind, fileno=at(number, made.detach()))


class World:
    """What calls are made of, by their first name."""

    os, fcntl, select, time, signal = os, fcntl, select, time, signal

    def __init__(self, folder: str) -> None:
        Path(folder, "file").write_bytes(bytes(range(256)) * 16)
        Path(folder, "other").write_bytes(b"hello")
        for number, fd in zip((100, 101), os.pipe(), strict=True):
            at(number, fd)
        os.write(101, b"0123456789")
        at(102, os.open("file", os.O_RDWR))
        os.lseek(102, 5, os.SEEK_SET)
        at(103, os.open("other", os.O_RDWR | os.O_APPEND))
        at(104, os.open("file", os.O_RDONLY))
        for number, fd in zip((105, 106), os.pipe2(os.O_NONBLOCK), strict=True):
            at(number, fd)
        os.write(106, b"without blocking")
        self.stream = self.socket_with(110, socket.SOCK_STREAM, b"abcdefghij")
        self.packets = self.socket_with(112, socket.SOCK_DGRAM, b"datagram", b"second")
        self.timed = self.socket_with(114, socket.SOCK_STREAM, b"in time")
        self.timed.settimeout(0.02)
        self.instant = self.socket_with(116, socket.SOCK_STREAM, b"at once")
        self.instant.setblocking(False)
        self.listener = socket_at(118, socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]
        self.client = socket_at(119, socket.create_connection(("127.0.0.1", self.port)))
        self.server = self.listener.accept()[0]
        self.server.send(b"by TCP")
        self.waiting = socket.create_connection(("127.0.0.1", self.port))
        self.udp = socket_at(120, socket.socket(type=socket.SOCK_DGRAM))
        self.udp.bind(("127.0.0.1", 0))
        self.udp.sendto(b"by UDP", self.udp.getsockname())
        self.fresh = socket_at(121, socket.socket())
        self.closed = socket.socket()
        self.closed.close()
        self.raw = io.FileIO(at(122, os.dup(102)), "r+")
        self.raw_reader = io.FileIO(at(123, os.dup(100)), "r")
        self.raw_writer = io.FileIO(at(124, os.dup(101)), "w")
        self.poller = select.poll()
        self.poller.register(100, select.POLLIN)
        self.poller.register(101, select.POLLOUT)
        self.epoller = select.epoll()
        self.epoller.register(100, select.EPOLLIN)
        self.free, self.held = threading.Lock(), threading.Lock()
        self.held.acquire()
        self.rlock = threading.RLock()
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.queue.put("item")
        self.empty: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.room, self.more = bytearray(b"-" * 8), bytearray(b"=" * 4)
        self.large, self.numbers = bytearray(100_000), array.array("i", [1, 2, 3])
        self.map = mmap.mmap(-1, 4096)

    def socket_with(self, number: int, kind: int, *messages: bytes) -> socket.socket:
        one, two = socket.socketpair(type=kind)
        peer = socket_at(number + 1, two)
        for message in messages:
            peer.send(message)
        peer.detach()  # It stays open.
        return socket_at(number, one)

    def state(self) -> list[Any]:
        """What a call may have changed; what it has closed or removed is left out."""
        told: list[Any] = [self.readable(fd) for fd in range(100, 122)]
        for fd in (102, 103, 104):
            with contextlib.suppress(OSError):
                told.append((fd, os.lseek(fd, 0, os.SEEK_CUR)))
        for name in sorted(os.listdir()):
            with contextlib.suppress(OSError):
                told.append((name, zlib.crc32(Path(name).read_bytes())))
        told += [self.room.hex(), self.more.hex(), zlib.crc32(self.large), self.numbers.tolist()]
        told += [self.map[:4].hex(), self.free.locked(), self.held.locked(), self.queue.qsize()]
        return [*told, self.stream.gettimeout(), self.timed.gettimeout()]

    def readable(self, fd: int) -> Any:
        """How much there is to read, and whether it is O_NONBLOCK."""
        count = array.array("i", [0])
        try:
            fcntl.ioctl(fd, termios.FIONREAD, count)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return count[0], os.get_blocking(fd)


# Each kind of argument: the usual ones, and odd ones.
Values = tuple[list[Any], list[Any]]
KINDS: dict[str, Callable[[World], Values]] = {
    "fd": lambda w: (
        [100, 101, 102, 103, 104, 105, 106, 110, 112, 114, 116, 119, Index(100), Index(102)],
        [-1, 999, 1 << 40, True, 2.0, None, "1", Fileno(102), Fileno("x"), Failing(), w.closed],
    ),
    "count": lambda w: (
        [1, 3, 5, 10, 100, 5000, 100_000, Index(3)],
        [0, -1, -5, 1 << 31, 1 << 64, True, 1.5, None, "3", Failing()],
    ),
    "offset": lambda w: (
        [0, 1, 5, 4090, 4096, 10_000],
        [-1, 1 << 40, 1 << 63, None, Index(2), 1.0, "0"],
    ),
    "data": lambda w: (
        [b"", b"x", b"hello", b"y" * 4097, b"z" * 65_536, bytearray(b"bytearray"), w.numbers],
        ["text", None, 5, [1, 2], memoryview(b"strided")[::2], (ctypes.c_char * 5)(*b"ctype")],
    ),
    "room": lambda w: (
        [w.room, memoryview(w.room)[2:6], w.large, w.numbers, w.map],
        [memoryview(w.room)[::2], bytearray(), b"constant", None, "text", (ctypes.c_char * 6)()],
    ),
    "parts": lambda w: (
        [[b"ab", b"cd"], (b"ab", w.numbers), [b""], [b"q" * 5000, b"r"], (b"q" * 5000, b"r")],
        [[], (), [b"a", "b"], b"ab", "text", None, 5, [b"x"] * 1025, iter([b"a"]), {b"k": 1}],
    ),
    "rooms": lambda w: (
        [[w.room, w.more], (w.room, w.more), [w.more, w.large], [w.numbers]],
        [[], [bytearray()], [b"constant"], iter([w.room]), None, w.room, [w.room, 5]],
    ),
    "flags": lambda w: (
        [0, 0, 0, socket.MSG_PEEK, socket.MSG_DONTWAIT, socket.MSG_WAITALL, socket.MSG_NOSIGNAL],
        [1 << 30, -1, 1 << 31, 1 << 40, None, 1.0, "0", True, Index(2), Failing(), socket.MSG_OOB],
    ),
    "rights": lambda w: (
        [[], (), [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [102]))]],
        [None, [(1, 1)], [5], 5, [("a", 1, b"")], [(1 << 40, 1, b"")], [(1, 99, b"1")], iter([])],
    ),
    "address": lambda w: (
        [("127.0.0.1", w.port), ("localhost", w.port), "missing"],
        [None, (), ("127.0.0.1",), ("::1", 70_000), ("::1", "9"), 5, "x" * 200, ("a\0b", 9)],
    ),
    "seconds": lambda w: (
        [0, 0.0, 0.01, 0.02, 1e-9],
        [-1, -0.5, 1e300, 1 << 40, 1 << 70, float("nan"), "1", None, Index(0), Failing(), 0j],
    ),
    "milliseconds": lambda w: (
        [0, 0.0, 10, 15.5],
        [-1, 1 << 31, 1 << 40, float("nan"), float("inf"), "1", None, True, Index(5), Failing()],
    ),
    "blocking": lambda w: ([True, False, 0, 1], []),
    "descriptors": lambda w: (
        [[], [100], [101], (100,), [100, 101], [110], [102], {100}, iter([100]), [w.stream]],
        [None, 5, "abc", [-1], [999], ["x"], [1 << 40], [None], [Fileno(-1)], [w.closed]],
    ),
    "lock": lambda w: (
        [fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, fcntl.LOCK_EX | fcntl.LOCK_NB],
        [0, -1, 99, 1 << 40, None, "x", Index(2), True, 2.0],
    ),
    "small": lambda w: ([0, 1, 2], [10, 99, -1, None, "x", 1 << 40]),
    "path": lambda w: (
        ["file", b"file", Path("other"), 102, "missing"],
        [100, None, "", "a\0b", "file/x", ".", 5.5, "x" * 5000, [], "\ud800"],
    ),
    "open": lambda w: (
        [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_TRUNC],
        [os.O_CREAT | os.O_EXCL, os.O_DIRECTORY, -1, 1 << 40, None, "r", Index(0)],
    ),
    "signals": lambda w: ([[10], (10, 12), {10}], [[], [0], [99], None, 5, ["x"], iter([10])]),
    "wait": lambda w: ([os.WNOHANG], [0, -1, 1 << 40, None, "x", 99_999]),
    "anything": lambda w: ([None, 0, "x"], [object, []]),
}

# A kind, or kind=keyword, for each argument.
CALLS = {
    "os.read": "fd=fd count=length",
    "os.write": "fd=fd data=data",
    "os.readv": "fd rooms",
    "os.writev": "fd parts",
    "os.pread": "fd count offset",
    "os.pwrite": "fd data offset",
    "os.preadv": "fd rooms offset small",
    "os.pwritev": "fd parts offset small",
    "os.sendfile": "fd=out_fd fd=in_fd offset=offset count=count",
    "os.copy_file_range": "fd=src fd=dst count=count offset=offset_src offset=offset_dst",
    "os.splice": "fd=src fd=dst count=count offset=offset_src offset=offset_dst small=flags",
    "os.fsync": "fd=fd",
    "os.fdatasync": "fd=fd",
    "os.ftruncate": "fd offset",
    "os.truncate": "path=path offset=length",
    "os.posix_fallocate": "fd offset offset",
    "os.lockf": "fd small count",
    "os.close": "fd=fd",
    "os.dup2": "fd=fd fd=fd2 blocking=inheritable",
    "os.open": "path=path open=flags small=mode",
    "os.unlink": "path=path",
    "os.remove": "path=path",
    "os.rename": "path=src path=dst",
    "os.replace": "path=src path=dst",
    "os.waitpid": "small wait",
    "os.waitid": "small small wait",
    "fcntl.flock": "fd lock",
    "fcntl.lockf": "fd lock offset offset small",
    "raw.read": "count",
    "raw.readinto": "room",
    "raw.readall": "",
    "raw.write": "data",
    "raw.close": "",
    "raw_reader.read": "count",
    "raw_reader.readinto": "room",
    "raw_reader.write": "data",
    "raw_writer.write": "data",
    "poller.poll": "milliseconds",
    "epoller.poll": "seconds=timeout small=maxevents",
    "select.select": "descriptors descriptors descriptors seconds",
    "time.sleep": "seconds",
    "signal.sigtimedwait": "signals seconds",
    "free.acquire": "blocking=blocking seconds=timeout",
    "held.acquire": "blocking=blocking seconds=timeout",
    "rlock.acquire": "blocking=blocking seconds=timeout",
    "free.release": "",
    "rlock.release": "",
    "queue.get": "blocking=block seconds=timeout",
    "empty.get": "blocking=block seconds=timeout",
    "queue.put": "anything=item blocking=block seconds=timeout",
}
METHODS = {
    "recv": "count flags",
    "recv_into": "room=buffer count=nbytes flags=flags",
    "recvfrom": "count flags",
    "recvfrom_into": "room=buffer count=nbytes flags=flags",
    "recvmsg": "count small flags",
    "recvmsg_into": "rooms small flags",
    "send": "data flags",
    "sendall": "data flags",
    "sendto": "data flags address",
    "sendmsg": "parts rights flags address",
    "connect": "address",
    "connect_ex": "address",
    "accept": "",
    "close": "",
}
SOCKETS = ("stream", "packets", "timed", "instant", "listener", "client", "udp", "fresh")
for _socket in (*SOCKETS, "closed"):
    CALLS |= {f"{_socket}.{method}": kinds for method, kinds in METHODS.items()}


class Call:
    """One call, the same for the same dice."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.name = dice.choice(list(CALLS))
        slots = [slot.partition("=") for slot in CALLS[self.name].split()]
        only_usual = dice.random() < 0.6
        given = len(slots) if dice.random() < 0.75 else dice.randrange(len(slots) + 2)
        self.positional: list[Any] = []
        self.named: dict[str, Any] = {}
        by_name = dice.random() < 0.2
        for kind, _, keyword in [*slots, ("anything", "", "")][:given]:
            usual, odd = KINDS[kind](world)
            is_odd = not only_usual and odd and dice.random() < ODD
            value = dice.choice(odd if is_odd else usual)
            if by_name and keyword and (self.named or dice.random() < 0.5):
                self.named[keyword] = value
            elif not self.named:
                self.positional.append(value)
        if dice.random() < 0.01:
            self.named["nonsense"] = 1

    def make(self, world: World) -> str:
        first, _, last = self.name.partition(".")
        try:
            result = getattr(getattr(world, first), last)(*self.positional, **self.named)
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
        if self.name == "os.open" or self.name.endswith(".accept"):
            return "a descriptor"
        return shown(result)

    def __str__(self) -> str:
        named = [f"{name}={shown(value)}" for name, value in self.named.items()]
        return f"{self.name}({', '.join([*map(shown, self.positional), *named])})"


def shown(value: Any) -> str:
    if isinstance(value, bytes) and len(value) > 100:
        return f"{len(value)} bytes {zlib.crc32(value)}"
    return repr(value)[:200]


def make_one(seed: str, is_patched: bool, folder: str, answer: TextIO) -> None:
    os.chdir(folder)
    world = World(folder)
    call = Call(world, random.Random(seed))
    differs = re.compile(rf"0x[0-9a-f]+|{re.escape(folder)}|(?<='127.0.0.1', )\d+|{world.port}")
    print(differs.sub("*", str(call)), end=" -> ", file=answer, flush=True)
    if is_patched:
        import green

        told = green.spawn(call.make, world).get()
    else:
        told = call.make(world)
    print(differs.sub("*", told), json.dumps(world.state()), sep=" | ", end="", file=answer)


def in_a_process(seed: str, is_patched: bool, folder: str) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        at(200, writing)
        for number in range(3):
            at(number, os.open(os.devnull, os.O_RDWR))
        with open(200, "w", errors="replace") as answer:
            make_one(seed, is_patched, folder, answer)
        os._exit(0)
    os.close(writing)
    told, ends = b"", time.monotonic() + SECONDS
    with open(reading, "rb", buffering=0) as answers:
        while select.select([answers], [], [], max(0, ends - time.monotonic()))[0]:
            if not (part := answers.read(1 << 16)):
                break
            told += part
        else:
            os.kill(child, signal.SIGKILL)
            told += b"waits for ever"
    status = os.waitpid(child, 0)[1]
    return told.decode().replace("\n", " ") + (f" status {status}" if status else "")


def main(seed: str, count: str, how: str) -> None:
    if how == "patched":
        import green

        green.monkey_patch()
    for number in range(int(count)):
        with tempfile.TemporaryDirectory() as folder:
            told = in_a_process(f"{seed} {number}", how == "patched", folder)
        print(number, told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
