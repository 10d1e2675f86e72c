"""What the tests of the served command share: applications, and requests."""

from __future__ import annotations

import http.client
import socket

HELLO = """
import os

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("WORD", str(os.getpid())).encode()]
"""
# Calls the test back, and answers once the test has.
WAITS = """
import os, socket

def app(environ, start_response):
    with socket.create_connection(("127.0.0.1", int(os.environ["CALL"]))) as caller:
        caller.recv(1)
    start_response("200 OK", [])
    return [b"finished"]
"""


def get(port: int, path: str = "/") -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def get_by(client: socket.socket) -> bytes:
    """One request on a connected socket, to the end of the connection."""
    with client, client.makefile("rb") as answer:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return answer.read().partition(b"\r\n\r\n")[2]
