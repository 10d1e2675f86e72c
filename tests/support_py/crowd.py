"""Thousands of keep-alive clients in one thread, each of which checks what it gets.

A client asks one thing after another; the answer to each must come whole and carry its own id.
Whatever else happens (an early end, a wrong id, a byte too many) is an AssertionError that names
the client.
"""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Callable, Iterable
from typing import Self

SECONDS = 50.0


def allow_descriptors(count: int) -> bool:
    """Raises the limit of this process and its children as far as it goes; is it enough?"""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard == resource.RLIM_INFINITY or hard >= count


class Client:
    def __init__(self, address: tuple[str, int], number: int) -> None:
        self.number = number
        self.peer = socket.create_connection(address, SECONDS)
        self.peer.setblocking(False)
        self.answered = 0
        self.last_head = b""
        self._expected = b""
        self._received = b""

    def ask(self, path: str) -> None:
        self._expected = f"{self.number}-{self.answered}".encode()
        target = f"{path}?id={self._expected.decode()}"
        request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        assert self.peer.send(request) == len(request)

    def read(self) -> bool:
        """Takes what has come. True: that was the rest of the answer, and it was right."""
        piece = self.peer.recv(65536)
        assert piece, f"client {self.number}: closed while it waits for {self._expected!r}"
        self._received += piece
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < len(self._expected):
            return False
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), f"client {self.number}: {head!r}"
        assert body == self._expected, f"client {self.number}: {body!r}, not {self._expected!r}"
        self.last_head = head
        self._received = b""
        self.answered += 1
        return True


class Crowd:
    def __init__(self, address: tuple[str, int], count: int) -> None:
        self._clients: dict[int, Client] = {}
        self._poll = select.epoll()
        for number in range(count):
            client = Client(address, number)
            self._clients[client.peer.fileno()] = client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._poll.close()
        for client in self._clients.values():
            client.peer.close()

    def clients(self) -> Iterable[Client]:
        return self._clients.values()

    def ask(self, path: str) -> None:
        for client in self._clients.values():
            client.ask(path)

    def read_answers(self, path: str, rounds: int = 1) -> None:
        """Until each client has `rounds` answers more; it asks for the next when one has come."""
        left = dict.fromkeys(self._clients, rounds)
        for fd in left:
            self._poll.register(fd, select.EPOLLIN)
        deadline = time.monotonic() + SECONDS
        while left:
            assert time.monotonic() < deadline, f"{len(left)} clients still wait: {sorted(left)}"
            for fd, _ in self._poll.poll(1.0, 1024):
                client = self._clients[fd]
                if not client.read():
                    continue
                left[fd] -= 1
                if left[fd]:
                    client.ask(path)
                else:
                    self._poll.unregister(fd)
                    del left[fd]

    def expect_ends(self) -> None:
        """The server closes every connection, without another byte."""
        for client in self._clients.values():
            client.peer.settimeout(SECONDS)
            assert client.peer.recv(1) == b"", f"client {client.number}"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
