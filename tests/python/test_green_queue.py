"""Queues: first come first served, and nothing gets lost."""

import heapq
import queue
import random
from collections.abc import Iterator
from typing import Any

import pytest
from greens import drain, native, until

import green

KINDS = [green.Queue, green.LifoQueue, green.PriorityQueue]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


def sorted_as(kind: Any, items: list) -> list:
    """In the order in which a full queue gives them."""
    if kind is green.LifoQueue:
        return items[::-1]
    return sorted(items) if kind is green.PriorityQueue else items


def test_the_names_are_those_of_the_standard_library() -> None:
    assert green.queue.Empty is queue.Empty
    assert green.queue.Full is queue.Full
    assert green.ShutDown is getattr(queue, "ShutDown", green.ShutDown)
    assert issubclass(green.ShutDown, Exception)
    assert green.JoinableQueue is green.Queue
    assert green.Queue[int].__origin__ is green.Queue


def test_items_come_out_in_the_order_of_their_kind(kind) -> None:
    items = kind()
    for number in (3, 1, 2):
        items.put(number)

    assert (items.qsize(), items.empty(), items.full(), items.maxsize) == (3, False, False, 0)
    assert drain(items) == sorted_as(kind, [3, 1, 2])
    assert items.empty()


def test_a_queue_agrees_with_a_model_of_it(kind) -> None:
    choose = random.Random(7)
    items, model = kind(), []
    for turn in range(20_000):
        if choose.random() < (0.7 if turn % 4000 < 2000 else 0.3):
            number = choose.randrange(1000)
            items.put(number)
            heapq.heappush(model, number) if kind is green.PriorityQueue else model.append(number)
        elif model:
            if kind is green.PriorityQueue:
                expected = heapq.heappop(model)
            else:
                expected = model.pop(-1 if kind is green.LifoQueue else 0)
            assert items.peek() == expected
            assert items.get() == expected
        assert items.qsize() == len(model)


def test_what_would_wait_is_refused(kind) -> None:
    items = kind(1)

    for refused in (items.get_nowait, items.peek_nowait, lambda: items.get(False)):
        with pytest.raises(queue.Empty):
            refused()
    items.put_nowait(1)
    assert items.full()
    for refused in (
        lambda: items.put_nowait(2),
        lambda: items.put(2, False),
        lambda: items.put(2, timeout=0),
        lambda: items.put(item=2, block=False, timeout=-1),
    ):
        with pytest.raises(queue.Full):
            refused()
    assert drain(items) == [1]


@pytest.mark.parametrize("maxsize", [None, 0, -1])
def test_without_a_size_there_is_no_bound(kind, maxsize) -> None:
    items = kind(maxsize=maxsize)

    for number in range(1000):
        items.put(number, block=False)

    assert not items.full()


def test_wrong_arguments_are_refused(kind) -> None:
    items = kind()

    with pytest.raises(ValueError, match="negative"):
        items.get(timeout=-1)
    with pytest.raises(ValueError, match="negative"):
        items.put(1, timeout=float("nan"))
    with pytest.raises(TypeError, match="needs an item"):
        items.put(block=True)
    with pytest.raises(TypeError, match="at most 2"):
        items.get(True, 1, 2)
    with pytest.raises(TypeError):
        kind("1")
    with pytest.raises(TypeError):
        green.Channel(1)
    with pytest.raises(AttributeError):
        green.Channel().maxsize = 1
    assert items.qsize() == 0


def test_greens_and_threads_get_in_the_order_of_their_coming(kind) -> None:
    items, answers = kind(), green.Queue()

    def work(name):
        answers.put((name, items.get()))

    for name in range(8):
        (green.spawn if name % 2 else native)(work, name)
        until(lambda name=name: items.getting() == name + 1)
    for number in range(8):
        items.put(number)

    assert sorted(answers.get(timeout=10) for _ in range(8)) == [(n, n) for n in range(8)]


def test_nobody_overtakes_who_was_handed_a_value_but_has_not_run(kind) -> None:
    items = kind()
    waiter = green.spawn(items.get)
    until(items.getting)

    items.put(1)

    assert items.empty()
    with pytest.raises(queue.Empty):
        items.get_nowait()
    assert waiter.get() == 1


def test_putters_get_room_in_the_order_of_their_coming(kind) -> None:
    items, order = kind(1), []

    def work(name):
        items.put(name)
        order.append(name)

    items.put(0)
    for name in range(1, 7):
        (green.spawn if name % 2 else native)(work, name)
        until(lambda name=name: items.putting() == name)
    taken = []
    for name in range(7):
        until(lambda name=name: len(order) == name)
        with pytest.raises(queue.Full):
            items.put_nowait(9)
        taken.append(items.get(timeout=10))

    assert order == [1, 2, 3, 4, 5, 6]
    assert taken == list(range(7))


def test_the_time_of_greens_and_threads_runs_out(kind) -> None:
    items, full, answers = kind(), kind(1), []
    full.put(0)

    def wait():
        for call in (items.get, items.peek, lambda timeout: full.put(1, timeout=timeout)):
            with pytest.raises((queue.Empty, queue.Full)) as caught:
                call(timeout=0.001)
            answers.append(caught.type)

    green.spawn(wait).get()
    native(wait).join()

    assert answers == [queue.Empty, queue.Empty, queue.Full] * 2
    assert (items.getting(), full.putting(), drain(full)) == (0, 0, [0])


def test_a_value_handed_to_one_that_is_killed_goes_to_the_next(kind) -> None:
    items = kind()
    first, second = (green.spawn(items.get) for _ in range(2))
    until(lambda: items.getting() == 2)

    items.put(1)
    first.kill()

    assert second.get(timeout=10) == 1
    first.join()
    assert items.unfinished_tasks == 1


def test_values_handed_to_those_that_are_killed_come_back_to_their_places(kind) -> None:
    items = kind()
    getters = [green.spawn(items.get) for _ in range(3)]
    until(lambda: items.getting() == 3)

    for number in (2, 3, 1, 0):
        items.put(number)
    for each in getters:
        each.kill()
    for each in getters:
        each.join()

    assert items.unfinished_tasks == 4
    assert drain(items) == sorted_as(kind, [2, 3, 1, 0])


def test_a_value_handed_over_as_the_time_ran_out_is_not_lost(kind) -> None:
    items = kind()
    got = []

    def work():
        with green.Timeout(0.001, False):
            got.append(items.get())

    for number in range(300):
        waiter = green.spawn(work)
        until(lambda waiter=waiter: items.getting() or waiter.dead)
        green.sleep(0.0008 + number % 7 * 0.0001)
        items.put(number)
        waiter.join()

    assert sorted(got + drain(items)) == list(range(300))


def test_a_killed_putter_takes_its_item_along(kind) -> None:
    items = kind(1)
    items.put(0)
    first, second = (green.spawn(items.put, number) for number in (1, 2))
    until(lambda: items.putting() == 2)

    first.kill(block=True)

    assert [items.get(), items.get(timeout=10)] == [0, 2]
    second.join()
    assert (items.qsize(), items.unfinished_tasks) == (0, 2)


def test_a_putter_whose_item_was_taken_is_killed_at_its_next_wait() -> None:
    items = green.Queue(1)
    items.put(0)
    after = []

    def work():
        items.put(1)
        after.append("put")
        green.sleep(0)
        after.append("slept")

    putter = green.spawn(work)
    until(items.putting)
    assert items.get() == 0
    putter.kill(block=True)

    assert after == ["put"]
    assert items.get_nowait() == 1


def test_a_peek_leaves_the_item(kind) -> None:
    items = kind()
    lookers = [green.spawn(items.peek) for _ in range(2)]
    until(lambda: items.getting() == 2)
    takers = [green.spawn(items.get) for _ in range(2)]
    until(lambda: items.getting() == 4)
    last = green.spawn(items.peek)
    until(lambda: items.getting() == 5)

    items.put(1)
    assert items.getting() == 2
    items.put(2)
    items.put(3)

    assert [each.get() for each in lookers] == [1, 1]
    assert [each.get() for each in takers] == [1, 2]
    assert last.get() == 3
    assert items.peek_nowait() == items.get_nowait() == 3


def test_a_value_that_comes_back_is_shown_to_those_who_look(kind) -> None:
    items = kind()
    getter = green.spawn(items.get)
    until(items.getting)
    looker = green.spawn(items.peek)
    until(lambda: items.getting() == 2)

    items.put(1)
    getter.kill(block=True)

    assert looker.get(timeout=10) == 1
    assert items.get_nowait() == 1
