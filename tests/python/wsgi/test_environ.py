"""environ is what PEP 3333 says, whatever the client sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sanitized import measures_memory


def environ_of(server: Any, target: str = "/environment", *fields: str) -> dict[str, Any]:
    response = server.get(target, *fields)
    assert response.code == 200
    return {key: value for key, (_, value) in json.loads(response.body).items()}


def test_every_required_key_is_there_with_its_type(server: Any) -> None:
    response = server.get("/environment/path?x=1", "User-Agent: test")

    entries = json.loads(response.body)
    types = {key: kind for key, (kind, _) in entries.items()}
    text = {key for key in entries if not key.startswith("wsgi.")}
    assert {types[key] for key in text} == {"str"}
    assert entries["wsgi.version"][1] == [1, 0]
    assert entries["wsgi.url_scheme"][1] == "http"
    assert entries["wsgi.multithread"][1] is True
    assert entries["wsgi.multiprocess"][1] is False
    assert entries["wsgi.run_once"][1] is False
    assert entries["wsgi.input_terminated"][1] is True
    assert "wsgi.file_wrapper" in entries
    values = {key: entries[key][1] for key in text}
    address = values.pop("REMOTE_PORT")
    assert 0 < int(address) < 65536
    assert values == {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/environment",
        "PATH_INFO": "/path",
        "QUERY_STRING": "x=1",
        "REQUEST_URI": "/environment/path?x=1",
        "RAW_URI": "/environment/path?x=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "SERVER_SOFTWARE": "greenwsgi",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "test",
        "HTTP_USER_AGENT": "test",
    }


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/a%20b", "/a b"),
        ("/%2F%2f", "///"),
        ("/caf%C3%A9", "/caf\xc3\xa9"),
        ("/100%", "/100%"),
        ("/%zz%4", "/%zz%4"),
        ("/" + "%41" * 400, "/" + "A" * 400),
        ("/a+b", "/a+b"),
        ("/%3F", "/?"),
    ],
)
def test_the_path_is_decoded_once_and_kept_as_sent_elsewhere(
    server: Any, sent: str, seen: str
) -> None:
    response = server.get("/environment" + sent)

    if response.code == 400:  # The parser may refuse what is no percent-encoding.
        assert "%zz" in sent or sent.endswith("%")
        return
    entries = json.loads(response.body)
    assert entries["PATH_INFO"][1] == seen
    assert entries["REQUEST_URI"][1] == "/environment" + sent


def test_the_query_is_not_decoded(server: Any) -> None:
    assert environ_of(server, "/environment?a=%20b&c=?d")["QUERY_STRING"] == "a=%20b&c=?d"


def test_repeated_fields_are_joined_in_order(server: Any) -> None:
    entries = environ_of(server, "/environment", "X-A: 1", "X-B: x", "x-a: 2", "X-A: 1", "X-B: x")

    assert entries["HTTP_X_A"] == "1,2,1"
    assert entries["HTTP_X_B"] == "x,x"


def test_cookies_are_joined_by_semicolons(server: Any) -> None:
    assert environ_of(server, "/environment", "Cookie: a=1", "cookie: b=2")["HTTP_COOKIE"] == (
        "a=1; b=2"
    )


def test_content_type_and_length_have_names_of_their_own(server: Any) -> None:
    client = server.connect()

    response = client.post("/environment", b"12", "Content-Type: text/x")

    entries = json.loads(response.body)
    assert entries["CONTENT_TYPE"][1] == "text/x"
    assert entries["CONTENT_LENGTH"][1] == "2"
    assert "HTTP_CONTENT_TYPE" not in entries
    assert "HTTP_CONTENT_LENGTH" not in entries


def test_a_chunked_request_has_no_content_length(server: Any) -> None:
    client = server.connect()
    client.request("POST", "/environment", "Transfer-Encoding: chunked")
    client.send(b"2\r\nab\r\n0\r\n\r\n")

    entries = json.loads(client.response().body)

    assert "CONTENT_LENGTH" not in entries
    assert entries["wsgi.input_terminated"][1] is True


def test_a_proxy_field_does_not_become_an_environment_variable_of_clients(server: Any) -> None:
    assert "HTTP_PROXY" not in environ_of(server, "/environment", "Proxy: http://evil.example/")


def test_names_with_underscores_do_not_shadow_others(server: Any) -> None:
    assert environ_of(server, "/environment", "X_A: forged", "X-A: real")["HTTP_X_A"] == "real"


def test_the_host_of_an_absolute_target_counts(server: Any) -> None:
    entries = environ_of(server, "http://other.example:81/environment/p?q")

    assert entries["HTTP_HOST"] == "other.example:81"
    assert (entries["PATH_INFO"], entries["QUERY_STRING"]) == ("/p", "q")


def test_options_of_the_whole_server_has_no_path(start: Any) -> None:
    client = start("environment").connect()
    client.request("OPTIONS", "*")

    entries = json.loads(client.response().body)

    assert entries["PATH_INFO"][1] == ""
    assert entries["REQUEST_URI"][1] == "*"


def test_values_are_latin1(server: Any) -> None:
    assert environ_of(server, "/environment", "X-Name: J\xfcrgen")["HTTP_X_NAME"] == "J\xfcrgen"


def test_values_of_one_request_never_show_in_the_next(server: Any) -> None:
    client = server.connect()
    for number in range(50):
        fields = [f"X-Same: {number % 3}", f"X-{number}: {number}", f"Cookie: n={number}"]

        response = client.get(f"/environment/{number}?{number}", *fields)

        entries = {key: value for key, (_, value) in json.loads(response.body).items()}
        numbered = {key for key in entries if key.startswith("HTTP_X_") and key[7:].isdigit()}
        assert numbered == {f"HTTP_X_{number}"}
        assert entries[f"HTTP_X_{number}"] == str(number)
        assert entries["HTTP_X_SAME"] == str(number % 3)
        assert entries["HTTP_COOKIE"] == f"n={number}"
        assert entries["PATH_INFO"] == f"/{number}"


@measures_memory
def test_invented_names_do_not_grow_the_server(start: Any) -> None:
    served = start("environment", bare=True)
    client = served.connect()

    def resident_kib() -> int:
        with open(f"/proc/{served.process.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

    def send_some(begin: int) -> None:
        for number in range(begin, begin + 200):
            fields = [f"X-{number}-{field}: {number}" for field in range(50)]
            assert client.get("/", *fields).code == 200

    send_some(0)
    before = resident_kib()
    send_some(200)
    send_some(400)
    assert resident_kib() - before < 512  # The names would take two thousand.


def test_http_1_0_is_said(server: Any) -> None:
    client = server.connect()
    client.send(b"GET /environment HTTP/1.0\r\n\r\n")

    entries = json.loads(client.response().body)

    assert entries["SERVER_PROTOCOL"][1] == "HTTP/1.0"
    assert "HTTP_HOST" not in entries


def test_the_scheme_and_multiprocess_are_the_servers_to_say(start: Any) -> None:
    served = start("environment", url_scheme="https", multiprocess=True, server_header="other")

    entries = environ_of(served, "/")

    assert entries["wsgi.url_scheme"] == "https"
    assert entries["wsgi.multiprocess"] is True
    assert entries["SERVER_SOFTWARE"] == "other"


def test_the_demo_application_of_wsgiref_runs(server: Any) -> None:
    assert server.get("/demo_app").body.startswith(b"Hello world!")
