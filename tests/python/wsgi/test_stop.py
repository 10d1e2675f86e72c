"""Ends from outside: of a call by a kill, of the server by another thread."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

PROGRAM = """
import http.client
import socket
import threading

from green import _core

told = threading.Event()

def app(environ, start_response):
    told.set()
    _core.sleep(0.1)
    start_response("200 OK", [("Content-Length", "5")])
    return [b"whole"]

listener = socket.create_server(("127.0.0.1", 0))
client = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
server = _core.Server(app, [listener.detach()])

def stop():
    told.wait()
    server.stop(10.0)

def ask():
    client.request("GET", "/")
    print(client.getresponse().read())

threads = [threading.Thread(target=each) for each in (stop, ask)]
for each in threads:
    each.start()
server.run()
for each in threads:
    each.join()
print("ended")
"""


def test_stop_from_another_thread_lets_the_call_in_flight_finish() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "b'whole'\nended\n"


def test_a_killed_call_is_an_error_for_its_client_and_a_line_in_the_log(start: Any) -> None:
    served = start()
    waiting, other = served.connect(), served.connect()
    waiting.request("GET", "/waits_for_its_end?q=1")
    while other.get("/kills_the_waiting").body == b"nobody waits":
        pass  # That request has not begun yet.

    assert waiting.response().code == 500

    assert waiting.get("/hello").body == b"hello"
    log = served.stop()
    assert "killed in GET /waits_for_its_end?q=1" in log
    assert "cleaned up" in log
    assert "Traceback" not in log
