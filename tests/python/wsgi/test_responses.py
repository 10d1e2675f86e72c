"""What an application returns arrives exactly, framed so that its end is never in doubt."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from sanitized import measures_memory


@pytest.mark.parametrize("sizes", ["5", "", "0", "1,2,3", "0,0", "3,0,5", "70000", "50000,40000"])
def test_a_list_arrives_whole(server: Any, sizes: str) -> None:
    total = sum(int(size) for size in sizes.split(",") if size)
    client = server.connect()

    response = client.get(f"/pieces?{sizes}")

    assert response.body == b"x" * total
    assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("sizes", ["5", "", "1,2,3", "50000,40000"])
def test_the_length_of_a_list_is_announced(start: Any, sizes: str) -> None:
    response = start("pieces", bare=True).get(f"/?{sizes}")

    assert response.field("Content-Length") == str(len(response.body))
    assert response.field("Transfer-Encoding") is None


def test_a_large_list_arrives_in_order(server: Any) -> None:
    assert server.get("/large_list").body == b"a" * 300_000 + b"b" * 300_000


def test_a_generator_is_chunked(server: Any) -> None:
    client = server.connect()

    response = client.get("/generated")

    assert response.field("Transfer-Encoding") == "chunked"
    assert response.body == b"one,two"
    assert client.get("/hello").body == b"hello"


def test_a_generator_for_http_1_0_ends_with_the_connection(server: Any) -> None:
    client = server.connect()
    client.send(b"GET /generated HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")

    response = client.response()

    assert response.field("Transfer-Encoding") is None
    assert response.body == b"one,two"


def test_http_1_0_keeps_alive_where_the_length_is_known(server: Any) -> None:
    client = server.connect()
    for _ in range(2):
        client.send(b"GET /sized_generator HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        response = client.response()
        assert response.field("Connection") == "keep-alive"
        assert response.body == b"one,two"


def test_a_generator_with_its_length_is_not_chunked(server: Any) -> None:
    response = server.get("/sized_generator")

    assert response.field("Content-Length") == "7"
    assert response.field("Transfer-Encoding") is None
    assert response.body == b"one,two"


def test_an_empty_iterator_is_an_empty_body(server: Any) -> None:
    client = server.connect()

    response = client.get("/nothing_generated")

    assert response.body == b""
    assert response.field("Content-Length") == "0"
    assert client.get("/hello").body == b"hello"


def test_a_head_that_starts_in_the_first_step_of_a_generator(server: Any) -> None:
    assert server.get("/late_start").body == b"started in the first step"


def test_each_piece_is_sent_before_the_next_is_asked_for(server: Any) -> None:
    client = server.connect()
    client.request("POST", "/lockstep", "Content-Length: 2")

    client.until(b"first\r\n")
    client.send(b"1")
    client.until(b"second\r\n")
    client.send(b"2")

    assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"


def test_written_and_returned_pieces_come_in_order(server: Any) -> None:
    assert server.get("/written").body == b"written, returned"


@pytest.mark.parametrize(
    "path", ["hello", "generated", "sized_generator", "written", "pieces?1,2", "nothing_generated"]
)
def test_head_gets_the_head_only(server: Any, path: str) -> None:
    client = server.connect()
    client.request("HEAD", f"/{path}")

    assert client.response(head=True).code == 200

    assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("status", ["204%20No%20Content", "304%20Not%20Modified"])
def test_a_status_without_a_body_has_none(server: Any, status: str) -> None:
    client = server.connect()

    response = client.get(f"/status?{status}")

    assert response.status == status.replace("%20", " ")
    assert response.field("Transfer-Encoding") is None
    assert client.get("/hello").body == b"hello"


def test_twenty_pipelined_requests_are_answered_in_order(server: Any) -> None:
    client = server.connect()
    client.send(
        b"".join(
            b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % number
            for number in range(20)
        )
    )

    assert [client.response().body for _ in range(20)] == [b"%02d" % n for n in range(20)]


def test_close_is_called_once(start: Any) -> None:
    served = start()

    assert served.get("/closing").body == b"ab"

    assert served.stop().count("closed") == 1


def test_an_error_in_close_is_logged_and_harms_nobody(start: Any) -> None:
    served = start()
    client = served.connect()

    assert client.get("/failing_close").body == b"whole"
    assert client.get("/hello").body == b"hello"

    assert "RuntimeError: close failed" in served.stop()


def test_a_client_that_goes_during_the_download_ends_it_quietly(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("GET", "/endless")
    client.until(b"\r\n\r\n")
    client.exactly(1_000_000)

    client.close()

    log = served.stop()
    assert log.count("closed") == 1
    assert "Traceback" not in log
    assert "rror" not in log


@measures_memory
def test_memory_stays_flat_under_a_stream_of_100_mb(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("GET", "/stream")
    client.until(b"\r\n\r\n")

    total = 0
    while size := int(client.until(b"\r\n"), 16):
        total += len(client.exactly(size + 2)) - 2
    assert total == 1600 * 65536

    grown = next(line for line in served.stop().splitlines() if line.startswith("grown"))
    assert int(grown.split()[1]) < 2048


def test_a_stopped_server_finishes_what_is_in_flight(start: Any) -> None:
    served = start("lockstep")
    client = served.connect()
    client.request("POST", "/", "Content-Length: 2")
    client.until(b"first\r\n")

    os.kill(served.process.pid, signal.SIGTERM)
    client.send(b"1")
    client.until(b"second\r\n")
    client.send(b"2")

    client.until(b"0\r\n\r\n")
    assert client.is_closed()
    assert served.process.wait(20) == 0
