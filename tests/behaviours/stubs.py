"""stubs.py KIND: a small server on a free port, which it prints. Each answers `slow` after 0.3 s.

As much of HTTP, Redis's, PostgreSQL's and MySQL's protocols as a driver needs to ask one question;
no more. A thread a connection.
"""

from __future__ import annotations

import http.server
import os
import socketserver
import struct
import sys
import threading
import time
from typing import Any

SLOW = 0.3


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "slow" in self.path:
            time.sleep(SLOW)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"slow")

    def log_message(self, *arguments: Any) -> None:
        pass


class Redis(socketserver.StreamRequestHandler):
    """ECHO is answered with its argument, everything else with OK; BLPOP waits for nothing."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                count = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(count))
                self.rfile.read(2)
            if words[0].upper() == b"ECHO":
                time.sleep(SLOW)
                self.wfile.write(b"$%d\r\n%s\r\n" % (len(words[1]), words[1]))
            else:
                self.wfile.write(b"+OK\r\n")


class Postgres(socketserver.StreamRequestHandler):
    """A query is answered with one row of one text: slow."""

    def message(self, kind: bytes, body: bytes = b"") -> bytes:
        return kind + struct.pack(">I", len(body) + 4) + body

    def handle(self) -> None:
        while True:  # A start-up message; those who ask for encryption first are told no.
            (count,) = struct.unpack(">I", self.rfile.read(4))
            code = struct.unpack(">I", self.rfile.read(count - 4)[:4])
            if code == (0x30000,):
                break
            self.wfile.write(b"N")
        told = {"server_version": "15.0", "client_encoding": "UTF8", "DateStyle": "ISO"}
        told["standard_conforming_strings"] = "on"
        settings = [f"{name}\0{value}\0".encode() for name, value in told.items()]
        ready = self.message(b"Z", b"I")
        self.wfile.write(self.message(b"R", struct.pack(">I", 0)))
        self.wfile.write(b"".join(self.message(b"S", each) for each in settings) + ready)
        while (kind := self.rfile.read(1)) not in (b"", b"X"):
            (count,) = struct.unpack(">I", self.rfile.read(4))
            query = self.rfile.read(count - 4)
            assert kind == b"Q", kind
            self.wfile.write(self.answer(query) + ready)

    def answer(self, query: bytes) -> bytes:
        if b"slow" not in query:
            return self.message(b"C", query.split()[0].rstrip(b";\0") + b"\0")
        time.sleep(SLOW)
        column = b"text\0" + struct.pack(">IHIHIH", 0, 0, 25, 0xFFFF, 0xFFFFFFFF, 0)
        answer = self.message(b"T", struct.pack(">H", 1) + column)
        answer += self.message(b"D", struct.pack(">HI", 1, 4) + b"slow")
        return answer + self.message(b"C", b"SELECT 1\0")


class MySql(socketserver.StreamRequestHandler):
    """Anybody may log in. A query is answered with OK, a slow one with one row of one text."""

    def packet(self, number: int, body: bytes) -> bytes:
        return struct.pack("<I", len(body))[:3] + bytes([number]) + body

    def read(self) -> bytes:
        head = self.rfile.read(4)
        return self.rfile.read(int.from_bytes(head[:3], "little")) if head else b""

    def handle(self) -> None:
        able = 0x0008_F7DF  # As a server of today, but without encryption.
        hello = b"\x0a8.0.0\0" + struct.pack("<I", 1) + b"12345678\0"
        hello += struct.pack("<HBHHB", able & 0xF7FF, 33, 2, able >> 16, 21) + bytes(10)
        self.wfile.write(self.packet(0, hello + b"123456789012\0mysql_native_password\0"))
        self.read()
        fine = b"\0\0\0\2\0\0\0"
        self.wfile.write(self.packet(2, fine))
        while (command := self.read())[:1] not in (b"", b"\1"):
            if b"slow" not in command:
                self.wfile.write(self.packet(1, fine))
                continue
            time.sleep(SLOW)
            names = b"".join(
                bytes([len(each)]) + each for each in (b"def", b"", b"", b"", b"a", b"")
            )
            column = names + struct.pack("<BHIBHBH", 12, 33, 255, 253, 0, 0, 0)
            end = b"\xfe\0\0\2\0"
            rows = [b"\1", column, end, b"\4slow", end]
            self.wfile.write(b"".join(self.packet(n, each) for n, each in enumerate(rows, 1)))


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, *arguments: Any) -> None:
        pass  # A client that has gone away.


def end_with_parent() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def main() -> None:
    kinds = {"http": Http, "redis": Redis, "postgres": Postgres, "mysql": MySql}
    server = Server(("127.0.0.1", 0), kinds[sys.argv[1]])
    threading.Thread(target=end_with_parent, daemon=True).start()
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
