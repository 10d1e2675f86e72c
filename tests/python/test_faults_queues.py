"""Queues and channels: whatever goes wrong at a wait, each item comes out exactly once."""

from __future__ import annotations

import contextlib
import functools
import queue
from collections.abc import Callable
from typing import Any

from faults import Crew, sweep
from patched import isolated, patch

import green


def pass_on(make: Callable[[], Any], crew: Crew) -> None:
    """Two give three items each, two take: through a queue that is often full, and often empty."""
    items = make()
    left = {"a": 3, "b": 3}
    taken: list[str] = []

    def give(name: str) -> None:
        while left[name]:
            items.put(name + str(left[name]))
            left[name] -= 1

    def take() -> None:
        while True:
            taken.append(items.get())
            green.sleep(0)

    def see_the_end() -> None:
        while len(taken) < 6:
            green.sleep(0)

    crew.run(
        functools.partial(give, "a"),
        functools.partial(give, "b"),
        see_the_end,
        helpers=[take, take],
    )

    assert sorted(taken) == ["a1", "a2", "a3", "b1", "b2", "b3"]
    assert items.empty()


def with_a_limit(make: Callable[[], Any], full: Any, empty: Any, crew: Crew) -> None:
    items = make()
    left = [3]
    taken: list[int] = []

    def give() -> None:
        while left[0]:
            try:
                items.put(left[0], timeout=0.0005)
            except full:
                continue
            left[0] -= 1

    def take() -> None:
        while len(taken) < 3:
            green.sleep(0.0007)
            with contextlib.suppress(empty):
                taken.append(items.get(timeout=0.0005))

    crew.run(give, take)

    assert taken == [3, 2, 1]


def join(make: Callable[[], Any], crew: Crew) -> None:
    tasks = make()
    for number in range(3):
        tasks.put(number)
    done: list[int] = []

    def work() -> None:
        while True:
            number = tasks.get()
            done.append(number)
            tasks.task_done()

    crew.run(tasks.join, tasks.join, helpers=[work])

    assert done == [0, 1, 2]


@isolated
def test_queues_of_the_standard_library_give_each_item_once() -> None:
    patch()
    sweep(
        functools.partial(pass_on, queue.SimpleQueue),
        functools.partial(pass_on, queue.Queue),
        functools.partial(pass_on, lambda: queue.Queue(1)),
        functools.partial(with_a_limit, lambda: queue.Queue(1), queue.Full, queue.Empty),
        functools.partial(join, queue.Queue),
    )


def test_queues_of_green_give_each_item_once() -> None:
    sweep(
        functools.partial(pass_on, green.Queue),
        functools.partial(pass_on, lambda: green.Queue(1)),
        functools.partial(pass_on, lambda: green.PriorityQueue(1)),
        functools.partial(pass_on, lambda: green.LifoQueue(2)),
        functools.partial(pass_on, green.Channel),
        functools.partial(with_a_limit, lambda: green.Queue(1), queue.Full, queue.Empty),
        functools.partial(with_a_limit, green.Channel, queue.Full, queue.Empty),
        functools.partial(join, green.JoinableQueue),
    )
