"""What the package takes as a time or a count, as the extension module takes them."""

from __future__ import annotations

import math
import operator


def seconds(time: float) -> float:
    """`time` as a float. TypeError: it is no real number; ValueError: it is negative or NaN."""
    checked = math.ldexp(time, 0)  # Takes no strings.
    if not checked >= 0:
        raise ValueError("a time in seconds must not be negative or NaN")
    return checked


def patience(timeout: float) -> float:
    """seconds(), but a time in the past is no time, as `threading` has it."""
    checked = math.ldexp(timeout, 0)
    return 0.0 if checked < 0 else seconds(checked)


def count(number: int, least: int, refused: str) -> int:
    """`number` as an int. TypeError: it is no whole number; ValueError: it is below `least`.

    `refused` is what that says, with the number behind it.
    """
    checked = operator.index(number)
    if checked < least:
        raise ValueError(f"{refused}, not {checked}")
    return checked
