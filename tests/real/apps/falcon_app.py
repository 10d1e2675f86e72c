"""A Falcon application: resources, JSON, streams both ways, errors."""

from __future__ import annotations

import io
import time

import falcon


class Things:
    def __init__(self) -> None:
        self.things: dict[str, object] = {}

    def on_get(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        if name not in self.things:
            raise falcon.HTTPNotFound(title=f"no {name}")
        response.media = self.things[name]

    def on_put(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        self.things[name] = request.get_media()
        response.status = falcon.HTTP_201
        response.location = f"/things/{name}"

    def on_delete(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        self.things.pop(name, None)
        response.status = falcon.HTTP_204


class Echo:
    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        body = request.bounded_stream.read()
        response.set_stream(io.BytesIO(body), len(body))


class Slow:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        time.sleep(0.2)
        response.text = request.get_param("id", required=True)


app = falcon.App()
app.add_route("/things/{name}", Things())
app.add_route("/echo", Echo())
app.add_route("/slow", Slow())
