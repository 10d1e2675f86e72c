from __future__ import annotations

from collections.abc import Callable

import pytest

from green.cli import units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("30", 30), ("1.5m", 90), ("2h", 7200), ("0", 0), ("10 S", 10)],
)
def test_times_are_seconds_unless_a_unit_says_otherwise(text: str, seconds: float) -> None:
    assert units.parse_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "1s2", "nan", "inf", "٣s", "1e3"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs a time such as"):
        units.parse_seconds(text)


def test_a_time_that_must_pass_is_not_zero() -> None:
    with pytest.raises(ValueError, match="longer than 0"):
        units.parse_positive_seconds("0ms")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512", 512),
        ("64k", 65536),
        ("64K", 65536),
        ("64KiB", 65536),
        ("64kb", 65536),
        ("1M", 1048576),
        ("2g", 2147483648),
        ("1.5k", 1536),
        ("7b", 7),
    ],
)
def test_sizes_count_in_1024(text: str, size: int) -> None:
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1kk", "1 2", "0x10"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs a size such as"):
        units.parse_bytes(text)


def test_a_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(ValueError, match="larger than 0"):
        units.parse_positive_bytes("0")
    with pytest.raises(ValueError, match="larger than 0"):
        units.parse_positive_count("0")


@pytest.mark.parametrize("text", ["", "1.5", "-1", "many", "²"])
def test_a_count_is_a_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="needs a whole number"):
        units.parse_count(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (units.parse_seconds, "1000000h"),
        (units.parse_seconds, "9" * 400),
        (units.parse_bytes, "99999999999G"),
        (units.parse_bytes, "9" * 400),
        (units.parse_count, "99999999999"),
        (units.parse_positive_count, "1" + "0" * 5000),
    ],
)
def test_what_no_machine_has_is_refused(parse: Callable[[str], float], text: str) -> None:
    with pytest.raises(ValueError, match=r"^needs a .*(most|up to)"):
        parse(text)
