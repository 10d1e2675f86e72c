"""Every call runs in a green of its own: a call that waits holds up no other."""

from __future__ import annotations

import time
from typing import Any


def test_a_thousand_calls_sleep_at_the_same_time(start: Any) -> None:
    served = start("sleeps", bare=True)
    clients = [served.connect() for _ in range(1000)]

    began = time.monotonic()
    for number, client in enumerate(clients):
        client.request("GET", f"/?{number}")
    bodies = [client.response().body for client in clients]

    assert bodies == [str(number).encode() for number in range(1000)]
    assert time.monotonic() - began < 20  # One after the other they would take 500 s.


def test_a_call_does_not_end_under_a_green_that_reads_its_body(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("POST", "/read_by_another", "Content-Length: 3")

    assert client.response().code == 200
    client.send(b"abc")

    assert client.get("/hello").body == b"hello"
    assert "the other read b'abc'" in served.stop()


def test_a_timeout_that_fires_too_late_to_be_raised_does_not_cut_the_response(start: Any) -> None:
    served = start("late_timeout", bare=True)
    client = served.connect()
    client.request("GET", "/")

    assert len(client.response().body) == 64 << 20
    assert "Error" not in served.stop()
