"""The applications of these tests. Each is served both bare and under wsgiref's validator, unless
it breaks the rules on purpose (`@unruly`)."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.simple_server import demo_app

from app_kit import TEXT, Closing, Environ, StartResponse, log, peak_kib, unruly

import green

__all__ = ["demo_app"]


def hello(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return [b"hello"]


def environment(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Each entry as [type, value]; what JSON cannot say as its repr."""
    start_response("200 OK", [("Content-Type", "application/json")])
    plain = (str, bool, tuple)
    entries = {
        key: [type(value).__name__, value if isinstance(value, plain) else repr(value)]
        for key, value in environ.items()
    }
    assert all(type(key) is str for key in environ)
    return [json.dumps(entries).encode()]


def pieces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A list of the query's pieces, as many and as long as it says: /?3,0,5"""
    start_response("200 OK", list(TEXT))
    return [b"x" * int(size) for size in environ["QUERY_STRING"].split(",") if size]


def many_headers(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, *((f"X-{number}", "v" * 100) for number in range(60))])
    return [b"under many headers"]


def large_list(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return [b"a" * 300_000, b"", b"b" * 300_000]


def generated(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    yield b""
    yield b"one,"
    yield b""
    yield b"two"


def sized_generator(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    yield b"one,"
    yield b"two"


def nothing_generated(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return iter([])


def lockstep(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Goes on only when the client has sent a byte for the piece before: none may be held back."""
    start_response("200 OK", list(TEXT))
    yield b"first"
    assert environ["wsgi.input"].read(1) == b"1"
    yield b"second"
    assert environ["wsgi.input"].read(1) == b"2"


def written(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", list(TEXT))
    write(b"written, ")
    write(b"")
    return [b"returned"]


def status(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """/?204 No Content: that status, with a body nevertheless."""
    text = environ["QUERY_STRING"].replace("%20", " ")
    start_response(text, [] if text[:3] in ("204", "304") else list(TEXT))
    return [b"a body"]


def late_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    yield b"started in the first step"


def closing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return Closing(environ, [b"a", b"b"])


def failing_close(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Failing(Closing):
        def close(self) -> None:
            raise RuntimeError("close failed")

    start_response("200 OK", list(TEXT))
    return Failing(environ, [b"whole"])


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def blocks() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    start_response("200 OK", list(TEXT))
    return Closing(environ, blocks())


def stream(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """100 MB, then the growth of this process's peak memory in the log, in KiB."""

    def blocks() -> Iterator[bytes]:
        before = peak_kib()
        for number in range(1600):
            yield bytes([number % 251]) * 65536
        log(environ, f"grown {peak_kib() - before}")

    start_response("200 OK", list(TEXT))
    return Closing(environ, blocks())


KEPT: list[Any] = []


@unruly
def keeps(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Uses what an earlier call has left behind."""
    errors = []
    for old_input, old_start in KEPT:
        for use in (old_input.read, old_input.readline, lambda old=old_input: next(old)):
            try:
                use()
            except ValueError:
                errors.append("ValueError")
        try:
            old_start("200 OK", [])
        except RuntimeError:
            errors.append("RuntimeError")
    KEPT[:] = [(environ["wsgi.input"], start_response)]
    start_response("200 OK", list(TEXT))
    return [" ".join(errors).encode()]


# --- Bodies of requests


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(-1)
    start_response("200 OK", [*TEXT, ("Content-Length", str(len(body)))])
    return [body]


@unruly  # The validator's wrapper knows neither read() without a size nor readlines' hint.
def reads(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Calls what the query says, one after the other: /?read:3;readline;lines;iterate"""
    results: list[Any] = []
    source = environ["wsgi.input"]
    for step in environ["QUERY_STRING"].split(";"):
        name, _, size = step.partition(":")
        if name == "iterate":
            results.append([line.decode() for line in source])
            continue
        arguments = [None if size == "None" else int(size)] if size else []
        result = getattr(source, name)(*arguments)
        lines = isinstance(result, list)
        results.append([line.decode() for line in result] if lines else result.decode())
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(results).encode()]


def ignores_body(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return [b"not read"]


def reads_in_part(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    return [environ["wsgi.input"].read(3)]


def body_error(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Says in the log what reading the body fails with, and answers nevertheless."""
    try:
        environ["wsgi.input"].read(-1)
        result = "no error"
    except OSError as error:
        kinds = [kind.__name__ for kind in type(error).__mro__]
        result = f"{' '.join(kinds)} {getattr(error, 'status', '-')}"
    log(environ, f"body: {result}")
    start_response("200 OK", list(TEXT))
    return [result.encode()]


def declared_memory(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The growth of memory by a read of all that was announced, in KiB."""
    before = peak_kib()
    with contextlib.suppress(OSError):
        environ["wsgi.input"].read(-1)
    log(environ, f"grown {peak_kib() - before}")
    start_response("200 OK", list(TEXT))
    return []


# --- Greens


def sleeps(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    green.sleep(0.5)
    start_response("200 OK", list(TEXT))
    return [environ["QUERY_STRING"].encode()]


def many_write_unfinished_errors(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    """1500 greens end in the middle of a line."""
    write = environ["wsgi.errors"].write
    for number in range(1500):
        green.spawn(write, f"half a line {number}").join()
    start_response("200 OK", list(TEXT))
    return [b"logged"]


def late_timeout(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The Timeout's time comes when what it limits is over, and its green has not run since."""
    green.monkey_patch()
    left, right = socket.socketpair()

    def send_and_take_long() -> None:
        left.send(b"x")
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass

    with left, right, green.Timeout(0.01):
        green.spawn(send_and_take_long)
        right.recv(1)
    start_response("200 OK", list(TEXT))
    return [bytes(64 << 20)]


def reads_in_time(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What a read has that a Timeout ends is read again."""
    body = environ["wsgi.input"]
    write = start_response("200 OK", list(TEXT))
    write(body.read(1))
    with green.Timeout(0.01, False):
        body.read(10)
    write(b"!")
    return [b"|".join((body.read(3), body.readline(100), body.read(100)))]


def waits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    green.Event().wait(0.001)
    start_response("200 OK", list(TEXT))
    return [b"waited"]


def read_by_another(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The call's own green ends while the other one still waits for the body."""

    def read() -> None:
        log(environ, f"the other read {environ['wsgi.input'].read(3)!r}")

    start_response("200 OK", [*TEXT, ("Content-Length", "0")])
    green.spawn(read)
    green.sleep(0)
    return [b""]


WAITING: list[green.Green] = []


@unruly  # The validator does not expect to be left in the middle.
def waits_for_its_end(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    WAITING.append(green.getcurrent())
    try:
        green.sleep(1000)
    finally:
        log(environ, "cleaned up")
    return []


def kills_the_waiting(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    if not WAITING:
        return [b"nobody waits"]
    green.kill(WAITING.pop())
    return [b"killed"]


# --- Files


class ChangedFile(io.FileIO):
    """Its bytes are not those that lie in the file."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size)[::-1]

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        buffer[:count] = bytes(buffer[:count])[::-1]
        return count


def file_of(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """/path?kind,offset,length: the file at the path, opened so."""
    kind, offset, length_text = environ["QUERY_STRING"].split(",")
    path = environ["PATH_INFO"]
    file: Any
    if kind == "gzip":
        file = gzip.open(path)  # noqa: SIM115 - the wrapper closes it.
    elif kind == "bytesio":
        with open(path, "rb") as source:
            file = io.BytesIO(source.read())
    elif kind == "temporary":
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it.
        with open(path, "rb") as source:
            file.write(source.read())
    elif kind in ("changed", "over-changed"):
        changed = ChangedFile(path)
        file = changed if kind == "changed" else io.BufferedReader(changed)
    elif kind == "write-only":
        file = io.FileIO(os.open(path, os.O_WRONLY), "w")
    else:
        file = open(path, "rb", buffering=0 if kind == "raw" else -1)  # noqa: SIM115
    file.seek(int(offset))
    if kind == "closed":
        file.close()
    headers = [*TEXT, *([("Content-Length", length_text)] if length_text else [])]
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](file, 1000)


def pipe_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    read_end, write_end = os.pipe()
    os.write(write_end, b"through a pipe")
    os.close(write_end)
    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](os.fdopen(read_end, "rb"))


def closes_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Noisy(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                log(environ, "file closed")
            super().close()

    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](Noisy(b"content"))


def closed_under_way(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """/: a long file, which another request, /other, closes; its number is another file's then."""
    if environ["PATH_INFO"] == "/other":
        length = os.fstat(kept_files[-1].fileno()).st_size
        kept_files[-1].close()
        kept_files.append(tempfile.TemporaryFile())  # noqa: SIM115 - it stays open.
        kept_files[-1].write(b"o" * length)
        kept_files[-1].flush()
        start_response("200 OK", list(TEXT))
        return [b"closed"]
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the other request.
    file.write(b"p" * (12 << 20))
    file.seek(0)
    kept_files.append(file)
    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](file)


kept_files: list[Any] = []


def uncached_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the server closes it.
    file.write(b"u" * 1_000_000)
    file.flush()
    os.fsync(file.fileno())
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    file.seek(0)
    start_response("200 OK", list(TEXT))
    return environ["wsgi.file_wrapper"](file)


# --- The error log


def writes_errors(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    errors = environ["wsgi.errors"]
    errors.write("half ")
    errors.write("a line\nand ")
    errors.writelines(["another", "\n", "\u20ac \udc80\n", "unfinished"])
    start_response("200 OK", list(TEXT))
    return [b"logged"]
