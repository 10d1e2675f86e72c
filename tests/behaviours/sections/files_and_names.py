"""Files, pipes, terminals and names: behaviours 13 and 14."""

from __future__ import annotations

import io
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import layer
from layer import NativeThread, result, spawn
from support import Skip, directory, run_code, scenario, succeeded, turning

MEGABYTES = 100
PIECE = os.urandom(1 << 20)


def forget(file: Any) -> None:
    """Has the kernel drop what it keeps of the file, so that it comes from the disk."""
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@scenario(13, timed=True, seconds=60)
def large_file_is_written() -> None:
    """100 MB are written through open() and synced, and nobody is held up."""
    data = PIECE * MEGABYTES
    with directory() as place, turning(), open(place / "file", "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@scenario(13, timed=True, seconds=60)
def large_file_is_read() -> None:
    """100 MB are read from the disk through open(), and nobody is held up."""
    with directory() as place:
        with open(place / "file", "wb") as file:
            for _ in range(MEGABYTES):
                file.write(PIECE)
            file.flush()
            forget(file)
        with turning(), open(place / "file", "rb") as file:
            assert len(file.read()) == MEGABYTES << 20


@scenario(13, timed=True, seconds=60)
def large_file_by_descriptor() -> None:
    """100 MB go through os.write() and os.read(), and nobody is held up."""
    data = PIECE * MEGABYTES
    with directory() as place:
        fd = os.open(place / "file", os.O_RDWR | os.O_CREAT)
        with turning():
            assert os.write(fd, data) == len(data)
            os.fsync(fd)
            os.lseek(fd, 0, os.SEEK_SET)
            assert len(os.read(fd, len(data))) == len(data)
        os.close(fd)


@scenario(13, timed=True)
def fifo_without_a_writer() -> None:
    """open() of a FIFO waits for its writer, and reading it for what is written."""
    with directory() as place:
        path = place / "fifo"
        os.mkfifo(path)

        def read() -> bytes:
            with open(path, "rb") as file:
                return file.read()

        with turning():
            reader = spawn(read)
            layer.sleep(0.2)
            writer = subprocess.Popen(["sh", "-c", f"exec >{path}; sleep 0.2; echo x"])
            assert result(reader) == b"x\n"
            writer.wait()


def writes_later(fd: int, data: bytes = b"line\n", seconds: float = 0.2) -> NativeThread:
    """A native thread writes it: no matter what the greens do."""

    def write() -> None:
        layer.native_sleep(seconds)
        os.write(fd, data)

    return NativeThread(write)


def waits(read: Callable[[], Any], fd: int, data: bytes = b"line\n") -> Any:
    """What `read` gives, for which it waits cooperatively."""
    with turning():
        writer = writes_later(fd, data)
        got = result(spawn(read))
        writer.join()
    return got


@scenario(13, timed=True)
def pipe_by_descriptor() -> None:
    """os.read() of a pipe lets others run."""
    reading, writing = os.pipe()
    assert waits(lambda: os.read(reading, 10), writing) == b"line\n"


@scenario(13, timed=True)
def pipe_through_open() -> None:
    """A pipe as a text file lets others run."""
    reading, writing = os.pipe()
    with open(reading) as file:
        assert waits(file.readline, writing) == "line\n"


@scenario(13, timed=True)
def pipe_through_io() -> None:
    """io.FileIO and io.BufferedReader let others run."""
    reading, writing = os.pipe()
    raw = io.FileIO(reading)
    assert waits(lambda: raw.read(10), writing) == b"line\n"
    buffered = io.BufferedReader(raw)
    assert waits(buffered.readline, writing) == b"line\n"


@scenario(13, timed=True)
def full_pipe() -> None:
    """A write that a pipe does not take at once lets others run."""
    reading, writing = os.pipe()

    def read() -> None:
        layer.native_sleep(0.2)
        left = 1_000_000
        while left:
            left -= len(os.read(reading, left))

    reader = NativeThread(read)

    def write() -> None:
        with open(writing, "wb") as file:
            file.write(b"x" * 1_000_000)

    with turning():
        result(spawn(write))
        reader.join()


@scenario(13, timed=True)
def terminal() -> None:
    """Reading a terminal lets others run."""
    master, slave = pty.openpty()
    with open(slave, "rb", buffering=0) as file:
        assert waits(lambda: file.read(10), master) == b"line\n"


@scenario(13, timed=True, stdio=True)
def standard_input() -> None:
    """sys.stdin.readline() lets others run."""
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    assert waits(sys.stdin.readline, writing) == "line\n"


@scenario(13, timed=True, stdio=True)
def input_from_a_terminal() -> None:
    """input() from a terminal lets others run."""
    master, slave = pty.openpty()
    kept = os.dup(1)
    os.dup2(slave, 0)
    os.dup2(slave, 1)
    try:
        assert waits(lambda: input("? "), master) == "line"
    finally:
        os.dup2(kept, 1)


# --- 14

QUESTIONS = """
import socket
QUESTIONS = [
    (("localhost", 80), {}),
    (("localhost", "http"), {}),
    (("localhost", "nosuchservice"), {}),
    (("127.0.0.1", 80), {}),
    (("127.1", 80), {}),
    (("0x7f.1", 80), {}),
    (("::1", 80), {}),
    (("::1%lo", 80), {}),
    (("fe80::1%lo", 80), {}),
    (("fe80::1%nosuch", 80), {}),
    (("1.2.3.4.5", 80, 0, 0, 0, socket.AI_NUMERICHOST), {}),
    (("localhost", 80, 0, 0, 0, socket.AI_NUMERICHOST), {}),
    (("localhost", 80, 0, socket.SOCK_STREAM, 0, socket.AI_CANONNAME), {}),
    (("127.0.0.1", "80", socket.AF_INET6), {}),
    (("127.0.0.1", 80, socket.AF_INET6, 0, 0, socket.AI_V4MAPPED), {}),
    ((None, 80, 0, 0, 0, socket.AI_PASSIVE), {}),
    ((None, None), {}),
    (("", 80), {}),
    ((socket.gethostname(), 80), {}),
    (("a" * 64, 80), {}),
    (("name.invalid", 80), {}),
    (("localhost", 80, 999), {}),
]
def told(function, *arguments):
    try:
        return repr(function(*arguments))
    except Exception as error:
        return type(error).__name__, str(error)
def answers():
    for arguments, _ in QUESTIONS:
        yield arguments, told(socket.getaddrinfo, *arguments)
    for name in ("localhost", "127.0.0.1", "127.1", "::1", "name.invalid", ""):
        yield name, told(socket.gethostbyname, name)
        yield name, told(socket.gethostbyname_ex, name)
        yield name, told(socket.gethostbyaddr, name)
    for address in (("127.0.0.1", 80), ("::1", 80, 0, 0), ("name", 80)):
        for flags in (0, socket.NI_NUMERICHOST, socket.NI_NUMERICSERV, socket.NI_NAMEREQD):
            yield (address, flags), told(socket.getnameinfo, address, flags)
for question, answer in answers():
    print(question, answer)
"""


@scenario(14, late=True, seconds=60)
def names_as_libc_has_them() -> None:
    """Answers and errors of look-ups are those without the patch: hosts file, flags, scope ids."""
    unpatched = succeeded(
        subprocess.run([sys.executable, "-c", QUESTIONS], capture_output=True, text=True)
    )
    patched = run_code(QUESTIONS).stdout
    pairs = list(zip(patched.splitlines(), unpatched.splitlines(), strict=True))
    other = [pair for pair in pairs if pair[0] != pair[1]]
    assert not other, f"{len(other)} of {len(pairs)} differ: {other[0][0]} was {other[0][1]}"


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@scenario(14)
def literal_addresses_start_no_thread() -> None:
    """A look-up of an address starts no thread."""
    layer.sleep(0.01)
    before = threads()
    for name in ("127.0.0.1", "::1", "10.1.2.3"):
        socket.getaddrinfo(name, 80)
        socket.gethostbyname("127.0.0.1")
    assert threads() == before, f"{threads() - before} threads"


@scenario(14)
def names_of_the_hosts_file_start_no_thread() -> None:
    """A look-up of a name in /etc/hosts starts no thread."""
    with open("/etc/hosts") as file:
        if not any("localhost" in line.split("#")[0].split()[1:] for line in file):
            raise Skip("localhost is not in /etc/hosts here")
    layer.sleep(0.01)
    before = threads()
    socket.getaddrinfo("localhost", 80)
    socket.gethostbyname("localhost")
    assert threads() == before, f"{threads() - before} threads"


MUTE = """
import ctypes, fcntl, os, socket, struct, sys, tempfile
libc = ctypes.CDLL(None, use_errno=True)
def must(status):
    if status != 0:
        print("no namespaces here:", os.strerror(ctypes.get_errno())); sys.exit(77)
# A network and a file system of its own, with a resolver that never answers.
must(libc.unshare(0x20000 | 0x40000000))
must(libc.mount(b"none", b"/", None, 0x4000 | 1 << 18, None))
with tempfile.NamedTemporaryFile("w", delete=False) as file:
    file.write("nameserver 127.0.0.1\\noptions timeout:5 attempts:1\\n")
must(libc.mount(file.name.encode(), b"/etc/resolv.conf", None, 0x1000, None))
os.unlink(file.name)
probe = socket.socket()
fcntl.ioctl(probe, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: up.
probe.close()
resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
resolver.bind(("127.0.0.1", 53))
"""


@scenario(14, late=True, timed=True, seconds=30)
def stalled_resolver_holds_up_nobody() -> None:
    """200 look-ups that a resolver does not answer for 5 s hold up no other green."""
    code = (
        MUTE
        + """
import time
from support import turning
def look(number):
    try: socket.getaddrinfo(f"name{number}.test", 80)
    except OSError: pass
greens = [layer.spawn(look, number) for number in range(200)]
layer.sleep(0.5)
with turning():
    layer.sleep(1)
resolver.setblocking(False)
assert resolver.recv(512)
began = time.monotonic()
listener = socket.create_server(("127.0.0.1", 0))
socket.create_connection(listener.getsockname()).close()
assert time.monotonic() - began < 0.5, "an address had to wait for the names"
print("fine", flush=True)
os._exit(0)
"""
    )
    done = run_code(code, timeout=15)
    if done.returncode == 77:
        raise Skip(done.stdout.strip())
    assert succeeded(done) == "fine\n"


@scenario(14, late=True, seconds=30)
def stalled_resolver_and_the_hosts_file() -> None:
    """While 200 look-ups are stalled, names of /etc/hosts are answered at once."""
    code = (
        MUTE
        + """
def look(number):
    try: socket.getaddrinfo(f"name{number}.test", 80)
    except OSError: pass
greens = [layer.spawn(look, number) for number in range(200)]
layer.sleep(0.5)
answers = []
layer.spawn(lambda: answers.append(socket.getaddrinfo("localhost", 80)))
layer.sleep(2)
assert answers, "localhost is not answered in 2 s"
print("fine", flush=True)
os._exit(0)
"""
    )
    done = run_code(code, timeout=15)
    if done.returncode == 77:
        raise Skip(done.stdout.strip())
    assert succeeded(done) == "fine\n"
