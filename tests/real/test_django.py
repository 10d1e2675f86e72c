"""A Django project as it is deployed: DEBUG off, sqlite, WhiteNoise, uploads through files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

import pytest
from http_client import ask, ask_at_once, multipart
from served import HUBS, Served, serve

PROJECT = Path(__file__).with_name("apps") / "django_site"
PASSWORD = "correct horse"


class Visitor:
    """A browser without a screen: it keeps cookies, follows redirects, sends forms' tokens."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path: str) -> tuple[str, str]:
        """Where it ended, and the page."""
        return self._ask(Request(self._server.url + path))

    def send_form(self, path: str, **fields: str) -> tuple[str, str]:
        fields["csrfmiddlewaretoken"] = self.token(path)
        return self._ask(Request(self._server.url + path, urlencode(fields).encode()))

    def send_file(self, path: str, **parts: str | tuple[str, bytes]) -> tuple[str, str]:
        body, kind = multipart(csrfmiddlewaretoken=self.token(path), **parts)
        return self._ask(Request(self._server.url + path, body, {"Content-Type": kind}))

    def token(self, path: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path)[1])
        assert found is not None
        return found[1]

    def _ask(self, request: Request) -> tuple[str, str]:
        with self._opener.open(request, timeout=30) as response:
            return response.url.removeprefix(self._server.url), response.read().decode()


def manage(data: Path, *arguments: str) -> None:
    # A script's own directory is importable, whatever holds for the tests.
    environment = {"DJANGO_DATA": str(data), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    environment["PYTHONSAFEPATH"] = ""
    subprocess.run(
        [sys.executable, "manage.py", *arguments, "-v", "0"],
        cwd=PROJECT,
        env={**os.environ, **environment},
        check=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database with a superuser, and the static files in their place."""
    directory = tmp_path_factory.mktemp("django")
    manage(directory, "migrate")
    manage(directory, "collectstatic", "--no-input")
    superuser = ("--username", "root", "--email", "root@example.org")
    manage(directory, "createsuperuser", "--no-input", *superuser)
    return directory


@pytest.fixture(scope="module", params=HUBS)
def server(request: pytest.FixtureRequest, data: Path) -> Iterator[Served]:
    with serve(str(PROJECT), data, hub=request.param, DJANGO_DATA=str(data)) as served:
        yield served
        served.stop(tracebacks=1)  # Of the view that fails on purpose.


@pytest.fixture
def visitor(server: Served) -> Visitor:
    return Visitor(server)


def log_in(visitor: Visitor, password: str = PASSWORD) -> tuple[str, str]:
    return visitor.send_form("/admin/login/?next=/admin/", username="root", password=password)


def test_the_admin_lets_in_who_has_the_password(visitor: Visitor) -> None:
    refused = log_in(visitor, "wrong")
    let_in = log_in(visitor)

    assert "Please enter the correct username and password" in refused[1]
    assert let_in[0] == "/admin/"
    assert "Site administration" in let_in[1]


def test_the_admin_adds_changes_and_deletes(visitor: Visitor) -> None:
    log_in(visitor)

    _, added = visitor.send_form("/admin/notes/note/add/", text="Ein Zettel, größer als keiner")
    found = re.search(r"/admin/notes/note/(\d+)/change/", added)
    assert found is not None
    change = f"/admin/notes/note/{found[1]}/change/"
    _, changed = visitor.send_form(change, text="changed", _continue="1")
    _, deleted = visitor.send_form(change.replace("change", "delete"), post="yes")

    assert "größer" in added
    assert 'value="changed"' in changed
    assert "was deleted successfully" in deleted


def test_a_form_without_its_token_is_refused(server: Served) -> None:
    connection = server.connect()

    answer = ask(connection, "POST", "/notes/", b"text=x")

    assert answer.status == 403
    connection.close()


def test_a_form_is_checked_and_saved(visitor: Visitor) -> None:
    _, refused = visitor.send_form("/notes/", text="")
    where, saved = visitor.send_form("/notes/", text="<b>bold</b>")

    assert "This field is required" in refused
    assert where == "/notes/"
    assert "&lt;b&gt;bold&lt;/b&gt;" in saved


def test_static_files_come_whole_and_conditionally(server: Served, data: Path) -> None:
    connection = server.connect()
    for name in ("notes/notes.css", "admin/css/base.css"):
        file = ask(connection, "GET", f"/static/{name}")
        again = ask(
            connection, "GET", f"/static/{name}", If_Modified_Since=file.headers["last-modified"]
        )

        assert (file.status, file.headers["content-type"][:8]) == (200, "text/css")
        assert file.body == (data / "static" / name).read_bytes()
        assert (again.status, again.body) == (304, b"")
    connection.close()


@pytest.mark.parametrize("length", [1000, 3_000_000])
def test_a_file_goes_up_and_comes_down_the_same(visitor: Visitor, length: int) -> None:
    content = ("0123456789äöü\n" * length)[:length]

    _, answer = visitor.send_file("/upload/", title="Grüße", file=("a.txt", content.encode()))
    stored = json.loads(answer)
    _, downloaded = visitor.get(f"/download/{stored['name']}")

    assert (stored["size"], stored["title"]) == (len(content.encode()), "Grüße")
    assert downloaded == content


def test_each_visitor_has_a_session(server: Served) -> None:
    one, other = Visitor(server), Visitor(server)

    assert [one.get("/visits/")[1] for _ in range(3)] == ["1", "2", "3"]
    assert other.get("/visits/")[1] == "1"


def test_a_streaming_response_comes_whole(visitor: Visitor) -> None:
    assert visitor.get("/stream/")[1] == "".join(f"line {i}\n" for i in range(1000))


def test_a_view_that_raises_gives_a_page_without_its_traceback(visitor: Visitor) -> None:
    with pytest.raises(HTTPError) as caught:
        visitor.get("/fails/")

    page = caught.value.read().decode()
    assert caught.value.code == 500
    assert "Server Error" in page
    assert "broke" not in page
    caught.value.close()


def test_two_hundred_views_sleep_at_once_and_keep_their_requests_apart(server: Served) -> None:
    began = time.monotonic()

    answers = ask_at_once(server.address, [f"/slow/{i}/?id={i}" for i in range(200)])

    assert [answer.text for answer in answers] == [f"{i} {i}" for i in range(200)]
    assert time.monotonic() - began < 25 * 0.2
