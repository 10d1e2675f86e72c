"""Bytes in and out: an upload that is never held in memory, a file that is never read by Python."""

from __future__ import annotations

import hashlib
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

import live

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import WSGIEnvironment

DOWNLOAD_BYTES = 256 << 20
PIECE_BYTES = 64 << 10
STATIC = Path(__file__).with_name("static")


def static_file(name: str) -> Path:
    return STATIC / name


def receive(environ: WSGIEnvironment) -> dict[str, Any]:
    """Reads the body piece by piece; a slow sender holds up nobody but itself."""
    began, memory = time.perf_counter(), live.resident_bytes()
    received, digest, left = 0, hashlib.sha256(), int(environ.get("CONTENT_LENGTH") or 0)
    while left and (piece := environ["wsgi.input"].read(min(left, PIECE_BYTES))):
        digest.update(piece)
        received += len(piece)
        left -= len(piece)
    return {
        "bytes": received,
        "sha256": digest.hexdigest(),
        "seconds": round(time.perf_counter() - began, 4),
        "memory_growth": max(0, live.resident_bytes() - memory),
    }


def send(environ: WSGIEnvironment) -> Iterable[bytes]:
    """The server sends the file itself, from the page cache to the socket."""
    wrapper = environ.get("wsgi.file_wrapper", FileWrapper)
    return wrapper(open(large_file().name, "rb"), PIECE_BYTES)


@cache
def large_file() -> IO[bytes]:
    file = tempfile.NamedTemporaryFile(prefix="greenwsgi-example-")  # noqa: SIM115
    file.truncate(DOWNLOAD_BYTES)  # Sparse: a quarter of a gigabyte that takes no space.
    return file
