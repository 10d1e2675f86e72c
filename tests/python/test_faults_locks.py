"""Locks, semaphores, conditions, events: an error, a time-out or a kill at each of their waits."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

from faults import Crew, assert_free, sweep
from patched import isolated, patch

import green


def hand_over(make: Callable[[], Any], places: int, crew: Crew) -> None:
    """Four greens go through it twice each; never more than `places` at once."""
    lock = make()
    inside: list[int] = []
    left = [2, 2, 2, 2]

    def pass_through(number: int) -> None:
        while left[number]:
            with lock:
                inside.append(number)
                try:
                    assert len(inside) <= places, "several hold it"
                    green.sleep(0)
                    left[number] -= 1
                finally:
                    inside.remove(number)

    crew.run(*(functools.partial(pass_through, number) for number in range(4)))

    assert_free(lock, places)


def with_a_limit(make: Callable[[], Any], crew: Crew) -> None:
    """As hand_over(), but nobody waits longer than a moment, and all hold it twice."""
    lock = make()
    left = [2, 2, 2]

    def pass_through(number: int) -> None:
        while left[number]:
            if not lock.acquire(timeout=0.0005):
                continue
            try:
                if not hasattr(lock, "locked"):  # Reentrant.
                    with lock:
                        green.sleep(0)
                green.sleep(0.001)
                left[number] -= 1
            finally:
                lock.release()

    crew.run(*(functools.partial(pass_through, number) for number in range(3)))

    assert_free(lock)


def condition(make: Callable[[], Any], crew: Crew) -> None:
    """Two give, two take; each notification is for one."""
    changed = make()
    left = [2, 2]
    items: list[int] = []
    taken: list[int] = []

    def give(number: int) -> None:
        while left[number]:
            with changed:
                left[number] -= 1
                items.append(number)
                changed.notify()
                green.sleep(0)  # Whoever is woken must wait for the lock.

    def take() -> None:
        while len(taken) < 4:
            with changed:
                while not items and len(taken) < 4:
                    changed.wait()
                if items:
                    taken.append(items.pop())
                if len(taken) == 4:
                    changed.notify_all()

    crew.run(take, take, functools.partial(give, 0), functools.partial(give, 1))

    assert sorted(taken) == [0, 0, 1, 1]
    assert_free(changed)


def event(make: Callable[[], Any], crew: Crew) -> None:
    happened = make()

    def set_it() -> None:
        green.sleep(0)
        happened.set()

    crew.run(happened.wait, lambda: happened.wait(10), happened.wait, set_it)


@isolated
def test_locks_of_threading_are_left_held_by_nobody() -> None:
    patch()
    sweep(
        functools.partial(hand_over, threading.Lock, 1),
        functools.partial(hand_over, threading.RLock, 1),
        functools.partial(with_a_limit, threading.Lock),
        functools.partial(with_a_limit, threading.RLock),
        functools.partial(hand_over, threading.Semaphore, 1),
        functools.partial(hand_over, lambda: threading.BoundedSemaphore(2), 2),
    )


@isolated
def test_conditions_and_events_of_threading_lose_nobody() -> None:
    patch()
    sweep(
        functools.partial(condition, threading.Condition),
        functools.partial(condition, lambda: threading.Condition(threading.Lock())),
        functools.partial(event, threading.Event),
    )


def test_locks_of_green_are_left_held_by_nobody() -> None:
    sweep(
        functools.partial(hand_over, green.Lock, 1),
        functools.partial(hand_over, green.RLock, 1),
        functools.partial(with_a_limit, green.Lock),
        functools.partial(with_a_limit, green.RLock),
        functools.partial(hand_over, green.Semaphore, 1),
        functools.partial(hand_over, lambda: green.BoundedSemaphore(2), 2),
    )


def test_conditions_and_events_of_green_lose_nobody() -> None:
    sweep(
        functools.partial(condition, green.Condition),
        functools.partial(condition, lambda: green.Condition(green.Lock())),
        functools.partial(event, green.Event),
    )
