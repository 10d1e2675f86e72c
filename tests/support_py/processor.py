"""What other programs take of the processor, which measurements of time leave out."""

from __future__ import annotations

from pathlib import Path


def processor_wait() -> float:
    """For how long this thread has been ready to run but another had the processor, in seconds."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0
