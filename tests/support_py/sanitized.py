"""What cannot be asked of an interpreter with AddressSanitizer in it: ./dev test asan."""

from __future__ import annotations

import os

import pytest

ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")

measures_memory = pytest.mark.skipif(
    ASAN, reason="AddressSanitizer keeps what was freed, to find who uses it still"
)
limits_memory = pytest.mark.skipif(
    ASAN, reason="AddressSanitizer ends a program that a limit denies its own memory"
)
moves_large_blocks = pytest.mark.skipif(
    ASAN, reason="AddressSanitizer marks each byte of a large block, which takes its time"
)

# For programs that are to end by a fault, and by whoever handled it before we came.
FAULTS_ARE_PYTHONS = {
    "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":handle_segv=0:use_sigaltstack=0"
}

# For programs that leave greens where they are, on purpose, and whatever those hold; that forbid
# themselves the thread which looks for leaks; and that leak by themselves, as `python -S` does.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
