from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_client import ask, ask_at_once
from served import HUBS, Served, serve

APPS = Path(__file__).with_name("apps")


@pytest.fixture(scope="module", params=HUBS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    app = str(APPS / "falcon_app.py")
    with serve(app, tmp_path_factory.mktemp("falcon"), hub=request.param) as served:
        yield served
        served.stop()


def test_a_resource_is_made_shown_and_deleted_on_one_connection(server: Served) -> None:
    connection = server.connect()
    thing = {"name": "Stück", "sizes": [1, 2.5, None]}

    made = ask(connection, "PUT", "/things/a", json.dumps(thing).encode())
    shown = ask(connection, "GET", "/things/a")
    deleted = ask(connection, "DELETE", "/things/a")
    gone = ask(connection, "GET", "/things/a")

    assert (made.status, made.headers["location"]) == (201, "/things/a")
    assert (shown.status, json.loads(shown.body)) == (200, thing)
    assert (deleted.status, deleted.body) == (204, b"")
    assert (gone.status, json.loads(gone.body)) == (404, {"title": "no a"})
    connection.close()


def test_a_malformed_body_is_the_clients_error(server: Served) -> None:
    connection = server.connect()

    answer = ask(connection, "PUT", "/things/b", b"{not json", Content_Type="application/json")

    assert answer.status == 400
    connection.close()


@pytest.mark.parametrize("length", [0, 1, 65_536, 1_000_003])
def test_a_body_comes_back_as_it_went(server: Served, length: int) -> None:
    connection = server.connect()
    body = bytes(i * 31 % 256 for i in range(length))

    answer = ask(connection, "POST", "/echo", body)

    assert answer.headers["content-length"] == str(length)
    assert answer.body == body
    connection.close()


def test_two_hundred_calls_wait_at_once(server: Served) -> None:
    began = time.monotonic()

    answers = ask_at_once(server.address, [f"/slow?id={i}" for i in range(200)])

    assert [answer.text for answer in answers] == [str(i) for i in range(200)]
    assert time.monotonic() - began < 25 * 0.2
