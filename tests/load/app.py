"""What the load tests serve: calls that wait or fail, and bodies larger than any buffer."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIEnvironment

PIECE = bytes(64 << 10)


class Gate:
    """Where calls wait until all are let through."""

    def __init__(self) -> None:
        self.waiting = 0
        self._open = threading.Event()

    def hold(self, query: dict[str, list[str]]) -> bytes:
        self.waiting += 1
        assert self._open.wait(60)
        return query["id"][0].encode()

    def release(self, query: dict[str, list[str]]) -> bytes:
        """Opens the gate as soon as the file exists."""
        while not os.path.exists(query["when"][0]):
            time.sleep(0.005)
        self._open.set()
        return b"released"


gate = Gate()


def sleep(query: dict[str, list[str]]) -> bytes:
    time.sleep(0.05)
    return query["id"][0].encode()


def measure(query: dict[str, list[str]]) -> bytes:
    from leaks import measure as measured

    return json.dumps(measured()).encode()


CALLS: dict[str, Callable[[dict[str, list[str]]], bytes]] = {
    "/sleep": sleep,
    "/echo": lambda query: query["id"][0].encode(),
    "/hold": gate.hold,
    "/release": gate.release,
    "/measure": measure,
    "/waiting": lambda query: str(gate.waiting).encode(),
}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/large":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return (PIECE for _ in range(1024))
    if environ["PATH_INFO"] == "/upload":
        body = str(len(environ["wsgi.input"].read())).encode()
    else:  # Elsewhere there is nothing: a KeyError.
        body = CALLS[environ["PATH_INFO"]](parse_qs(environ["QUERY_STRING"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
