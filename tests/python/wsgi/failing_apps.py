"""Applications that raise, or break the rules: what they do wrong is answered, and logged."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from app_kit import TEXT, Closing, Environ, StartResponse, log, unruly

import green


@unruly
def fails(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise RuntimeError("secret of the application")


def fails_to_read(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """As frameworks do: what reading the body raises is an internal error."""
    try:
        environ["wsgi.input"].read(-1)
    except OSError:
        start_response("500 Internal Server Error", list(TEXT))
        return [b"internal"]
    start_response("200 OK", list(TEXT))
    return [b"read"]


def forks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The child leaves the call as the query says; the answer is its exit status."""
    child = os.fork()
    if child == 0:
        if environ["QUERY_STRING"] == "exit":
            sys.exit(5)
        if environ["QUERY_STRING"] == "raise":
            raise RuntimeError("in the child")
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else "child"
    start_response("200 OK", list(TEXT))
    return [str(status).encode()]


@unruly
def is_interrupted(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise KeyboardInterrupt


@unruly
def fails_after_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    raise RuntimeError("after start_response")


def fails_before_first(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def parts() -> Iterator[bytes]:
        yield b""
        raise RuntimeError("before the first piece")

    start_response("200 OK", list(TEXT))
    return Closing(environ, parts())


def fails_midway(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    def parts() -> Iterator[bytes]:
        yield b"a piece"
        raise RuntimeError("midway")

    start_response("200 OK", list(TEXT))
    return Closing(environ, parts())


def fails_midway_sized(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("Content-Length", "1000")])
    yield b"a piece"
    raise RuntimeError("midway")


def replaced(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [*TEXT, ("X-First", "1")])
    try:
        raise ValueError("changed my mind")
    except ValueError:
        start_response("503 Later", [*TEXT, ("X-Second", "2")], sys.exc_info())
    return [b"replaced"]


def too_late_to_replace(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    yield b"a piece"
    try:
        raise ValueError("too late")
    except ValueError:
        start_response("500 Oops", list(TEXT), sys.exc_info())


@unruly
def started_twice(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))
    try:
        start_response("404 Not Found", list(TEXT))
    except AssertionError as error:
        return [str(error).encode()]
    return [b"no error"]


@unruly
def never_started(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return [b"body"] if environ["QUERY_STRING"] == "list" else iter([b"body"])


@unruly
def bad_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Tries the arguments that the query names; the body is the error's type."""
    tries: dict[str, tuple[Any, ...]] = {
        "newline": ("200 OK", [("X-A", "b\r\nSet-Cookie: forged=1")]),
        "lone-newline": ("200 OK", [("X-A", "b\nc")]),
        "nul": ("200 OK", [("X-A", "b\0c")]),
        "name-newline": ("200 OK", [("X-A\r\nY", "b")]),
        "name-space": ("200 OK", [("X A", "b")]),
        "name-colon": ("200 OK", [("X:", "b")]),
        "name-empty": ("200 OK", [("", "b")]),
        "status-newline": ("200 OK\r\nX: y", []),
        "status-short": ("20 OK", []),
        "status-number": (200, []),
        "status-1xx": ("100 Continue", []),
        "status-bytes": (b"200 OK", []),
        "wide": ("200 OK", [("X-A", "\u20ac")]),
        "tuple": ("200 OK", (("X-A", "b"),)),
        "pair-list": ("200 OK", [["X-A", "b"]]),
        "triple": ("200 OK", [("X-A", "b", "c")]),
        "bytes-value": ("200 OK", [("X-A", b"b")]),
        "number-value": ("200 OK", [("Content-Length", 5)]),
        "bad-length": ("200 OK", [("Content-Length", "five")]),
        "two-lengths": ("200 OK", [("Content-Length", "5"), ("Content-Length", "6")]),
        "connection": ("200 OK", [("Connection", "close")]),
        "transfer-encoding": ("200 OK", [("Transfer-Encoding", "chunked")]),
        "exc-info": ("200 OK", [], "not a tuple"),
        "few": ("200 OK",),
        "many": ("200 OK", [], None, None),
    }
    result = "accepted"
    try:
        start_response(*tries[environ["QUERY_STRING"]])
    except Exception as error:
        result = type(error).__name__
    start_response("200 OK", list(TEXT), (None, None, None))
    return [result.encode()]


@unruly
def latin1_header(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 Sch\xf6n", [("X-Name", "J\xfcrgen\tK.")])
    return []


@unruly
def changed_afterwards(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    headers = [("X-A", "b")]
    start_response("200 OK", headers)
    headers[0] = ("X-A", "c\r\nX-Forged: 1")
    headers.append(("X-Later", "1"))
    return [b""]


@unruly
def start_taken_back(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """By another green, when the call is about to send its file."""

    def start_wrongly() -> None:
        with contextlib.suppress(ValueError):
            start_response("bad", [], (ValueError, ValueError(), None))

    file = open(__file__, "rb")  # noqa: SIM115 - the server closes it.
    start_response("200 OK", list(TEXT))
    green.spawn(start_wrongly)
    return environ["wsgi.file_wrapper"](file)


@unruly
def writes_again(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", list(TEXT))
    try:
        write(b"x")
    except MemoryError:
        write(b"x")
    return []


@unruly
def close_fails_without_a_client(
    environ: Environ, start_response: StartResponse
) -> Iterable[bytes]:
    class Endless:
        def __iter__(self) -> Endless:
            return self

        def __next__(self) -> bytes:
            return bytes(1 << 20)

        def close(self) -> None:
            raise FileNotFoundError("its own")

    start_response("200 OK", list(TEXT))
    return Endless()


@unruly
def fails_with_nul(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("before \0 behind")


@unruly
def wrong_piece(environ: Environ, start_response: StartResponse) -> Iterable[Any]:
    start_response("200 OK", list(TEXT))
    piece: Any = {"str": "text", "int": 7, "bytearray": bytearray(b"x"), "none": None}[
        environ["QUERY_STRING"].split(",")[0]
    ]
    return iter([piece]) if environ["QUERY_STRING"].endswith(",iter") else [piece]


@unruly
def no_iterable(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", list(TEXT))
    return None


@unruly
def bytes_result(environ: Environ, start_response: StartResponse) -> Any:
    start_response("200 OK", list(TEXT))
    return b"abc"


@unruly
def length(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """/?10,iter: Content-Length 10 for a body of 5 bytes, as a list or an iterator."""
    announced, _, kind = environ["QUERY_STRING"].partition(",")
    write = start_response("200 OK", [*TEXT, ("Content-Length", announced)])
    if kind == "write":
        write(b"12345")
        return []
    return [b"12345"] if kind == "list" else iter([b"123", b"45"])


@unruly
def exits(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    sys.exit(3)


@unruly
def writes_after_the_end(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    class Late(Closing):
        def close(self) -> None:
            try:
                write(b"late")
            except RuntimeError as error:
                log(environ, f"refused: {error}")

    write = start_response("200 OK", list(TEXT))
    return Late(environ, [b"in time"] if environ["QUERY_STRING"] != "fails" else ["no bytes"])
