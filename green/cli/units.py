"""Times and sizes as people type them: 500ms, 30s, 1m; 512, 64k, 1M, 2G.

Each parser returns a plain number (seconds, bytes) or raises ValueError with the end of a sentence
that begins with the option's name.
"""

from __future__ import annotations

import re

SECONDS_MAX = 366 * 24 * 3600.0
COUNT_MAX = 2**31 - 1
BYTES_MAX = 2**40
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII | re.IGNORECASE)


def parse_seconds(text: str) -> float:
    """Seconds of "500ms", "30s", "30", "1.5m" or "1h"."""
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None or match[2].lower() not in _SECONDS:
        raise ValueError(f"needs a time such as 500ms, 30s or 2m, not {text!r}")
    seconds = float(match[1]) * _SECONDS[match[2].lower()]
    if seconds > SECONDS_MAX:
        raise ValueError(f"needs a time of a year at most, not {text!r}")
    return seconds


def parse_positive_seconds(text: str) -> float:
    seconds = parse_seconds(text)
    if seconds == 0:
        raise ValueError("needs a time longer than 0")
    return seconds


def parse_bytes(text: str) -> int:
    """Bytes of "512", "64k", "64KiB", "1M" or "2G"; a k is 1024."""
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    unit = match[2].lower().removesuffix("ib") if match is not None else "?"
    if len(unit) == 2:
        unit = unit.removesuffix("b")
    if match is None or unit not in _BYTES:
        raise ValueError(f"needs a size such as 512, 64k or 1M, not {text!r}")
    size = float(match[1]) * _BYTES[unit]
    if size > BYTES_MAX:
        raise ValueError(f"needs a size of 1024G at most, not {text!r}")
    return round(size)


def parse_positive_bytes(text: str) -> int:
    size = parse_bytes(text)
    if size == 0:
        raise ValueError("needs a size larger than 0")
    return size


def parse_count(text: str) -> int:
    """A whole number, 0 or more."""
    if not re.fullmatch(r"\d+", text.strip(), re.ASCII):
        raise ValueError(f"needs a whole number, not {text!r}")
    if len(text.strip()) > len(str(COUNT_MAX)) or int(text) > COUNT_MAX:
        raise ValueError(f"needs a number up to {COUNT_MAX}, not {text!r}")
    return int(text)


def parse_positive_count(text: str) -> int:
    count = parse_count(text)
    if count == 0:
        raise ValueError("needs a number larger than 0")
    return count
