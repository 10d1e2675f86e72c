"""time.sleep under the patch."""

from __future__ import annotations

import functools
import time
from fractions import Fraction
from time import sleep as imported_before

from patched import Ticker, assert_same, isolated, outcome, patch, together

bound = functools.partial(time.sleep, 0.02)


@isolated
def test_sleeps_of_many_greens_pass_at_once() -> None:
    patch()
    began = time.monotonic()

    together(*[lambda: time.sleep(0.1)] * 200)

    assert 0.1 <= time.monotonic() - began < 2


@isolated
def test_references_taken_before_the_patch_cooperate() -> None:
    def specialised(times: int) -> None:
        for _ in range(times):
            imported_before(0)

    specialised(100)  # The interpreter has specialised the call site by now.
    patch()
    order: list[str] = []

    together(
        lambda: (imported_before(0.02), order.append("import")),
        lambda: (bound(), order.append("partial")),
        lambda: (specialised(3), order.append("call site")),
        lambda: order.append("first"),
    )

    assert order[0] == "first"
    assert sorted(order) == ["call site", "first", "import", "partial"]


@isolated
def test_wrong_lengths_raise_what_they_raise_unpatched() -> None:
    wrong = [-1, -0.5, float("nan"), float("inf"), 1e300, 10**30, "1", None, Fraction(1, 2)]
    before = [outcome(time.sleep, length) for length in wrong]
    patch()

    (after,) = together(lambda: [outcome(time.sleep, length) for length in wrong])

    assert_same(after, before)
    assert outcome(time.sleep) == (TypeError, "time.sleep() takes exactly one argument (0 given)")


@isolated
def test_an_object_with_index_is_a_length() -> None:
    class Zero:
        def __index__(self) -> int:
            return 0

    patch()

    assert together(lambda: time.sleep(Zero())) == [None]  # type: ignore[arg-type]


@isolated
def test_the_main_program_sleeps_cooperatively_too() -> None:
    patch()

    with Ticker() as ticker:
        time.sleep(0.3)

    ticker.assert_kept_running()


@isolated
def test_a_kill_ends_a_sleep() -> None:
    from green import _core

    patch()
    sleeper = _core.spawn(time.sleep, 30)
    time.sleep(0.01)
    began = time.monotonic()

    sleeper.kill()
    sleeper.join()

    assert time.monotonic() - began < 5


@isolated
def test_importing_green_changes_nothing() -> None:
    import _thread
    import socket

    def entries() -> list[object]:
        return [time.sleep, _thread.LockType.acquire, socket.socket, socket.socket.recv]

    before = entries()
    import green  # noqa: F401
    from green import _core

    assert entries() == before
    assert _core.patch_report() == {}
    began = time.monotonic()
    together(lambda: time.sleep(0.05), lambda: time.sleep(0.05))
    assert time.monotonic() - began >= 0.1  # One after the other, as unpatched.
