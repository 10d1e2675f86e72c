"""Applications that go on for long, or for ever, with a client that never makes them wait."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from app_kit import TEXT, Closing, Environ, StartResponse, log, unruly

import green


def _seconds_of_work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def endless(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", list(TEXT))

    def parts() -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    return Closing(environ, parts())


def writes_for_ever(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", list(TEXT))
    try:
        while True:
            write(b"x" * 100)
    except OSError:
        log(environ, "nobody reads")
        raise


@unruly
def not_ready(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Until another green has run there is nothing to send (PEP 3333: empty bytes)."""
    start_response("200 OK", list(TEXT))
    ready: list[bool] = []
    green.spawn(ready.append, True)
    while not ready:
        yield b""
    yield b"ready"


def half_a_second(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """How often another green ran while half a second was spent as the path says."""
    turns = 0

    def count() -> None:
        nonlocal turns
        while not over:
            turns += 1
            green.sleep(0.001)

    over = False
    counting = green.spawn(count)
    try:
        if environ["PATH_INFO"].endswith("/lines"):
            for _ in environ["wsgi.input"]:
                _seconds_of_work(0.0005)
            start_response("200 OK", list(TEXT))
        elif environ["PATH_INFO"].endswith("/write"):
            write = start_response("200 OK", list(TEXT))
            for _ in range(1000):
                _seconds_of_work(0.0005)
                write(b"x")
        else:
            start_response("200 OK", list(TEXT))
            for _ in range(1000):
                _seconds_of_work(0.0005)
                yield b"x"
    finally:
        over = True
        counting.join()
    yield b"|%d" % turns


def many_pieces(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A list of pieces as long as the request's body says, each of another byte."""
    sizes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).split(b",")
    start_response("200 OK", list(TEXT))
    return [bytes([number % 251]) * int(size) for number, size in enumerate(sizes)]
