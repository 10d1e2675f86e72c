"""A Bottle application: routes, forms, cookies, static files, generators, hooks, errors."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from bottle import HTTPResponse, abort, default_app, error, hook, request, response, route
from bottle import static_file as send_static


@hook("before_request")
def greet() -> None:
    response.set_header("X-Hook", "ran")


@route("/hello/<name>")
def hello(name: str) -> str:
    return f"Hello, {name}!"


@route("/form", method="POST")
def form() -> str:
    return f"{request.forms.getunicode('text')} and {request.files['file'].file.read()!r}"


@route("/cookie")
def cookie() -> str:
    seen = int(request.get_cookie("seen", default="0", secret="salt") or 0)
    response.set_cookie("seen", str(seen + 1), secret="salt")
    return str(seen)


@route("/stream")
def stream() -> Iterator[str]:
    for number in range(5):
        time.sleep(0.001)
        yield f"{number}\n"


@route("/file")
def file() -> HTTPResponse:
    folder, name = os.path.split(os.environ["FILE_TO_SEND"])
    return send_static(name, root=folder)


@route("/forbidden")
def forbidden() -> None:
    abort(403, "not you")


@error(403)
def show_forbidden(problem: HTTPResponse) -> str:
    return f"403: {problem.body}"


@route("/slow/<name>")
def slow(name: str) -> str:
    time.sleep(0.2)
    return f"{name} {request.query['id']}"


app = default_app()
