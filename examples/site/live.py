"""What the process does right now, told once a second as Server-Sent Events."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Counts that the site keeps itself. No lock: one green thread runs at a time."""

    def __init__(self) -> None:
        self.requests = 0
        self.calls_waiting = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.calls_waiting += 1
        try:
            yield
        finally:
            self.calls_waiting -= 1


meter = Meter()


def events() -> Iterator[bytes]:
    """Five; then the browser asks again. An endless answer would hold up a server that stops."""
    yield b"retry: 100\n\n"
    for _ in range(5):
        yield f"data: {json.dumps(snapshot())}\n\n".encode()
        time.sleep(1)


def snapshot() -> dict[str, float]:
    times = os.times()
    return {
        "requests": meter.requests,
        "waiting": meter.calls_waiting,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "memory": resident_bytes(),
        "cpu": times.user + times.system,
        "clock": time.monotonic(),
    }


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
