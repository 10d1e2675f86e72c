"""What a test may not leave behind: greens, timers, native threads, descriptors, children."""

from __future__ import annotations

import gc
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS = 5.0  # What was told to end has ended by then.

Found = Counter[tuple[str, str]]

# A hub stays with its thread, which may not have had one before the test.
HUB: Found = Counter(
    {
        ("descriptor", "anon_inode:[io_uring]"): 1,
        ("descriptor", "anon_inode:[eventpoll]"): 1,
        ("descriptor", "anon_inode:[eventfd]"): 1,
        ("descriptor", "pipe"): 2,
        ("operations", "of this thread"): 1,
        ("stacks", "of this thread"): 1,
    }
)


def _descriptors() -> Iterator[str]:
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # That of the directory itself.
            yield re.sub(r":\[\d+\]$", "", os.readlink(f"/proc/self/fd/{fd}"))


def _children() -> Iterator[str]:
    for task in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError):  # The thread has ended, or this kernel does not tell.
            yield from Path(f"/proc/self/task/{task}/children").read_text().split()


def look() -> Found:
    """All there is now, in this process and on this thread, of what should go with a test."""
    found: Found = Counter(("descriptor", each) for each in _descriptors())
    found.update(("child", pid) for pid in _children())
    found.update(("thread", repr(each)) for each in threading.enumerate())
    found.update({(kind, "of this thread"): count for kind, count in _counts().items()})
    return found


def _counts() -> dict[str, int]:
    """Empty where nothing of green has run yet."""
    core = sys.modules.get("green._core")
    return core.debug_counts() if core is not None else {}


def left_since(before: Found, but: str | None = None) -> Found:
    """What is there and was not, once it has had the time to go."""

    def left() -> Found:
        return Counter({key: n for key, n in (look() - before).items() if key[0] != but})

    deadline = time.monotonic() + SECONDS
    turn = 0
    while (found := left()) and time.monotonic() < deadline:
        if turn > 2:  # Rarely: it takes longer than all the rest.
            gc.collect()
            time.sleep(0.001)
        if _counts():
            sys.modules["green"].sleep(0)
        turn += 1
    return found


@contextmanager
def nothing_left(but: str | None = None) -> Iterator[None]:
    """The body of the `with` leaves nothing of it behind, `but` things of this kind; AssertionError
    names what it did."""
    before = look()
    had_hub = bool(_counts())
    yield
    if not had_hub and _counts():
        before += HUB
    left = left_since(before, but)
    assert not left, f"left behind: {sorted(left.elements())}"
