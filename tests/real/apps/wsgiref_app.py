"""The standard library's own application, in the standard library's own checker of servers."""

from __future__ import annotations

from wsgiref.simple_server import demo_app
from wsgiref.validate import validator

app = validator(demo_app)
