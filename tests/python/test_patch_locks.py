"""Locks of _thread and what threading and queue make of them, under the patch."""

from __future__ import annotations

import _thread
import functools
import logging
import queue
import sys
import threading
import time
from typing import Any

from leaks import once
from patched import Index, Ticker, assert_same, isolated, outcome, patch, start_natively, together

import green

lock = threading.Lock()
rlock = threading.RLock()
condition = threading.Condition()
event = threading.Event()
semaphore = threading.BoundedSemaphore(2)
barrier = threading.Barrier(3)
local = threading.local()
simple = queue.SimpleQueue[Any]()
bounded = queue.Queue[Any](2)
bound_acquire, bound_release = lock.acquire, lock.release


@isolated
def test_a_lock_made_before_excludes_greens_and_serves_them_in_order() -> None:
    patch()
    order: list[int] = []

    def enter(number: int) -> None:
        with lock:
            order.append(number)
            time.sleep(0.001)
            order.append(number)

    together(*[lambda n=n: enter(n) for n in range(20)])

    assert order == [n for n in range(20) for _ in range(2)]


@isolated
def test_bound_methods_stored_before_cooperate() -> None:
    patch()
    order: list[str] = []

    def first() -> None:
        bound_acquire()
        time.sleep(0.01)
        order.append("first")
        bound_release()

    def second() -> None:
        bound_acquire()
        order.append("second")
        bound_release()

    together(first, second)

    assert order == ["first", "second"]


@isolated
def test_an_rlock_belongs_to_a_green() -> None:
    patch()
    order: list[int] = []

    def enter(number: int) -> None:
        with rlock, rlock:
            order.append(number)
            time.sleep(0.001)
            order.append(number)
        assert not rlock._is_owned()  # type: ignore[attr-defined]

    together(*[lambda n=n: enter(n) for n in range(10)])

    assert order == [n for n in range(10) for _ in range(2)]


@isolated
def test_the_main_program_and_a_green_do_not_share_an_rlock() -> None:
    patch()
    took: list[bool] = []

    with rlock:
        together(lambda: took.append(rlock.acquire(blocking=False)))
        together(lambda: took.append(rlock.acquire(timeout=0.01)))
        assert together(lambda: outcome(rlock.release)) == [
            (RuntimeError, "cannot release un-acquired lock")
        ]

    assert took == [False, False]
    assert together(lambda: (rlock.acquire(), rlock.release())) == [(True, None)]


@isolated
def test_an_acquire_ends_with_its_time() -> None:
    patch()
    lock.acquire()
    began = time.monotonic()

    with Ticker() as ticker:
        assert together(lambda: lock.acquire(timeout=0.15)) == [False]
        assert lock.acquire(True, 0.15) is False
    lock.release()

    assert time.monotonic() - began >= 0.3
    ticker.assert_kept_running()


@isolated
def test_wrong_arguments_raise_what_they_raise_unpatched() -> None:
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {"timeout": -5}),
        ((False, 3), {}),
        ((), {"timeout": "x"}),
        ((), {"timeout": 1e300}),
        ((), {"timeout": float("nan")}),
        ((), {"what": 1}),
        ((1, 2, 3), {}),
        ((True,), {"blocking": True}),
    ]

    def outcomes() -> list[Any]:
        both = (threading.Lock(), threading.RLock())
        results = [outcome(one.acquire, *args, **named) for one in both for args, named in calls]
        return [*results, outcome(both[0].release), outcome(both[1].release)]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_whatever_stands_for_minus_one_is_for_ever() -> None:
    class Float(float):
        pass

    def hold(lock: Any) -> None:
        with lock:
            green.sleep(0.01)

    def take(lock: Any, timeout: Any) -> bool:
        taken = lock.acquire(True, timeout)
        lock.release()
        return bool(taken)

    patch()
    for lock in (_thread.allocate_lock(), threading.RLock()):
        for for_ever in (-1, -1.0, Float(-1), Index(-1), -0.9999999999):
            holder = green.spawn(hold, lock)
            green.sleep(0)
            assert together(functools.partial(take, lock, for_ever)) == [True]
            holder.join()


@isolated
def test_what_blocking_may_be_is_as_unpatched() -> None:
    """Up to 3.11 an int, from 3.12 on anything."""

    def outcomes() -> list[Any]:
        given: list[Any] = ["x", "", 1.5, None, [], 0, 1, -1, 2**31, 2**70, Index(1), Index(0)]
        return [
            outcome(make().acquire, blocking)
            for make in (threading.Lock, threading.RLock)
            for blocking in given
        ]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_conditions_events_semaphores_and_barriers_cooperate() -> None:
    patch()
    order: list[str] = []

    def consumer() -> None:
        with condition:
            assert condition.wait(5)
            order.append("notified")
        assert event.wait(5)
        order.append("set")

    def producer() -> None:
        time.sleep(0.01)
        with condition:
            condition.notify()
        time.sleep(0.01)
        order.append("sets")
        event.set()

    def guarded() -> None:
        with semaphore:
            time.sleep(0.01)

    together(consumer, producer, *[guarded] * 6, *[lambda: barrier.wait(5)] * 3)

    assert order == ["notified", "sets", "set"]
    event.clear()


@isolated
def test_a_reentrant_condition_gives_its_lock_back_while_it_waits() -> None:
    patch()
    order: list[str] = []

    def waiter() -> None:
        with condition, condition:
            condition.wait(5)
            order.append("woken")
            assert condition._is_owned()  # type: ignore[attr-defined]

    def notifier() -> None:
        time.sleep(0.01)
        with condition:
            order.append("inside")
            condition.notify_all()
            time.sleep(0.01)
            order.append("leaves")

    together(waiter, notifier)

    assert order == ["inside", "leaves", "woken"]


@isolated
def test_queues_made_before_cooperate() -> None:
    patch()
    got: list[Any] = []

    together(
        lambda: [got.append(bounded.get(timeout=5)) for _ in range(6)],
        lambda: [bounded.put(n) for n in range(6)],
        lambda: got.append(simple.get()),
        lambda: (time.sleep(0.02), simple.put("simple")),
    )

    assert got == [*range(6), "simple"]
    assert together(lambda: outcome(simple.get, timeout=0.01)) == [(queue.Empty, "")]
    assert together(lambda: outcome(simple.get, False)) == [(queue.Empty, "")]
    assert together(lambda: outcome(simple.get, timeout=-1)) == [
        (ValueError, "'timeout' must be a non-negative number")
    ]


@isolated
def test_a_killed_waiter_passes_its_wake_on() -> None:
    from green import _core

    patch()
    lock.acquire()
    order: list[int] = []

    def enter(number: int) -> None:
        with lock:
            order.append(number)

    greens = [_core.spawn(enter, number) for number in range(3)]
    time.sleep(0.01)
    lock.release()  # Wakes the first, which is killed before it runs.
    greens[0].kill()
    for each in greens:
        each.join()

    assert order == [1, 2]
    assert not lock.locked()


@isolated
def test_thread_identity_and_local_values_are_a_greens_own() -> None:
    patch()
    mine = threading.get_ident()
    local.value = "main"

    def look(number: int) -> tuple[int, str, bool]:
        assert not hasattr(local, "value")
        local.value = number
        time.sleep(0.001)
        assert local.value == number
        thread = threading.current_thread()
        time.sleep(0.001)
        return threading.get_ident(), thread.name, thread is threading.current_thread()

    seen = together(*[lambda n=n: look(n) for n in range(50)])

    assert len({ident for ident, _, _ in seen} | {mine}) == 51
    assert len({name for _, name, _ in seen}) == 50
    assert all(same for _, _, same in seen)
    assert local.value == "main"
    assert list(threading._active) == [mine]  # type: ignore[attr-defined]


@isolated
def test_logging_from_many_greens_keeps_lines_whole() -> None:
    patch()
    lines: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append("<")
            time.sleep(0.001)
            lines.append(record.getMessage())

    log = logging.getLogger("patched")
    log.addHandler(Slow())
    log.propagate = False

    together(*[lambda n=n: log.warning("%d", n) for n in range(20)])

    assert lines == [text for n in range(20) for text in ("<", str(n))]
    log.handlers.clear()


@isolated
@once("it repeats itself often enough")
def test_greens_and_native_threads_hand_over_ten_thousand_times() -> None:
    patch()
    sys.setswitchinterval(20e-6)
    rounds = 5_000
    there, back = _thread.allocate_lock(), _thread.allocate_lock()
    there.acquire()
    back.acquire()

    def native() -> None:
        for _ in range(rounds):
            there.acquire()
            back.release()

    def green() -> None:
        for _ in range(rounds):
            there.release()
            back.acquire()

    thread = threading.Thread(target=native)
    start_natively(thread)
    together(green)
    thread.join()

    assert there.locked()
    assert back.locked()


@isolated
def test_greens_of_several_threads_and_natives_exclude_each_other() -> None:
    patch()
    sys.setswitchinterval(20e-6)
    inside = [0, 0]
    faults: list[int] = []
    done: list[int] = []

    def work() -> None:
        for number in range(300):
            kind = number & 1
            with (lock, rlock)[kind]:
                inside[kind] += 1
                if inside[kind] != 1:
                    faults.append(number)
                time.sleep(0 if number % 20 else 0.0001)
                inside[kind] -= 1
            if lock.acquire(timeout=0.0005 * (number % 4 + 1)):
                lock.release()
            simple.put(number)
            simple.get()
        done.append(1)

    def hub() -> None:
        together(*[work] * 10)

    threads = [threading.Thread(target=hub) for _ in range(3)]
    threads += [threading.Thread(target=work) for _ in range(3)]
    start_natively(*threads)
    for thread in threads:
        thread.join(40)

    assert not any(thread.is_alive() for thread in threads)
    assert faults == []
    assert len(done) == 33
    assert simple.empty()


@isolated
def test_a_condition_waits_for_its_lock_whatever_is_thrown() -> None:
    patch()
    for lock in (threading.Lock(), threading.RLock()):
        changed = threading.Condition(lock)

        def wait(changed: threading.Condition = changed) -> bool:
            with changed:
                return changed.wait()

        waiter = green.spawn(wait)
        green.sleep(0)
        with changed:
            changed.notify()
            green.sleep(0)
            waiter.kill()  # It waits for the lock.
            green.sleep(0)
            green.sleep(0)
            assert not waiter.dead

        assert waiter.get(timeout=10) is True
        assert lock.acquire(blocking=False)


@isolated
def test_the_longest_time_out_there_is_is_waited_for_like_any_other() -> None:
    patch()
    event = threading.Event()
    lock = threading.RLock()

    def hold() -> None:
        with lock:
            time.sleep(0.01)
        time.sleep(0.01)
        event.set()

    holder = green.spawn(hold)
    green.sleep(0)

    assert lock.acquire(timeout=threading.TIMEOUT_MAX)
    lock.release()
    assert event.wait(threading.TIMEOUT_MAX)
    holder.join()
