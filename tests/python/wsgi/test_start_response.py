"""start_response() accepts what PEP 3333 allows and refuses what would break the protocol."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    "what",
    [
        "newline",
        "lone-newline",
        "nul",
        "name-newline",
        "name-space",
        "name-colon",
        "name-empty",
        "status-newline",
        "status-short",
        "status-1xx",
        "wide",
        "bad-length",
        "two-lengths",
        "connection",
        "transfer-encoding",
    ],
)
def test_a_forbidden_value_is_a_value_error(server: Any, what: str) -> None:
    response = server.get(f"/bad_start?{what}")

    assert response.body == b"ValueError"
    assert response.field("Set-Cookie") is None


@pytest.mark.parametrize(
    "what",
    [
        "status-number",
        "status-bytes",
        "tuple",
        "pair-list",
        "triple",
        "bytes-value",
        "number-value",
        "exc-info",
        "few",
        "many",
    ],
)
def test_a_wrong_type_is_a_type_error(server: Any, what: str) -> None:
    assert server.get(f"/bad_start?{what}").body == b"TypeError"


def test_texts_leave_as_latin1(server: Any) -> None:
    response = server.get("/latin1_header")

    assert response.status == "200 Sch\xf6n"
    assert response.field("X-Name") == "J\xfcrgen\tK."


def test_a_list_that_is_changed_afterwards_does_no_harm(server: Any) -> None:
    response = server.get("/changed_afterwards")

    assert response.field("X-A") == "b"
    assert response.field("X-Later") is None
    assert response.field("X-Forged") is None


def test_a_second_call_is_an_assertion_error_and_changes_nothing(server: Any) -> None:
    response = server.get("/started_twice")

    assert response.code == 200
    assert b"exc_info" in response.body


def test_with_exc_info_the_head_is_replaced(server: Any) -> None:
    response = server.get("/replaced")

    assert response.status == "503 Later"
    assert response.field("X-First") is None
    assert response.field("X-Second") == "2"
    assert response.body == b"replaced"


def test_with_exc_info_after_the_head_that_exception_is_raised(start: Any) -> None:
    served = start()
    client = served.connect()
    client.request("GET", "/too_late_to_replace")

    with pytest.raises(EOFError):
        client.response()

    assert "ValueError: too late" in served.stop()


@pytest.mark.parametrize("kind", ["list", "iterator"])
def test_a_body_without_start_response_is_an_error(start: Any, kind: str) -> None:
    served = start()

    response = served.get(f"/never_started?{kind}")

    assert response.code == 500
    assert "start_response() must be called" in served.stop()


def test_objects_of_an_ended_call_refuse_to_be_used(server: Any) -> None:
    client = server.connect()
    client.get("/keeps")

    response = client.get("/keeps")

    assert response.body == b"ValueError ValueError ValueError RuntimeError"


def test_write_after_the_end_of_the_body_is_refused(start: Any) -> None:
    served = start()
    client = served.connect()

    assert client.get("/writes_after_the_end").body == b"in time"
    assert client.get("/writes_after_the_end?fails").code == 500
    assert client.get("/hello").body == b"hello"

    assert served.stop().count("refused: the response is complete") == 2
