"""_core.Server refuses arguments that make no sense, in a sentence that names them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from green import _core


def app(environ: Any, start_response: Any) -> list[bytes]:
    raise NotImplementedError


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_line_bytes", -1),
        ("header_count", 1.5),
        ("header_bytes", "many"),
        ("body_bytes", None),
        ("body_bytes", 1 << 70),
        ("header_timeout", -0.1),
        ("body_timeout", "1"),
        ("keep_alive_timeout", float("nan")),
        ("write_timeout", None),
        ("connections_max", -5),
        ("requests_per_connection", []),
        ("server_header", "a\r\nb"),
        ("server_header", "\u20ac"),
        ("server_header", b"bytes"),
        ("access_log", "apache"),
        ("access_log", 1),
        ("access_log_fd", -2),
        ("error_log_fd", "2"),
        ("url_scheme", 5),
        ("stack_bytes", -1),
    ],
)
def test_a_wrong_value_is_named(listener: socket.socket, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be "):
        _core.Server(app, [listener.fileno()], **{name: value})


def test_an_unknown_keyword_is_named(listener: socket.socket) -> None:
    with pytest.raises(TypeError, match="no keyword argument 'timeout'"):
        _core.Server(app, [listener.fileno()], timeout=1)


def test_an_application_must_be_callable(listener: socket.socket) -> None:
    with pytest.raises(ValueError, match="callable"):
        _core.Server("module:app", [listener.fileno()])


def test_a_listener_must_listen() -> None:
    with socket.socket() as plain, pytest.raises(ValueError, match="listening stream socket"):
        _core.Server(app, [plain.fileno()])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(ValueError):
        _core.Server(app, [datagrams.fileno()])
    with pytest.raises(ValueError, match="file descriptor"):
        _core.Server(app, [-1])
    with pytest.raises(ValueError, match="at least one"):
        _core.Server(app, [])


def test_a_refused_server_leaves_the_listener_alone(listener: socket.socket) -> None:
    with pytest.raises(ValueError, match="header_count"):
        _core.Server(app, [listener.fileno()], header_count=-1)

    assert listener.getsockname()[1] > 0


def test_a_server_that_never_runs_closes_what_it_took(listener: socket.socket) -> None:
    fd = listener.detach()
    server = _core.Server(app, [fd])
    assert server.statistics()["requests"] == 0

    del server

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_grace_is_not_negative(listener: socket.socket) -> None:
    server = _core.Server(app, [listener.detach()])
    with pytest.raises(ValueError, match="grace"):
        server.stop(-1.0)


def test_a_server_stopped_before_it_runs_ends_at_once(listener: socket.socket) -> None:
    server = _core.Server(app, [listener.detach()])
    server.stop(0.0)

    server.run()

    with pytest.raises(RuntimeError, match="has been stopped"):
        server.run()
