"""Joins, groups, pools, results, native calls: something goes wrong at each wait for others."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from faults import Crew, sweep
from patched import isolated, patch
from workers import until

import green
from green import _core, native


def slow(value: int) -> int:
    green.sleep(0)
    green.sleep(0.0005)
    return value


def join(crew: Crew) -> None:
    """Two wait for one that none of them made."""
    done = green.AsyncResult()
    seen: list[int] = []

    def make() -> None:
        slow(0)
        if not done.ready():
            done.set(7)

    def wait() -> None:
        seen.append(done.get())

    crew.run(make, wait, wait)

    assert seen == [7, 7]


def wait_for_several(crew: Crew) -> None:
    events = [green.Event() for _ in range(3)]
    seen: list[int] = []

    def come() -> None:
        for each in events:
            green.sleep(0)
            each.set()

    def wait() -> None:
        seen.append(len(green.wait(events)))

    def one_by_one() -> None:
        seen.append(sum(1 for _ in green.iwait(events)))

    crew.run(come, wait, one_by_one, lambda: green.wait(events, timeout=0.0001))

    assert seen == [3, 3]
    assert not any(each._links for each in events if hasattr(each, "_links"))


def pool(crew: Crew) -> None:
    """A pool whose workers are hit keeps all its places."""
    pool = green.Pool(2)
    results: dict[str, Any] = {}

    def survive(number: int) -> int:
        try:
            return slow(number)
        except BaseException:
            return number

    def map_all() -> None:
        results["map"] = pool.map(survive, range(4))

    def imap_all() -> None:
        results["imap"] = list(pool.imap(survive, range(4)))

    crew.run(map_all, imap_all)

    assert results == {"map": [0, 1, 2, 3], "imap": [0, 1, 2, 3]}
    assert pool.join(timeout=10)
    assert pool.free_count() == 2


def call_natively(crew: Crew) -> None:
    results: list[int] = []

    def call() -> None:
        results.append(native.call(lambda: 7))

    crew.run(call, call)

    assert results == [7, 7]
    until(lambda: native_work() == 0)


def native_work() -> int:
    counts = _core.native_counts()
    return counts["threads"] - counts["idle"] + counts["queued"]


def time_out(crew: Crew) -> None:
    """A Timeout of one's own, when something else is thrown at the same wait, is never left set."""
    ended: list[Any] = []

    def wait() -> None:
        while not ended:
            with green.Timeout(0.0005, False) as limit:
                green.sleep(10)
            assert not limit.pending
            ended.append(green.with_timeout(0.0002, green.sleep, 10, timeout_value="late"))

    crew.run(wait)

    assert ended == ["late"]


def threads(crew: Crew) -> None:
    """Threads that are greens: whoever joins one that is hit comes back."""
    done: list[int] = []

    def work() -> None:
        try:
            slow(0)
        except BaseException:
            slow(0)
        done.append(1)

    def start_and_join() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            thread.join(0.01)

    crew.run(start_and_join)
    end = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < end:
        green.sleep(0)

    assert done
    assert threading.active_count() == 1


def nest(function: Callable[[], Any]) -> Callable[[], Any]:
    """A green that waits for another: what is thrown at the one must not reach the other."""

    def outer() -> None:
        inner = green.spawn(function)
        try:
            inner.get()
        finally:
            inner.kill()

    return outer


def kill_others(crew: Crew) -> None:
    crew.run(nest(lambda: slow(1)), nest(lambda: native.call(int)), nest(lambda: None))


def test_whoever_waits_for_greens_and_results_goes_on() -> None:
    sweep(join, wait_for_several, pool, kill_others)


def test_native_calls_and_timeouts_leave_nothing() -> None:
    sweep(call_natively, time_out)
    native.set_size(20, idle_seconds=0)
    until(lambda: _core.native_counts()["threads"] == 0)
    native.set_size(20)


@isolated
def test_threads_that_are_greens_leave_nothing() -> None:
    patch()
    sweep(functools.partial(threads))
