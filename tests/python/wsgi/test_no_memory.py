"""Where C++ gets no memory a request fails, and the service goes on: each allocation that serving
one makes is denied in turn."""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from client import SECONDS
from sanitized import ASAN

from green import _core

ONCE = "its servers are the costly part, and no processes of ours"  # leaks.py
pytestmark = pytest.mark.skipif(ASAN, reason="AddressSanitizer has a `new` of its own")

END = b"Host: h\r\nConnection: close\r\n"
LONG = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 100) for number in range(60))
REQUESTS = {
    "plain": b"GET /hello HTTP/1.1\r\n" + END + b"\r\n",
    "long head": b"GET /hello/%41" + b"p" * 600 + b" HTTP/1.1\r\n" + END + LONG + b"\r\n",
    "long response head": b"GET /many_headers HTTP/1.1\r\n" + END + b"\r\n",
    "body": b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    + END
    + b"\r\n"
    + b"4000\r\n"
    + b"b" * 0x4000
    + b"\r\n0\r\n\r\n",
    "file": b"GET /file_of%s?raw,0, HTTP/1.1\r\n" % os.fsencode(__file__) + END + b"\r\n",
    "uncached file": b"GET /uncached_file HTTP/1.1\r\n" + END + b"\r\n",
    "wait": b"GET /waits HTTP/1.1\r\n" + END + b"\r\n",
    "exception": b"GET /fails HTTP/1.1\r\n" + END + b"\r\n",
    "errors": b"GET /writes_errors HTTP/1.1\r\n" + END + b"\r\n",
    "refused": b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
    "two in one": b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /hello HTTP/1.1\r\n" + END + b"\r\n",
}
ALWAYS = 1 << 40


class FailingNew:
    """The control of failing_new.cpp."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(24))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 24)

    def fail(self, first: int, fails: int) -> None:
        """The allocations behind the first `first` fail, `fails` of them."""
        struct.pack_into("3q", self._shared, 0, first, fails, 0)

    def stop(self) -> int:
        """No more of that; how many have failed."""
        struct.pack_into("q", self._shared, 8, 0)
        return int(struct.unpack_from("q", self._shared, 16)[0])


@pytest.fixture(scope="module")
def failing_new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailingNew]:
    """Processes that start meanwhile have it."""
    control = tmp_path_factory.mktemp("failing_new") / "control"
    library = Path(_core.__file__).parents[1] / "tests" / "support" / "failing_new.so"
    assert library.exists()
    made = FailingNew(control)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LD_PRELOAD", str(library))
        patch.setenv("FAILING_NEW", str(control))
        yield made


def ask(port: int, request: bytes) -> bytes:
    """All that the server sends until it closes; what a reset leaves of it."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        try:
            client.sendall(request)
            while piece := client.recv(65536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return received


def responses(received: bytes) -> list[bytes]:
    """Each that is there, without its date; what is cut is left out."""
    found = []
    while b"\r\n\r\n" in received:
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Date: ")]
        (length,) = (int(line[16:]) for line in lines if line.startswith(b"Content-Length: "))
        if len(rest) < length:
            break
        found.append(b"\r\n".join([*lines, b"", rest[:length]]))
        received = rest[length:]
    return found


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_that_gets_no_memory_fails_alone(
    start: Callable, failing_new: FailingNew, kind: str
) -> None:
    served = start(bare=True, access_log="combined", access_log_fd=1)
    request = REQUESTS[kind]
    good = responses(ask(served.port, request))
    assert good
    for first in range(1000):
        failing_new.fail(first, 1)
        received = responses(ask(served.port, request))
        if failing_new.stop() == 0:
            break
        errors = [each for each in received if each not in good]
        assert all(each.startswith((b"HTTP/1.1 500 ", b"HTTP/1.1 503 ")) for each in errors)
        assert responses(ask(served.port, request)) == good, first

    assert 0 < first < 999
    served.stop()


def test_a_head_for_which_there_was_no_memory_is_sent_once_when_there_is(
    start: Callable, failing_new: FailingNew
) -> None:
    served = start(bare=True)
    request = b"GET /writes_again HTTP/1.1\r\n" + END + b"\r\n"
    assert ask(served.port, request)
    for first in range(20):
        failing_new.fail(first, 1)
        head = ask(served.port, request).partition(b"\r\n\r\n")[0]
        failing_new.stop()
        assert head.count(b"Date: ") <= 1
        assert head.count(b"chunked") <= 1
    served.stop()


def test_while_there_is_no_memory_at_all_requests_fail_and_afterwards_none_does(
    start: Callable, failing_new: FailingNew
) -> None:
    served = start(bare=True, access_log="combined", access_log_fd=1)
    good = {kind: responses(ask(served.port, request)) for kind, request in REQUESTS.items()}
    failed = 0
    for first in range(20):
        for request in REQUESTS.values():
            failing_new.fail(first, ALWAYS)
            ask(served.port, request)
            failed += failing_new.stop()
    assert failed > len(REQUESTS)

    for kind, request in REQUESTS.items():
        assert responses(ask(served.port, request)) == good[kind], kind
    served.stop()
