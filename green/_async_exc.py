"""PyThreadState_SetAsyncExc, which programs call by ctypes to raise an exception in a thread.

It looks for a PyThreadState, and greens have none of their own. `ctypes.pythonapi` keeps each of
its functions as an attribute from its first use on: ours is there before, for threads that are
greens. Time limits of dramatiq and rq are made of this.
"""

from __future__ import annotations

from typing import Any

from green import _core
from green._on_import import when_imported


def cooperate() -> None:
    """From now on, or from when ctypes is imported, it finds greens."""
    when_imported("ctypes", _replace)


def _replace(ctypes: Any) -> None:
    original = ctypes.pythonapi.PyThreadState_SetAsyncExc
    made = type(original)(_core.async_exc_address())
    made.argtypes, made.restype = original.argtypes, original.restype
    ctypes.pythonapi.PyThreadState_SetAsyncExc = made
