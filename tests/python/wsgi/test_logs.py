"""The access log and the error log, as a server in service writes them."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

REFERER = 'http://a/"b'
TIME = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


def lines_of_three_requests(start: Any, form: str) -> list[str]:
    """The access log of a GET with all that is logged, a HEAD over HTTP/1.0, and an error."""
    served = start(access_log=form, access_log_fd=1)
    client = served.connect()
    client.get("/hello?q=%22", f"Referer: {REFERER}", "User-Agent: Test \u00e9")
    client.get("/fails")
    client.request("HEAD", "/hello", version="1.0")
    client.response(head=True)
    served.stop()
    lines: list[str] = served.process.stdout.read().decode("ascii").splitlines()
    return lines


def test_common_lines_have_the_fields_of_the_common_log_format(start: Any) -> None:
    lines = lines_of_three_requests(start, "common")

    assert [re.fullmatch(rf"127\.0\.0\.1 - - {TIME} (.*)", line)[1] for line in lines] == [
        '"GET /hello?q=%22 HTTP/1.1" 200 5',
        '"GET /fails HTTP/1.1" 500 22',
        '"HEAD /hello HTTP/1.0" 200 0',
    ]


def test_combined_lines_add_referer_and_user_agent_and_escape_them(start: Any) -> None:
    lines = lines_of_three_requests(start, "combined")

    assert [line.split("HTTP/1.")[1] for line in lines] == [
        r'1" 200 5 "http://a/\"b" "Test \xe9"',
        '1" 500 22 "-" "-"',
        '0" 200 0 "-" "-"',
    ]


def test_json_lines_are_objects_with_the_same_fields(start: Any) -> None:
    records = [json.loads(line) for line in lines_of_three_requests(start, "json")]

    assert [record["status"] for record in records] == [200, 500, 200]
    first = records[0]
    datetime.strptime(first.pop("time"), "%Y-%m-%dT%H:%M:%S%z")
    assert 0 <= first.pop("duration_us") < 60_000_000
    assert first == {
        "remote_address": "127.0.0.1",
        "method": "GET",
        "target": "/hello?q=%22",
        "protocol": "HTTP/1.1",
        "status": 200,
        "body_bytes": 5,
        "referer": REFERER,
        "user_agent": "Test \u00e9",
    }


def test_lines_that_greens_have_left_unfinished_are_not_kept_for_ever(start: Any) -> None:
    served = start("many_write_unfinished_errors")

    assert served.get("/").body == b"logged"

    assert len(re.findall(r"^half a line \d+$", served.stop(), re.MULTILINE)) >= 500


def test_without_a_usable_error_log_the_server_serves_nevertheless(start: Any) -> None:
    served = start(error_log_fd=999)  # Nobody has opened it.
    client = served.connect()

    assert client.get("/fails").code == 500
    assert client.get("/writes_errors").body == b"logged"
    assert client.get("/hello").body == b"hello"

    assert served.stop() == ""


def test_of_a_body_that_a_client_does_not_read_to_its_end_what_has_left_is_logged(
    start: Any,
) -> None:
    served = start("pieces", access_log="json", access_log_fd=1)
    client = served.connect()
    client.request("GET", "/?50000000")
    client.until(b"xxx")
    client.close()
    served.stop()

    record = json.loads(served.process.stdout.read())
    assert record["status"] == 200
    assert 3 <= record["body_bytes"] < 50_000_000
