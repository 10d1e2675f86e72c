from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path

import pytest
from http_client import Answer, ask, ask_at_once, multipart
from served import HUBS, Served, serve

APPS = Path(__file__).with_name("apps")
FAILURES = 2  # Of the application, on purpose, each with a traceback in the log.


@pytest.fixture(scope="module", params=HUBS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, file_to_send: Path
) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("flask")
    app = f"{APPS / 'flask_app.py'}:app"
    with serve(app, directory, hub=request.param, FILE_TO_SEND=str(file_to_send)) as served:
        yield served
        served.stop(tracebacks=FAILURES)


@pytest.fixture
def connection(server: Served) -> Iterator[HTTPConnection]:
    opened = server.connect()
    yield opened
    opened.close()


def test_hooks_run_around_every_request_on_one_connection(connection: HTTPConnection) -> None:
    for name in ("Ann", "B%C3%A9a"):
        answer = ask(connection, "GET", f"/hello/{name}", X_Asked_By=name)

        assert answer.status == 200
        assert answer.headers["x-answered-to"] == name
    assert answer.text == "Hello, Béa!"


def test_errors_have_the_pages_that_the_application_gives_them(connection: HTTPConnection) -> None:
    def error_of(answer: Answer) -> tuple[int, str]:
        return answer.status, json.loads(answer.body)["error"]

    assert error_of(ask(connection, "GET", "/teapot")) == (418, "I'm a teapot")
    assert error_of(ask(connection, "GET", "/nowhere")) == (404, "Not Found")
    assert error_of(ask(connection, "PUT", "/count")) == (405, "Method Not Allowed")
    assert error_of(ask(connection, "GET", "/fails")) == (500, "Internal Server Error")


def test_sessions_are_kept_by_the_clients_cookie(connection: HTTPConnection) -> None:
    cookie = ""
    for _ in range(3):
        answer = ask(connection, "POST", "/count", Cookie=cookie)
        assert (answer.status, answer.headers["location"]) == (303, "/count")
        cookie = answer.headers["set-cookie"].split(";")[0]

    assert json.loads(ask(connection, "GET", "/count", Cookie=cookie).body) == {"count": 3}
    assert json.loads(ask(connection, "GET", "/count").body) == {"count": 0}


@pytest.mark.parametrize("length", [0, 100, 700_000])
def test_an_uploaded_file_arrives_whole(connection: HTTPConnection, length: int) -> None:
    content = bytes(i * 7 % 251 for i in range(length))
    body, kind = multipart(comment="ça va", file=("some.bin", content))

    answer = ask(connection, "POST", "/upload", body, Content_Type=kind)

    assert json.loads(answer.body) == {
        "name": "some.bin",
        "length": length,
        "sha256": hashlib.sha256(content).hexdigest(),
        "comment": "ça va",
    }


def test_a_chunked_body_is_echoed_while_it_is_read(connection: HTTPConnection) -> None:
    pieces = [bytes([i]) * (i * 317) for i in range(1, 100)]

    answer = ask(connection, "POST", "/echo", iter(pieces), Transfer_Encoding="chunked")

    assert answer.body == b"".join(pieces)


def test_a_stream_keeps_the_request_that_it_belongs_to(connection: HTTPConnection) -> None:
    answer = ask(connection, "GET", "/stream/500?of=many")

    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.text == "".join(f"{i} of many\n" for i in range(500))


def test_a_stream_that_fails_is_cut_so_that_the_client_sees_it(server: Served) -> None:
    connection = server.connect()

    connection.request("GET", "/stream-fails")
    with pytest.raises(IncompleteRead) as caught:
        connection.getresponse().read()

    assert caught.value.partial == b"before"
    connection.close()


def test_a_mebibyte_comes_byte_for_byte_and_the_connection_stays(
    connection: HTTPConnection,
) -> None:
    for _ in range(3):
        answer = ask(connection, "GET", "/mebibyte")

        assert answer.headers["content-length"] == str(1 << 20)
        assert answer.body == bytes(range(256)) * 4096


def test_a_file_is_sent_whole_in_part_and_not_at_all(
    connection: HTTPConnection, file_to_send: Path
) -> None:
    content = file_to_send.read_bytes()

    whole = ask(connection, "GET", "/file")
    part = ask(connection, "GET", "/file", Range="bytes=1000-1999")
    head = ask(connection, "HEAD", "/file")
    again = ask(connection, "GET", "/file", If_None_Match=whole.headers["etag"])

    assert (whole.status, whole.body == content) == (200, True)
    assert (part.status, part.body) == (206, content[1000:2000])
    assert (head.status, head.headers["content-length"]) == (200, str(len(content)))
    assert (again.status, again.body) == (304, b"")


def test_every_request_is_torn_down(connection: HTTPConnection) -> None:
    ask(connection, "GET", "/hello/once-only")
    ask(connection, "GET", "/stream/3?of=few")

    ended = json.loads(ask(connection, "GET", "/ended").body)

    assert ended.count("/hello/once-only") == 1
    assert "/stream/3" in ended


def test_two_hundred_views_sleep_at_once_and_keep_their_requests_apart(server: Served) -> None:
    began = time.monotonic()

    answers = ask_at_once(server.address, [f"/slow/{i}" for i in range(200)])

    assert [answer.text for answer in answers] == [f"{i} nobody" for i in range(200)]
    assert time.monotonic() - began < 25 * 0.2  # One after another they take 200 * 0.2 s.


def test_the_example_answers_two_hundred_in_about_the_time_of_one(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "flask_app.py"
    with serve(f"{example}:app", tmp_path) as served:
        began = time.monotonic()
        answers = ask_at_once(served.address, [f"/?name={i}" for i in range(200)])
        took = time.monotonic() - began

        assert [answer.text for answer in answers] == [f"Hello, {i}!\n" for i in range(200)]
        assert took < 20 * 0.5
        served.stop()
