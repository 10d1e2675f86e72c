"""What an HTTP client of the tests needs beyond http.client: many requests at once, bare bytes."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse

SECONDS = 30.0


@dataclass
class Answer:
    status: int
    headers: dict[str, str]  # By lower-case name; the last of several.
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(
    connection: HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterable[bytes] | None = None,
    **headers: str,
) -> Answer:
    """One exchange on a connection that stays open. X_Some_Name=... sends X-Some-Name."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    chunked = body is not None and not isinstance(body, bytes)
    connection.request(method, target, body, sent, encode_chunked=chunked)
    return answer_of(connection.getresponse())


def answer_of(response: HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def ask_at_once(address: tuple[str, int], targets: Iterable[str]) -> list[Answer]:
    """GETs all of them, each on a connection of its own, before it reads the first answer."""
    answers = []
    with ExitStack() as stack:
        open_sockets = []
        for target in targets:
            peer = stack.enter_context(socket.create_connection(address, SECONDS))
            request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            peer.sendall(request.encode())
            open_sockets.append(peer)
        for peer in open_sockets:
            response = HTTPResponse(peer)
            response.begin()
            answers.append(answer_of(response))
    return answers


def multipart(**parts: str | tuple[str, bytes]) -> tuple[bytes, str]:
    """A form as browsers send it, and its content type. A file is (name, content)."""
    boundary = "a-line-between-parts"
    body = bytearray()
    for field, part in parts.items():
        name, content = part if isinstance(part, tuple) else (None, part.encode())
        file = f'; filename="{name}"\r\nContent-Type: application/octet-stream' if name else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return bytes(body), f"multipart/form-data; boundary={boundary}"
