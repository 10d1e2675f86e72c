"""A client of the Debug Adapter Protocol, as an editor is one, for a program under debugpy."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

SECONDS = 60.0  # Longer than any answer takes on a machine that is busy.


class DebugClient:
    """Sends requests and reads answers and events, in whatever order they come."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SECONDS)
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._number = 0
        self._unread: list[dict[str, Any]] = []

    def close(self) -> None:
        self._stream.close()
        self._connection.close()

    def send(self, command: str, **arguments: Any) -> int:
        self._number += 1
        request = {
            "seq": self._number, "type": "request", "command": command, "arguments": arguments,
        }  # fmt: skip
        body = json.dumps(request).encode()
        self._connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self._number

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        number = self.send(command, **arguments)
        answer = self._next(lambda message: message.get("request_seq") == number)
        assert answer["success"], answer
        body: dict[str, Any] = answer.get("body") or {}
        return body

    def event(self, name: str) -> dict[str, Any]:
        body: dict[str, Any] = self._next(lambda m: m.get("event") == name).get("body") or {}
        return body

    def _next(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for index, message in enumerate(self._unread):
            if wanted(message):
                return self._unread.pop(index)
        while not wanted(message := self._read()):
            self._unread.append(message)
        return message

    def _read(self) -> dict[str, Any]:
        size = 0
        while (line := self._stream.readline()) != b"\r\n":
            assert line, "debugpy has closed the connection"
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        message: dict[str, Any] = json.loads(self._stream.read(size))
        return message
