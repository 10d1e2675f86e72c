"""A site that shows what the server does: `greenwsgi serve examples/site/app.py:app`.

Plain WSGI and the standard library. Every function below blocks as if it had a thread of its own,
and under greenwsgi it has: a green one. `python examples/site/app.py` serves the same site with
wsgiref, where the calls of the first demonstration run one after another.
"""

from __future__ import annotations

import html
import inspect
import json
import sys
import time
from dataclasses import dataclass
from string import Template
from typing import TYPE_CHECKING

import fanout
import live
import streams

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'self'; img-src 'self' data:"),
    ("X-Content-Type-Options", "nosniff"),
]


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    live.meter.requests += 1
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    view = ROUTES.get((("GET" if method == "HEAD" else method), path))
    if view is None:
        start_response("404 Not Found", [("Content-Type", "text/plain"), *HEADERS])
        return [b"There is no such page. The front page is /\n"]
    answer = view(environ)
    headers = [("Content-Type", answer.content_type), *HEADERS]
    if answer.length is not None:
        headers.append(("Content-Length", str(answer.length)))
    start_response("200 OK", headers)
    return answer.body


@dataclass
class Answer:
    content_type: str
    body: Iterable[bytes]
    length: int | None = None  # Of the body; None: it is sent as it comes.


def whole(content_type: str, body: bytes) -> Answer:
    return Answer(content_type, [body], len(body))


def front_page(environ: WSGIEnvironment) -> Answer:
    page = Template(streams.static_file("index.html").read_text())
    text = page.substitute(
        call_source=html.escape(inspect.getsource(fanout.call_upstream).strip()),
        service_source=html.escape(inspect.getsource(upstream).strip()),
        calls=fanout.calls_for(environ["SERVER_SOFTWARE"]),
        server=html.escape(environ["SERVER_SOFTWARE"]),
        python=sys.version.split()[0],
        download_mib=streams.DOWNLOAD_BYTES >> 20,
    )
    return whole("text/html; charset=utf-8", text.encode())


def static(content_type: str, name: str) -> Answer:
    return whole(content_type, streams.static_file(name).read_bytes())


def run_fanout(environ: WSGIEnvironment) -> Answer:
    """One line of JSON for every start and every end of a call, as they happen."""
    address = environ["SERVER_NAME"], int(environ["SERVER_PORT"])
    server = environ["SERVER_SOFTWARE"]
    events = fanout.run(address, fanout.calls_for(server), fanout.has_green_threads(server))
    lines = ("".join(json.dumps(event) + "\n" for event in some).encode() for some in events)
    return Answer("application/x-ndjson", lines)


def upstream(environ: WSGIEnvironment) -> Answer:
    with live.meter.waiting():
        time.sleep(fanout.UPSTREAM_SECONDS)
    return whole("text/plain", b"done\n")


def upload(environ: WSGIEnvironment) -> Answer:
    return whole("application/json", json.dumps(streams.receive(environ)).encode())


def download(environ: WSGIEnvironment) -> Answer:
    return Answer("application/octet-stream", streams.send(environ), streams.DOWNLOAD_BYTES)


ROUTES = {
    ("GET", "/"): front_page,
    ("GET", "/style.css"): lambda _: static("text/css", "style.css"),
    ("GET", "/site.js"): lambda _: static("text/javascript", "site.js"),
    ("GET", "/timeline.js"): lambda _: static("text/javascript", "timeline.js"),
    ("GET", "/fanout"): run_fanout,
    ("GET", "/upstream"): upstream,
    ("GET", "/live"): lambda _: Answer("text/event-stream", live.events()),
    ("POST", "/upload"): upload,
    ("GET", "/download"): download,
}


def main() -> None:
    """Serves with wsgiref, a thread a connection, as a site that calls itself needs."""
    from socketserver import ThreadingMixIn
    from wsgiref.simple_server import WSGIServer, make_server

    class ThreadedServer(ThreadingMixIn, WSGIServer):
        daemon_threads = True

    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with make_server("127.0.0.1", port, app, server_class=ThreadedServer) as server:
        print(f"http://127.0.0.1:{server.server_port}/ (wsgiref)", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
