"""Repeats a test and tells what grows with each repetition: ./dev test leaks.

As in `regrtest -R` of CPython: what grew in every repetition is a leak, everything else is caches
that fill. Descriptors, greens and the like are counted around every test anyhow (nothing_left.py);
here are objects, references and memory. LEAKS says how often a suspect is repeated; without it all
tests run once.

A test that is not @isolated is repeated here, fixtures and all; one that is, in its own process.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from sys import getallocatedblocks, getrefcount
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache  # 3.13; older.

REPETITIONS = int(os.environ.get("LEAKS", "0"))
WARM_UP = 3  # Runs that fill caches; after the last of them measuring begins.
LASTING = (type, FunctionType, BuiltinFunctionType, ModuleType)


def once(reason: str) -> Callable[[Any], Any]:
    """Marks a test that cannot be repeated in one process, and says why; ONCE = "..." all tests of
    a module."""

    def mark(test: Any) -> Any:
        test.once = reason
        return test

    return mark


@functools.cache
def _mallinfo() -> Callable[[], Any]:
    import ctypes  # Not on top, or all isolated tests had it.

    class Mallinfo(ctypes.Structure):
        _fields_ = [
            ("arenas", ctypes.c_size_t * 4),
            ("mapped_bytes", ctypes.c_size_t),
            ("unused", ctypes.c_size_t * 2),
            ("used_bytes", ctypes.c_size_t),
            ("free", ctypes.c_size_t * 2),
        ]

    function = ctypes.CDLL(None).mallinfo2
    function.restype = Mallinfo
    return function


@functools.cache
def _lasting() -> list[object]:
    """What a reference can be lost to without another trace: the types, functions, modules,
    strings and code of now. What is there now need not be looked through again for garbage."""
    gc.collect()
    objects = gc.get_objects()
    found: dict[int, object] = {}
    referred = gc.get_referents(*objects)
    while referred:
        new = {id(each): each for each in referred if not gc.is_tracked(each)}
        new = {key: each for key, each in new.items() if key not in found}
        found.update(new)
        referred = gc.get_referents(*new.values())
        codes = [each for each in new.values() if isinstance(each, CodeType)]
        referred.extend(each for code in codes for each in (code.co_consts, code.co_names))
    gc.freeze()
    # Of None and small numbers there is one each, of which the whole program has references.
    plain = [each for each in found.values() if each is not None and type(each) is not int]
    return plain + [each for each in objects if isinstance(each, LASTING)]


# What a leak makes grow, and by how much at least each time.
MEASURES = {
    "blocks of Python": 1,
    "objects": 1,
    "references to objects": 1,
    "references to what was there before": 1,
    "references to None": 1,
    "bytes of malloc": 1,
    "pages that are mapped": 1,
    "pages that are resident": 16,  # Fewer may be buffers that were not used before.
    "references of a debug build": 1,
}
LEAST = list(MEASURES.values())


def measure() -> list[int]:
    """How much there is now, in the order of MEASURES."""
    lasting = _lasting()
    sys.path_importer_cache.clear()  # Of directories that are gone.
    gc.collect()
    heap = _mallinfo()()
    mapped, resident, of_files = Path("/proc/self/statm").read_text().split()[:3]
    total = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0
    objects = gc.get_objects()
    clear_caches()  # They hold names of attributes: below none are asked for.
    return [
        getallocatedblocks(),
        len(objects),
        sum(map(getrefcount, objects)),
        sum(map(getrefcount, lasting)),
        getrefcount(None),
        heap.used_bytes + heap.mapped_bytes,
        int(mapped),
        int(resident) - int(of_files),  # Those come and go with what others need.
        total,
    ]


def growth(
    run: Callable[[], object],
    repetitions: int = REPETITIONS,
    look: Callable[[], list[int]] = measure,
) -> str:
    """What grows with every run, in words; empty if nothing does. `look` may measure elsewhere."""
    for _ in range(WARM_UP):
        run()
        last = look()
    first = last
    suspects = list(range(len(MEASURES)))  # Numbers: its own references must not count.
    for _ in range(repetitions):
        run()
        now = look()
        suspects = [each for each in suspects if now[each] >= last[each] + LEAST[each]]
        if not suspects:
            return ""
        last = now
    names = list(MEASURES)
    grown = ", ".join(f"{last[each] - first[each]} {names[each]}" for each in suspects)
    return f"each of {repetitions} repetitions leaks, together {grown}"


def repeats(test: Any) -> bool:
    """Is the test to be repeated?"""
    marked = hasattr(test, "once") or "ONCE" in test.__globals__
    return REPETITIONS > 0 and not marked


def assert_no_growth(test: Callable[[], object], run: Callable[[], object]) -> None:
    """Of what `run` does, which is `test`; AssertionError says what grows."""
    if repeats(test):
        found = growth(run)
        assert not found, found
    else:
        run()
