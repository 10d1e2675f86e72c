"""Who traces threads traces requests, each of which is one."""

from __future__ import annotations

from pathlib import Path

from served import serve

APP = """
import threading

names = []

def tracer(frame, event, argument):
    if frame.f_globals is globals():
        names.append(frame.f_code.co_name)

threading.settrace(tracer)

def ping():
    return " ".join(names).encode()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ping()]
"""


def test_a_request_begins_with_the_tracer_of_new_threads(tmp_path: Path) -> None:
    program = tmp_path / "traced.py"
    program.write_text(APP)

    with serve(f"{program}:app", tmp_path) as server:
        said = []
        for _ in range(2):
            client = server.connect()
            client.request("GET", "/")
            said.append(client.getresponse().read())
            client.close()
        server.stop()

    assert said == [b"app ping", b"app ping app ping"]
