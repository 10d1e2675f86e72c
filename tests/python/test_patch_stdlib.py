"""Clients of the standard library, imported before the patch, against small servers in greens.

Each makes many calls at once to a server that takes its time: all together must take about as long
as one, and nobody else is stopped.
"""

from __future__ import annotations

import email.message
import http.client
import http.server
import smtplib
import socket
import socketserver
import threading
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from patched import Ticker, isolated, patch, start_natively, together

CLIENTS = 40
PAUSE = 0.2  # Of the server, in seconds.


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(PAUSE)
        body = self.path.encode() * 1000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


class Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        in_data = False
        for line in self.rfile:
            if in_data:
                in_data = line != b".\r\n"
                if in_data:
                    continue
                time.sleep(PAUSE)
            if line.upper().startswith(b"DATA"):
                in_data = True
                self.wfile.write(b"354 go on\r\n")
            elif line.upper().startswith(b"QUIT"):
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 well\r\n")


class Redis(socketserver.StreamRequestHandler):
    """Speaks enough of RESP for a client written in Python: arrays of bulks in, bulks out."""

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:-2])
            time.sleep(PAUSE)
            answer = b" ".join(words)
            self.wfile.write(b"$%d\r\n%s\r\n" % (len(answer), answer))


class ThreadingServer(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True


class GreenServer(socketserver.TCPServer):
    """One green a connection."""

    request_queue_size = 128

    def process_request(self, request: Any, client_address: Any) -> None:
        from green import _core

        _core.spawn(self.finish_one, request, client_address)

    def finish_one(self, request: Any, client_address: Any) -> None:
        self.finish_request(request, client_address)
        self.shutdown_request(request)


def serve_in_greens(handler: type[socketserver.BaseRequestHandler]) -> Any:
    from green import _core

    server = GreenServer(("127.0.0.1", 0), handler)
    green = _core.spawn(server.serve_forever, 0.05)
    return server, green.join


def serve_in_threads(handler: type[socketserver.BaseRequestHandler]) -> Any:
    server = ThreadingServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    start_natively(thread)
    return server, thread.join


def many_at_once(
    serve: Callable[[Any], Any], handler: type[socketserver.BaseRequestHandler], client: Any
) -> list[Any]:
    server, join = serve(handler)
    began = time.monotonic()
    with Ticker() as ticker:
        results = together(
            *[lambda n=n: client(server.server_address[1], n) for n in range(CLIENTS)]
        )
    took = time.monotonic() - began
    together(server.shutdown)
    join()
    server.server_close()
    assert took < CLIENTS * PAUSE / 2
    ticker.assert_kept_running()
    return results


def fetch_with_http_client(port: int, number: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", f"/{number}")
    first = connection.getresponse().read()
    connection.request("GET", f"/{number}")
    assert connection.getresponse().read() == first
    connection.close()
    return first


@isolated
def test_http_client_keeps_connections_to_a_server_of_greens() -> None:
    patch()

    bodies = many_at_once(serve_in_greens, Web, fetch_with_http_client)

    assert bodies == [f"/{n}".encode() * 1000 for n in range(CLIENTS)]


@isolated
def test_http_client_talks_to_a_server_of_native_threads() -> None:
    patch()

    bodies = many_at_once(serve_in_threads, Web, fetch_with_http_client)

    assert bodies == [f"/{n}".encode() * 1000 for n in range(CLIENTS)]


@isolated
def test_urllib_request() -> None:
    patch()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fetch(port: int, number: int) -> bytes:
        with opener.open(f"http://127.0.0.1:{port}/{number}", timeout=10) as response:
            body: bytes = response.read()
            return body

    assert many_at_once(serve_in_greens, Web, fetch) == [
        f"/{n}".encode() * 1000 for n in range(CLIENTS)
    ]


@isolated
def test_smtplib() -> None:
    patch()
    message = email.message.EmailMessage()
    message["From"], message["To"] = "a@example.org", "b@example.org"
    message.set_content("text\n" * 1000)

    def send(port: int, number: int) -> Any:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="here", timeout=10) as smtp:
            return smtp.send_message(message)

    assert many_at_once(serve_in_greens, Mail, send) == [{}] * CLIENTS


@isolated
def test_a_driver_in_plain_python() -> None:
    patch()

    def ask(port: int, number: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            lines = connection.makefile("rb")
            connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%d\r\n" % (len(str(number)), number))
            size = int(lines.readline()[1:])
            return lines.read(size + 2)[:-2]

    assert many_at_once(serve_in_greens, Redis, ask) == [b"GET %d" % n for n in range(CLIENTS)]
