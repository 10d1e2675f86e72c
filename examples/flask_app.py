"""Flask with a slow service behind it: `greenwsgi serve examples/flask_app.py:app`.

Two hundred clients at once each wait about half a second, not one after another: the view blocks
its own green thread and nobody else's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from flask import Flask, Response, request

app = Flask(__name__)


@app.get("/")
def slow() -> str:
    time.sleep(0.5)  # As a database, or any other service, would.
    return f"Hello, {request.args.get('name', 'world')}!\n"


@app.get("/countdown")
def countdown() -> Response:
    def lines() -> Iterator[str]:
        for number in range(10, 0, -1):
            yield f"{number}\n"
            time.sleep(0.2)

    return Response(lines(), mimetype="text/plain")
