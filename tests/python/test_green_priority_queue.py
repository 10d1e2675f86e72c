"""Priority queues: comparing items runs Python code, which may switch, or fail."""

import sys
from typing import Any

import pytest
from greens import drain, in_child, until

import green


def test_room_of_one_whose_item_goes_straight_to_a_getter_goes_to_the_next() -> None:
    items = green.PriorityQueue(1)
    items.put(0)
    putters = [green.spawn(items.put, number) for number in (1, 2)]
    until(lambda: items.putting() == 2)

    # The second get() waits already when the first putter comes to put.
    assert [items.get(timeout=10) for _ in range(3)] == [0, 1, 2]
    green.joinall(putters)


def test_room_given_to_one_that_is_killed_goes_to_the_next() -> None:
    items = green.PriorityQueue(1)  # Its putters put by themselves.
    items.put(0)
    first, second = (green.spawn(items.put, number) for number in (1, 2))
    until(lambda: items.putting() == 2)

    assert items.get() == 0
    assert items.full()
    first.kill()

    assert items.get(timeout=10) == 2
    second.join()
    assert not items.full()


def test_room_that_was_given_is_gone_after_shutdown() -> None:
    items = green.PriorityQueue(1)
    items.put(0)
    putter = green.spawn(items.put, 1)
    until(items.putting)

    items.get()
    items.shutdown()

    assert not items.full()
    with pytest.raises(green.ShutDown):
        putter.get()
    assert items.qsize() == 0


class Awkward:
    """Lets others run, and may die, while it is compared."""

    def __init__(self, number: Any) -> None:
        self.number = number

    def __lt__(self, other: "Awkward") -> bool:
        green.sleep(0)
        return self.number < other.number


def test_greens_that_put_and_get_while_items_are_compared_do_no_harm() -> None:
    items = green.PriorityQueue(5)
    taken = []

    def put(first):
        for number in range(first, first + 20):
            items.put(Awkward(number))

    def get():
        for item in items:
            taken.append(item.number)

    putters = [green.spawn(put, first) for first in range(0, 200, 20)]
    getters = [green.spawn(get) for _ in range(3)]
    for each in putters:
        each.get(timeout=60)
    items.shutdown()
    for each in getters:
        each.get(timeout=60)

    assert sorted(taken) == list(range(200))


def test_a_shutdown_while_an_item_is_compared_refuses_it() -> None:
    items = green.PriorityQueue()
    items.put(Awkward(1))
    putter = green.spawn(items.put, Awkward(0))
    green.sleep(0)

    items.shutdown()

    with pytest.raises(green.ShutDown):
        putter.get(timeout=10)
    assert [item.number for item in drain(items)] == [1]


def test_an_item_that_cannot_be_compared_is_refused_and_its_room_is_the_next_ones() -> None:
    items = green.PriorityQueue(2)
    items.put(Awkward(1))
    items.put(Awkward(2))
    bad = green.spawn(items.put, Awkward("?"))
    until(items.putting)
    good = green.spawn(items.put, Awkward(3))
    until(lambda: items.putting() == 2)

    items.get()

    with pytest.raises(TypeError):
        bad.get(timeout=10)
    good.get(timeout=10)
    assert [item.number for item in drain(items)] == [2, 3]


def test_a_value_that_comes_back_and_cannot_be_compared_is_kept(monkeypatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: reported.append(what.exc_type))
    items = green.PriorityQueue()
    getter = green.spawn(items.get)
    until(items.getting)

    items.put("text")
    items.put(1)
    getter.kill(block=True)

    assert reported == [TypeError]
    with pytest.raises(TypeError):
        items.get(items.put_nowait([]))
    assert items.qsize() == 2
    assert items.get() == 1
    assert items.get() == "text"


def test_in_a_child_of_a_fork_nobody_else_has_been_given_room() -> None:
    queue = green.PriorityQueue(1)
    queue.put(1)
    putter = green.spawn(queue.put, 2)
    until(lambda: queue.putting() == 1)
    queue.get()  # The room is the putter's, who has not run.

    def child() -> bool:
        queue.put(3, timeout=10)
        return bool(queue.get() == 3)

    assert in_child(child)
    putter.join()
    assert queue.get() == 2
