"""A Flask application with a view for each thing that Flask asks of a server."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator

from flask import (
    Flask,
    Response,
    abort,
    g,
    jsonify,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from werkzeug.exceptions import HTTPException

app = Flask(__name__)
app.secret_key = "of no importance"


@app.before_request
def remember_begin() -> None:
    g.asked_by = request.headers.get("X-Asked-By", "nobody")


@app.after_request
def name_asker(response: Response) -> Response:
    response.headers["X-Answered-To"] = g.asked_by
    return response


@app.teardown_request
def count_end(error: BaseException | None) -> None:
    ended.append(request.path)


ended: list[str] = []


@app.get("/ended")
def show_ended() -> Response:
    return jsonify(ended)


@app.get("/hello/<name>")
def hello(name: str) -> str:
    return f"Hello, {name}!"


@app.get("/slow/<name>")
def slow(name: str) -> str:
    time.sleep(0.2)
    return f"{name} {g.asked_by}"


@app.route("/count", methods=["GET", "POST"])
def count() -> Response:
    if request.method == "POST":
        session["count"] = session.get("count", 0) + 1
        return redirect(url_for("count"), code=303)
    return jsonify(count=session.get("count", 0))


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    content = file.read()
    return jsonify(
        name=file.filename,
        length=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        comment=request.form["comment"],
    )


@app.post("/echo")
def echo() -> Response:
    def pieces() -> Iterator[bytes]:
        while piece := request.stream.read(10_000):
            yield piece

    return Response(stream_with_context(pieces()), mimetype="application/octet-stream")


@app.get("/stream/<int:lines>")
def stream(lines: int) -> Response:
    def produce() -> Iterator[str]:
        for number in range(lines):
            yield f"{number} of {request.args['of']}\n"

    return Response(stream_with_context(produce()), mimetype="text/plain")


@app.get("/stream-fails")
def stream_fails() -> Response:
    def produce() -> Iterator[bytes]:
        yield b"before"
        raise RuntimeError("the stream broke")

    return Response(produce(), mimetype="text/plain")


@app.get("/mebibyte")
def mebibyte() -> bytes:
    return bytes(range(256)) * 4096


@app.get("/file")
def file() -> Response:
    return send_file(os.environ["FILE_TO_SEND"], conditional=True)


@app.get("/teapot")
def teapot() -> Response:
    abort(418)


@app.get("/fails")
def fails() -> Response:
    raise RuntimeError("the view broke")


@app.errorhandler(HTTPException)
def show_error(error: HTTPException) -> tuple[Response, int]:
    return jsonify(error=error.name), error.code or 500
