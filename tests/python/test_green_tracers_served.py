"""A request's green begins with what threading.settrace() holds ready, as a thread of a server."""

import http.client
import socket
import threading
from types import FrameType
from typing import Any

from patched import isolated

import green
from green import _core


@isolated
def test_the_green_of_a_request_begins_traced_and_is_after_a_wait() -> None:
    green.monkey_patch()
    traced: list[str] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            traced.append(f"{event} {frame.f_code.co_name}")
        return tracer

    def app(environ: Any, start_response: Any) -> list[bytes]:
        green.sleep(0)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    listener = socket.create_server(("127.0.0.1", 0))
    client = http.client.HTTPConnection(*listener.getsockname(), timeout=10)
    server = _core.Server(app, [listener.detach()])

    def ask() -> None:
        client.request("GET", "/")
        assert client.getresponse().read() == b"ok"
        client.close()
        server.stop(10.0)

    asking = green.spawn(ask)
    threading.settrace(tracer)
    server.run()
    threading.settrace(None)  # type: ignore[arg-type]
    asking.get()

    of_app = [each for each in traced if each.endswith(" app")]
    assert of_app == ["call app", *["line app"] * 3, "return app"]
