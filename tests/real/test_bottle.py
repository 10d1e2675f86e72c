from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from http_client import ask, ask_at_once, multipart
from served import HUBS, Served, serve

APPS = Path(__file__).with_name("apps")


@pytest.fixture(scope="module", params=HUBS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, file_to_send: Path
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("bottle")
    app = f"{APPS / 'bottle_app.py'}:app"
    with serve(app, directory, hub=request.param, FILE_TO_SEND=str(file_to_send)) as served:
        yield served
        served.stop()


def test_routes_hooks_and_error_pages(server: Served) -> None:
    connection = server.connect()

    hello = ask(connection, "GET", "/hello/you")
    forbidden = ask(connection, "GET", "/forbidden")

    assert (hello.text, hello.headers["x-hook"]) == ("Hello, you!", "ran")
    assert (forbidden.status, forbidden.text) == (403, "403: not you")
    connection.close()


def test_a_form_with_a_file(server: Served) -> None:
    connection = server.connect()
    body, kind = multipart(text="größer", file=("a.bin", b"\x00\xff"))

    answer = ask(connection, "POST", "/form", body, Content_Type=kind)

    assert answer.text == "größer and b'\\x00\\xff'"
    connection.close()


def test_a_signed_cookie_counts(server: Served) -> None:
    connection = server.connect()
    cookie = ""
    for seen in range(3):
        answer = ask(connection, "GET", "/cookie", Cookie=cookie)
        cookie = answer.headers["set-cookie"].split(";")[0]

        assert answer.text == str(seen)
    connection.close()


def test_a_generator_that_waits_is_streamed(server: Served) -> None:
    connection = server.connect()

    answer = ask(connection, "GET", "/stream")

    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.text == "0\n1\n2\n3\n4\n"
    connection.close()


def test_a_static_file_whole_and_in_part(server: Served, file_to_send: Path) -> None:
    connection = server.connect()
    content = file_to_send.read_bytes()

    whole = ask(connection, "GET", "/file")
    part = ask(connection, "GET", "/file", Range="bytes=-100")

    assert (whole.status, whole.body == content) == (200, True)
    assert (part.status, part.body) == (206, content[-100:])
    connection.close()


def test_two_hundred_requests_keep_their_locals_apart(server: Served) -> None:
    began = time.monotonic()

    answers = ask_at_once(server.address, [f"/slow/{i}?id={i}" for i in range(200)])

    # Bottle keeps the request in a threading.local: each green has one.
    assert [answer.text for answer in answers] == [f"{i} {i}" for i in range(200)]
    assert time.monotonic() - began < 25 * 0.2
