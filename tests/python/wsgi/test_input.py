"""wsgi.input reads the body as it arrives, ends where it ends, and says what goes wrong."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

TEXT = b"one\ntwo\n\nthree"


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_what_a_timeout_has_ended_is_read_again(server: Any) -> None:
    client = server.connect()
    client.request("POST", "/reads_in_time", "Content-Length: 12")
    client.send(b"12345")
    assert client.until(b"1\r\n!\r\n").endswith(b"\r\n\r\n1\r\n1\r\n1\r\n!\r\n")
    client.send(b"678\n9AB")

    assert client.until(b"0\r\n\r\n") == b"d\r\n234|5678\n|9AB\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("steps", "results"),
    [
        ("read", ["one\ntwo\n\nthree"]),
        ("read:-1;read;read:5", ["one\ntwo\n\nthree", "", ""]),
        ("read:None", ["one\ntwo\n\nthree"]),
        ("read:0;read:3;read:100", ["", "one", "\ntwo\n\nthree"]),
        ("readline;readline:2;readline", ["one\n", "tw", "o\n"]),
        ("readline:0;readline:None", ["", "one\n"]),
        ("readline;readline;readline;readline;readline", ["one\n", "two\n", "\n", "three", ""]),
        ("readlines", [["one\n", "two\n", "\n", "three"]]),
        ("readlines:5;read", [["one\n", "two\n"], "\nthree"]),
        ("readlines:0", [["one\n", "two\n", "\n", "three"]]),
        ("iterate", [["one\n", "two\n", "\n", "three"]]),
        ("read:1;iterate;read", ["o", ["ne\n", "two\n", "\n", "three"], ""]),
    ],
)
@pytest.mark.parametrize("framing", ["sized", "chunked", "byte by byte"])
def test_reading_is_like_reading_a_file(
    server: Any, steps: str, results: list[Any], framing: str
) -> None:
    client = server.connect()
    if framing == "sized":
        client.request("POST", f"/reads?{steps}", f"Content-Length: {len(TEXT)}")
        client.send(TEXT)
    else:
        client.request("POST", f"/reads?{steps}", "Transfer-Encoding: chunked")
        size = 1 if framing == "byte by byte" else 6
        client.send(chunked(*(TEXT[at : at + size] for at in range(0, len(TEXT), size))))

    assert json.loads(client.response().body) == results


def test_a_request_without_a_body_reads_as_empty(server: Any) -> None:
    assert json.loads(server.get("/reads?read;readline;readlines;iterate").body) == ["", "", [], []]


@pytest.mark.parametrize("size", [1, 10_240, 100_000, 3_000_000])
def test_a_body_is_echoed(server: Any, size: int) -> None:
    client = server.connect()
    body = bytes(number % 253 for number in range(size))

    assert client.post("/echo", body).body == body
    assert client.get("/hello").body == b"hello"


def test_continue_is_said_when_the_application_reads(server: Any) -> None:
    client = server.connect()
    client.request("POST", "/echo", "Content-Length: 3", "Expect: 100-continue")

    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abc")

    assert client.response().body == b"abc"


def test_continue_is_not_said_when_it_does_not(server: Any) -> None:
    client = server.connect()
    client.request("POST", "/ignores_body", "Content-Length: 3", "Expect: 100-continue")

    response = client.response()

    assert response.code == 200
    assert response.body == b"not read"


@pytest.mark.parametrize("path", ["ignores_body", "reads_in_part"])
def test_a_body_that_is_not_read_is_not_the_next_request(server: Any, path: str) -> None:
    client = server.connect()
    trap = b"GET /fails HTTP/1.1\r\nHost: x\r\n\r\n"

    assert client.post(f"/{path}", trap).code == 200

    assert client.get("/hello").body == b"hello"


def test_an_incomplete_body_is_a_lost_connection(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("POST", "/body_error", "Content-Length: 10")
    client.send(b"abc")

    client.close()

    log = served.stop()
    assert "body: ConnectionResetError" in log
    assert "Traceback" not in log


def test_a_client_that_goes_during_the_upload_is_no_error_of_the_application(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("POST", "/echo", "Content-Length: 10")
    client.send(b"abc")

    client.close()

    assert "Traceback" not in served.stop()


def test_a_malformed_chunk_is_an_error_with_a_status(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("POST", "/body_error", "Transfer-Encoding: chunked")
    client.send(b"3\r\nabc\r\nxyz\r\n")

    response = client.response()

    assert response.body.startswith(b"RequestBodyError OSError ")
    assert response.body.endswith(b" 400")
    assert client.is_closed()


def test_a_malformed_chunk_that_nobody_catches_is_a_400(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("POST", "/echo", "Transfer-Encoding: chunked")
    client.send(b"3\r\nabc\r\nxyz\r\n")

    assert client.response().code == 400
    assert client.is_closed()
    assert "Traceback" not in served.stop()


def test_a_body_over_the_limit_is_a_413(start: Any) -> None:
    served = start(body_bytes=10)
    client = served.connect()
    client.request("POST", "/echo", "Transfer-Encoding: chunked")
    client.send(chunked(b"12345", b"67890", b"1"))

    assert client.response().code == 413
    assert client.is_closed()


def test_a_body_that_does_not_come_is_a_408(start: Any) -> None:
    served = start(body_timeout=0.05)
    client = served.connect()
    client.request("POST", "/echo", "Content-Length: 10")
    client.send(b"abc")

    assert client.response().code == 408
    assert client.is_closed()


def test_a_body_that_does_not_come_is_a_timeout_error(start: Any) -> None:
    served = start(body_timeout=0.05)
    client = served.connect()
    client.request("POST", "/body_error", "Content-Length: 10")

    response = client.response()

    assert response.body.startswith(b"RequestBodyTimeout RequestBodyError TimeoutError OSError")
    assert response.body.endswith(b" 408")


def test_an_announced_gigabyte_costs_nothing_before_it_comes(start: Any) -> None:
    served = start("declared_memory")
    client = served.connect()
    client.request("POST", "/", f"Content-Length: {1000 * 1024 * 1024}")
    client.send(b"x" * 100_000)

    client.close()

    grown = next(line for line in served.stop().splitlines() if line.startswith("grown"))
    assert int(grown.split()[1]) < 4096


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"3\r\nabc\r\nxyz\r\n", 400),
        (chunked(b"12345", b"67890", b"1"), 413),
        (b"0\r\n" + b"A: b\r\n" * 20 + b"\r\n", 431),
        (b"3\r\n", 408),
    ],
)
@pytest.mark.parametrize("path", ["/echo", "/fails_to_read"])
def test_what_is_wrong_with_a_body_is_the_client_s_fault_whatever_the_application_makes_of_it(
    start: Any, sent: bytes, code: int, path: str
) -> None:
    timeout = 0.05 if code == 408 else 60
    client = start(body_bytes=10, header_count=5, body_timeout=timeout).connect()
    client.request("POST", path, "Transfer-Encoding: chunked")
    client.send(sent)

    response = client.response()

    assert response.code == code
    assert response.field("Connection") == "close"
    assert client.is_closed()


def test_a_client_that_ends_its_half_within_the_body_is_told_that_it_is_too_short(
    start: Any,
) -> None:
    client = start().connect()
    client.request("POST", "/fails_to_read", "Content-Length: 10")
    client.send(b"abc")
    client.socket.shutdown(socket.SHUT_WR)

    assert client.response().code == 400


def test_a_connection_that_ends_with_its_broken_body_is_not_said_to_go_on(start: Any) -> None:
    client = start(body_timeout=0.05).connect()
    client.request("POST", "/echo", "Content-Length: 9", "Connection: keep-alive", version="1.0")

    response = client.response()

    assert (response.code, response.field("Connection")) == (408, "close")
