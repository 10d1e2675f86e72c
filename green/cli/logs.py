"""Where the lines go: the access log's descriptor, and the error log, which is the standard error.

`--error-log-file` replaces descriptor 2, so that whatever any library or a crash has to say arrives
in the same file as our lines. Formats and buffers are the extension's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, cast

from green import _core
from green.cli.errors import StartError

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["common", "combined", "json"]


def log(level: Level, line: str) -> None:
    # Paths may have bytes that are no text.
    _core.log(level, line.encode("utf-8", "backslashreplace").decode())


def set_level(level: str) -> None:
    _core.set_log_level(level)


@dataclass(frozen=True)
class AccessLog:
    format: Format | None  # None: off.
    fd: int


def open_access_log(chosen: str | None, path: str | None) -> AccessLog:
    """The access log in the format `chosen`, or combined where only a path is given."""
    if chosen == "off" or (chosen is None and path is None):
        return AccessLog(None, -1)
    fd = 1 if path is None or path == "-" else _open(path, "--access-log-file")
    return AccessLog(cast("Format", chosen or "combined"), fd)


def redirect_error_log(path: str) -> None:
    """Makes `path` the standard error of this process and of its children; "-" leaves it."""
    if path == "-":
        return
    fd = _open(path, "--error-log-file")
    os.dup2(fd, 2)
    os.close(fd)


def _open(path: str, option: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StartError(f"{option}: cannot append to {path!r}: {error.strerror}") from None
