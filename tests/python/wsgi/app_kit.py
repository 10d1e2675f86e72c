"""What the applications of these tests are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

TEXT = [("Content-Type", "text/plain")]
UNRULY: set[str] = set()


def unruly(app: App) -> App:
    UNRULY.add(app.__name__)
    return app


def log(environ: Environ, line: str) -> None:
    environ["wsgi.errors"].write(line + "\n")
    environ["wsgi.errors"].flush()


class Closing:
    """An iterable that says in the log when it is closed."""

    def __init__(self, environ: Environ, parts: Iterable[bytes]) -> None:
        self.environ = environ
        self.parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        log(self.environ, f"closed {self.environ['PATH_INFO']}")


def peak_kib() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
