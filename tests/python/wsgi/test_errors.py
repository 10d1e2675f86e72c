"""What an application does wrong ends in a 500 page or a closed connection, and in the log."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("path", ["fails", "fails_after_start", "fails_before_first"])
def test_an_error_before_the_head_is_a_page_without_a_traceback(start: Any, path: str) -> None:
    served = start()
    client = served.connect()

    response = client.get(f"/{path}?q")

    assert response.status == "500 Internal Server Error"
    assert b"Traceback" not in response.body
    assert b"secret" not in response.body
    assert client.get("/hello").body == b"hello"
    log = served.stop()
    assert f"error in GET /{path}?q:\nTraceback (most recent call last):" in log
    assert log.count("RuntimeError: ") == 1
    assert log.count("closed") == (1 if path == "fails_before_first" else 0)


@pytest.mark.parametrize("path", ["fails_midway", "fails_midway_sized"])
def test_an_error_after_the_head_ends_the_connection(start: Any, path: str) -> None:
    served = start()
    client = served.connect()
    client.request("GET", f"/{path}")

    with pytest.raises(EOFError):
        client.response()

    log = served.stop()
    assert "RuntimeError: midway" in log
    assert log.count("closed") == (1 if path == "fails_midway" else 0)


def test_an_error_is_a_page_for_head_too(server: Any) -> None:
    client = server.connect()
    client.request("HEAD", "/fails")

    assert client.response(head=True).code == 500
    assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("kind", ["str", "int", "bytearray", "none"])
@pytest.mark.parametrize("shape", ["list", "iter"])
def test_a_piece_that_is_not_bytes_is_an_error(start: Any, kind: str, shape: str) -> None:
    served = start()

    assert served.get(f"/wrong_piece?{kind},{shape}").code == 500

    assert "TypeError: the body of a response is made of bytes, not " in served.stop()


@pytest.mark.parametrize("path", ["no_iterable", "bytes_result"])
def test_a_result_that_holds_no_bytes_is_an_error(start: Any, path: str) -> None:
    served = start()

    assert served.get(f"/{path}").code == 500

    assert "TypeError: " in served.stop()


@pytest.mark.parametrize("kind", ["list", "iter", "write"])
def test_a_body_shorter_than_announced_ends_the_connection(start: Any, kind: str) -> None:
    served = start()
    client = served.connect()
    client.request("GET", f"/length?10,{kind}")

    with pytest.raises(EOFError):
        client.response()

    assert "shorter than its Content-Length" in served.stop()


@pytest.mark.parametrize("kind", ["list", "iter", "write"])
def test_a_body_longer_than_announced_is_cut_and_ends_the_connection(start: Any, kind: str) -> None:
    served = start()
    client = served.connect()

    response = client.get(f"/length?3,{kind}")

    assert response.body == b"123"
    assert client.is_closed()
    assert "longer than its Content-Length" in served.stop()


def test_a_start_that_another_green_takes_back_is_an_error_of_the_call(start: Any) -> None:
    served = start()
    client = served.connect()

    assert client.get("/start_taken_back").code == 500
    assert client.get("/hello").body == b"hello"

    assert "start_response() must be called before" in served.stop()


def test_an_error_of_the_application_is_logged_also_when_the_client_has_gone(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("GET", "/close_fails_without_a_client")
    client.until(b"\r\n\r\n")
    client.close()

    log = served.stop()
    assert "FileNotFoundError: its own" in log
    assert "Reset" not in log
    assert "Pipe" not in log


def test_a_nul_does_not_end_a_traceback(start: Any) -> None:
    served = start()

    assert served.get("/fails_with_nul").code == 500

    assert "ValueError: before \0 behind" in served.stop()


def test_sys_exit_is_an_error_of_the_call_not_the_end_of_the_server(start: Any) -> None:
    served = start()
    client = served.connect()

    assert client.get("/exits").code == 500
    assert client.get("/hello").body == b"hello"

    assert "SystemExit: 3" in served.stop()


def test_a_request_cannot_forge_a_line_of_the_log(start: Any) -> None:
    served = start()
    client = served.connect()
    client.send(b"GET /fails?\xe9\x85 HTTP/1.1\r\nHost: x\r\n\r\n")

    code = client.response().code

    log = served.stop()
    assert (code, "/fails?\\xe9\\x85" in log) in [(500, True), (400, False)]


def test_wsgi_errors_is_written_line_by_line(start: Any) -> None:
    served = start()

    served.get("/writes_errors")

    lines = served.stop().splitlines()
    assert lines == ["half a line", "and another", "\u20ac \\udc80", "unfinished"]


@pytest.mark.parametrize(("how", "status"), [("exit", b"5"), ("raise", b"1"), ("return", b"0")])
def test_the_child_of_a_fork_that_leaves_the_call_sends_nothing(
    start: Any, how: str, status: bytes
) -> None:
    served = start()
    client = served.connect()

    assert client.get(f"/forks?{how}").body == status

    assert client.get("/hello").body == b"hello"
    assert ("RuntimeError: in the child" in served.stop()) == (how == "raise")


def test_the_answer_to_a_head_request_that_is_refused_has_no_body(server: Any) -> None:
    client = server.connect()
    client.send(b"HEAD / HTTP/1.1\r\n\r\n")  # Without a Host.

    assert client.response(head=True).code == 400
    assert client.rest() == b""


def test_an_interrupt_in_a_call_is_in_the_log(start: Any) -> None:
    served = start()

    assert served.get("/is_interrupted").code == 500

    assert served.process.wait(20) != 0
    assert "interrupted in GET /is_interrupted:" in served.log()
