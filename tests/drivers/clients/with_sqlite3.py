"""A file that somebody has locked: SQLite sleeps in C, so each call goes to a native thread."""

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest

from green import native

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "file"
holder = sqlite3.connect(path, isolation_level=None)
holder.execute("BEGIN EXCLUSIVE")

native.set_size(200)  # As many as there are greens.


def connect(number: int) -> Any:
    return sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)


def ask(connection: Any, number: int) -> str:
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        native.call(connection.execute, "BEGIN EXCLUSIVE")
    connection.close()
    return str(number)
