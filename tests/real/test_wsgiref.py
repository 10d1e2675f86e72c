from __future__ import annotations

from pathlib import Path

import pytest
from http_client import ask
from served import HUBS, serve

APPS = Path(__file__).with_name("apps")


@pytest.mark.parametrize("hub", HUBS)
def test_the_standard_librarys_application_and_checker_find_no_fault(
    tmp_path: Path, hub: str
) -> None:
    with serve(str(APPS / "wsgiref_app.py"), tmp_path, hub=hub) as server:
        connection = server.connect()

        for method, target in (("GET", "/a%20b?c=d"), ("POST", "/"), ("GET", "/")):
            body = b"1234" if method == "POST" else None
            answer = ask(connection, method, target, body, X_Some="thing")

            assert (answer.status, answer.headers["content-type"][:10]) == (200, "text/plain")
            lines = answer.text.splitlines()
            assert lines[:2] == ["Hello world!", ""]
            assert f"REQUEST_METHOD = {method!r}" in lines
            assert "HTTP_X_SOME = 'thing'" in lines
            assert "SERVER_SOFTWARE = 'greenwsgi'" in lines
        assert ask(connection, "HEAD", "/").body == b""

        connection.close()
        server.stop()
