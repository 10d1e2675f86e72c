"""What `./dev test leaks` sees and what not; and what leaked once, measured in the same way."""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable

import pytest
from leaks import growth, once
from sanitized import ASAN

import green

pytestmark = pytest.mark.skipif(ASAN, reason="AddressSanitizer has a heap of its own")

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p


def lose_a_reference(to: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(to))


def written_memory() -> mmap.mmap:
    """Not of malloc, which has resident memory in store."""
    memory = mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = bytes(1 << 20)
    return memory


LEAKS: dict[str, Callable[[list[object]], object]] = {
    "objects": lambda kept: kept.append([]),
    "references to objects": lambda kept: lose_a_reference(kept),
    "references to what was there before": lambda kept: lose_a_reference(lose_a_reference.__code__),
    "references to what was there before, a type": lambda kept: lose_a_reference(green.Green),
    "references to None": lambda kept: lose_a_reference(None),
    "blocks of Python": lambda kept: kept.append(object()),
    "bytes of malloc": lambda kept: libc.malloc(100_000),  # None of that size is in store.
    "pages that are mapped": lambda kept: kept.append(mmap.mmap(-1, mmap.PAGESIZE)),
    "pages that are resident": lambda kept: kept.append(written_memory()),
}


@pytest.mark.parametrize("what", LEAKS)
@once("it leaks on purpose")
def test_what_grows_each_time_is_told(what: str) -> None:
    kept: list[object] = []

    if what == "references to None" and sys.version_info >= (3, 12):
        pytest.skip("nobody counts them")

    found = growth(lambda: LEAKS[what](kept), repetitions=8)

    assert what.split(",")[0] in found


@once("it measures by itself")
def test_what_grows_now_and_then_is_not() -> None:
    kept: list[object] = []
    calls = iter(range(1000))

    found = growth(lambda: kept.append([]) if next(calls) % 8 else None, repetitions=8)

    assert found == ""


@once("it measures by itself")
def test_a_native_thread_with_greens_leaves_no_memory_behind() -> None:
    def run_one() -> None:
        thread = threading.Thread(target=lambda: green.spawn(green.sleep, 0).get())
        thread.start()
        thread.join()

    assert growth(run_one, repetitions=20) == ""
