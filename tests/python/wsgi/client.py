"""A client that sees every byte: requests as they are written, responses parsed to the letter."""

from __future__ import annotations

import socket
from dataclasses import dataclass

SECONDS = 20.0


@dataclass
class Response:
    status: str
    version: str
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.status[:3])

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, self.fields
        return values[0] if values else None


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
        self._received = b""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, target: str, *fields: str) -> Response:
        self.request("GET", target, *fields)
        return self.response()

    def request(self, method: str, target: str, *fields: str, version: str = "1.1") -> None:
        lines = [f"{method} {target} HTTP/{version}", "Host: test", *fields, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def post(self, target: str, body: bytes, *fields: str) -> Response:
        self.request("POST", target, f"Content-Length: {len(body)}", *fields)
        self.send(body)
        return self.response()

    def response(self, *, head: bool = False) -> Response:
        """The next response; `head`: to a HEAD request."""
        lines = self.until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ", 1)
        fields = []
        for line in lines[1:]:
            name, separator, value = line.partition(": ")
            assert separator, line
            fields.append((name, value))
        response = Response(status, version, fields, b"")
        assert version in ("HTTP/1.1", "HTTP/1.0"), version
        response.body = self._body(response, head)
        return response

    def _body(self, response: Response, head: bool) -> bytes:
        length = response.field("Content-Length")
        coding = response.field("Transfer-Encoding")
        assert length is None or coding is None, response.fields
        if head or response.code in (204, 304):
            return b""
        if length is not None:
            return self.exactly(int(length))
        if coding is None:
            return self.rest()
        assert coding == "chunked"
        body = b""
        while size := int(self.until(b"\r\n"), 16):
            body += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        assert self.exactly(2) == b"\r\n"
        return body

    def until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(end)
        return found + end

    def exactly(self, size: int) -> bytes:
        parts = [self._received[:size]]
        self._received = self._received[size:]
        missing = size - len(parts[0])
        while missing > 0:
            part = self.socket.recv(min(missing, 1 << 20))
            if not part:
                raise EOFError(f"{missing} bytes missing")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def rest(self) -> bytes:
        """To the end of the connection."""
        parts = [self._received]
        self._received = b""
        while part := self.socket.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def is_closed(self) -> bool:
        """Waits for the server's end of the connection; True when nothing came before it."""
        try:
            return self.rest() == b""
        except ConnectionResetError:
            return True

    def _receive(self) -> None:
        part = self.socket.recv(1 << 20)
        if not part:
            raise EOFError(f"the connection ended after {self._received!r}")
        self._received += part
