"""What the tests with real packages share."""

from __future__ import annotations

import random
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def file_to_send(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a mebibyte and a bit, the same in every run."""
    path = tmp_path_factory.mktemp("files") / "random.bin"
    path.write_bytes(random.Random(1).randbytes((1 << 20) + 321))
    return path
