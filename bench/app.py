"""The one WSGI application that every server under measurement serves.

A launcher that patches must do so before it imports this. UPSTREAM_PORT and BIG_FILE come from the
driver.
"""

from __future__ import annotations

import http.client
import os
import socket
import time
from collections.abc import Iterable
from typing import Any

HELLO = b"Hello, World!"
ONE_KIB = b"x" * 1024
ONE_MIB = b"x" * (1 << 20)
BIG_FILE = os.environ.get("BIG_FILE", "")
UPSTREAM = ("127.0.0.1", int(os.environ.get("UPSTREAM_PORT", "8099")))
UPSTREAM_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Environ = dict[str, Any]
_pool: list[socket.socket] = []


def _text(start_response: Any, body: bytes) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "13")])
    return [HELLO]


def headers(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Reads what an ordinary page reads of a browser's request; answers 1 KiB."""
    wanted = ("HTTP_COOKIE", "HTTP_ACCEPT_LANGUAGE", "HTTP_USER_AGENT")
    if not environ["QUERY_STRING"] or not all(environ.get(name) for name in wanted):
        start_response("400 Bad Request", [("Content-Length", "0")])
        return [b""]
    start_response(
        "200 OK",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", "1024"),
            ("Cache-Control", "no-cache, private"),
            ("X-Request-Id", "0123456789abcdef"),
            ("Set-Cookie", "sid=abcdef0123456789; Path=/; HttpOnly"),
        ],
    )
    return [ONE_KIB]


def echo(environ: Environ, start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return _text(start_response, body)


def slow(environ: Environ, start_response: Any) -> Iterable[bytes]:
    time.sleep(0.05)
    return _text(start_response, HELLO)


def upstream_pool(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Asks an upstream over a pooled keep-alive socket, as database drivers do."""
    connection = _pool.pop() if _pool else socket.create_connection(UPSTREAM)
    connection.sendall(UPSTREAM_REQUEST)
    answer = connection.recv(4096)
    _pool.append(connection)
    return _text(start_response, answer.partition(b"\r\n\r\n")[2])


def upstream_http(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Asks an upstream by http.client, over a fresh connection."""
    connection = http.client.HTTPConnection(*UPSTREAM)
    connection.request("GET", "/")
    body = connection.getresponse().read()
    connection.close()
    return _text(start_response, body)


def mebibyte(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", str(1 << 20))])
    return [ONE_MIB]


def file(environ: Environ, start_response: Any) -> Iterable[bytes]:
    opened = open(BIG_FILE, "rb")  # noqa: SIM115 - wsgi.file_wrapper closes it.
    start_response("200 OK", [("Content-Length", str(1 << 20))])
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return iter(lambda: opened.read(65536), b"")
    return wrapper(opened, 65536)  # type: ignore[no-any-return]


ROUTES = {
    "/headers": headers,
    "/echo": echo,
    "/slow": slow,
    "/upstream/pool": upstream_pool,
    "/upstream/http": upstream_http,
    "/mebibyte": mebibyte,
    "/file": file,
}


def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    return ROUTES.get(environ["PATH_INFO"], hello)(environ, start_response)
