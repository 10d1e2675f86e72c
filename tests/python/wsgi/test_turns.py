"""A call that never waits for its client lets the others have their turns, and comes to an end."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("app", ["endless", "writes_for_ever"])
def test_a_body_that_has_no_end_ends_with_a_client_that_asked_for_its_head_only(
    start: Any, app: str
) -> None:
    served = start()
    client, other = served.connect(), served.connect()
    client.request("HEAD", f"/{app}")

    assert client.response(head=True).code == 200
    assert other.get("/hello").body == b"hello"
    client.close()
    log = served.stop()
    assert ("closed" if app == "endless" else "nobody reads") in log


def test_a_head_is_followed_by_the_next_response_though_the_body_has_no_end(start: Any) -> None:
    client = start().connect()
    client.request("HEAD", "/endless")
    client.request("GET", "/hello")

    assert client.response(head=True).code == 200
    assert client.response().body == b"hello"


def test_an_application_may_say_that_it_is_not_ready_until_another_green_has_run(
    start: Any,
) -> None:
    assert start("not_ready", bare=True).get("/").body == b"ready"


@pytest.mark.parametrize("how", ["lines", "write", "pieces"])
def test_many_small_steps_with_a_client_that_keeps_up_leave_turns_to_others(
    start: Any, how: str
) -> None:
    client = start("half_a_second", bare=True).connect()
    response = client.post(f"/{how}", b"a line\n" * 1000)

    turns = int(response.body.rpartition(b"|")[2])
    assert turns >= 5  # About fifty: one each 10 ms.


def test_a_list_of_very_many_small_pieces_is_sent_in_few(start: Any) -> None:
    client = start("many_pieces", bare=True).connect()
    sizes = [3, 70_000, 0, 1, *[10] * 20_000, 65_536, 65_537, 0]

    response = client.post("/many_pieces", ",".join(map(str, sizes)).encode())
    assert response.field("Content-Length") == str(sum(sizes))
    assert response.body == b"".join(bytes([n % 251]) * size for n, size in enumerate(sizes))
