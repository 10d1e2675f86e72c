"""Queues: the end of their tasks, of the queue, and of what it holds."""

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from greens import drain, in_child, native, until

import green

KINDS = [green.Queue, green.LifoQueue, green.PriorityQueue]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


def test_join_waits_until_all_is_done(kind) -> None:
    items = kind()
    assert items.join() is True
    items.put(1)
    items.put(2)
    joined = [green.spawn(items.join), green.spawn(items.join, timeout=30)]
    answers = []
    thread = native(lambda: answers.append(items.join()))

    assert items.join(timeout=0) is False
    assert items.join(0.001) is False
    items.get()
    items.task_done()
    assert items.unfinished_tasks == 1
    assert not any(each.dead for each in joined)
    items.get()
    items.task_done()

    assert [each.get(timeout=10) for each in joined] == [True, True]
    thread.join()
    assert answers == [True]
    with pytest.raises(ValueError, match="too many"):
        items.task_done()


def test_after_shutdown_what_is_in_it_can_be_taken(kind) -> None:
    items = kind()
    items.put(1)
    items.put(1)

    items.shutdown()

    assert items.is_shutdown
    with pytest.raises(green.ShutDown):
        items.put(2)
    with pytest.raises(green.ShutDown):
        items.put_nowait(2)
    assert [items.peek(), items.get(), items.get()] == [1, 1, 1]
    for ended in (items.get, items.peek, items.get_nowait):
        with pytest.raises(green.ShutDown):
            ended()
    items.task_done()
    items.task_done()
    assert items.join()


def test_an_immediate_shutdown_empties_it(kind) -> None:
    items = kind()
    for _ in range(3):
        items.put(1)
    items.get()

    items.shutdown(immediate=True)

    with pytest.raises(green.ShutDown):
        items.get()
    assert (items.qsize(), items.unfinished_tasks) == (0, 1)
    items.task_done()
    assert items.join()


def test_shutdown_wakes_all_who_wait(kind) -> None:
    items, full, ended = kind(), kind(1), green.Queue()
    full.put(0)

    def work(call):
        with pytest.raises(green.ShutDown):
            call()
        ended.put(1)

    for spawn in (green.spawn, native):
        spawn(work, items.get)
        spawn(work, items.peek)
        spawn(work, lambda: full.put(1))
    until(lambda: items.getting() == 4 and full.putting() == 2)
    items.shutdown()
    full.shutdown()

    for _ in range(6):
        ended.get(timeout=10)
    assert drain(full) == [0]


@pytest.mark.parametrize("immediate", [False, True])
def test_a_value_that_comes_back_after_shutdown_is_there_or_dropped(kind, immediate) -> None:
    items = kind()
    getter = green.spawn(items.get)
    until(items.getting)

    items.put(1)
    items.shutdown(immediate)
    getter.kill(block=True)

    assert items.unfinished_tasks == items.qsize() == (0 if immediate else 1)


def test_a_loop_ends_at_shutdown_or_at_stop_iteration(kind) -> None:
    items = kind()
    loop = green.spawn(lambda: list(items))
    until(items.getting)
    items.put(1)
    items.put(2)
    green.sleep(0)
    items.put(3)
    items.shutdown()

    assert loop.get() == [1, 2, 3]
    assert list(items) == []

    again = green.Queue[Any]()
    for item in (1, StopIteration, 2):
        again.put(item)
    assert list(again) == [1]
    assert again.get() == 2


def test_a_greater_size_lets_putters_in(kind) -> None:
    items = kind(1)
    items.put(0)
    putters = [green.spawn(items.put, number) for number in range(1, 5)]
    until(lambda: items.putting() == 4)

    items.maxsize = 3
    green.sleep(0)
    assert (items.qsize(), items.putting()) == (3, 2)
    items.maxsize = 0

    for each in putters:
        each.join(timeout=10)
    assert sorted(drain(items)) == [0, 1, 2, 3, 4]


def test_a_queue_in_a_circle_is_collected_and_what_it_holds_let_go_of(kind) -> None:
    class Item:
        pass

    items, item = kind(), Item()
    seen, seen_item = weakref.ref(items), weakref.ref(item)
    items.put(item)
    item.queue = items  # type: ignore[attr-defined]
    del items, item

    gc.collect()

    assert seen() is None
    assert seen_item() is None


def test_references_are_neither_lost_nor_kept(kind) -> None:
    item = (1, "a tuple of its own", object)
    items = kind()
    before = sys.getrefcount(item)

    for _ in range(3):
        items.put(item)
    items.peek()
    assert sys.getrefcount(item) == before + 3
    items.get()
    items.shutdown(immediate=True)
    with pytest.raises(green.ShutDown):
        items.put(item)
    killed = kind(1)
    killed.put(item)
    putter = green.spawn(killed.put, item)
    until(killed.putting)
    putter.kill(block=True)
    del putter, killed, items

    assert sys.getrefcount(item) == before


def test_a_long_chain_of_queues_is_taken_apart() -> None:
    chain = green.Queue()
    for _ in range(100_000):
        outer = green.Queue()
        outer.put(chain)
        chain = outer

    del chain, outer


def test_a_class_that_derives_may_have_an_init_of_its_own(kind) -> None:
    class Named(kind):
        def __init__(self, name) -> None:
            super().__init__(maxsize=1)
            self.name = name

    named = Named("n")
    named.put(named.name)

    assert named.full()
    assert named.get() == "n"


def test_after_a_fork_a_queue_has_its_items_and_nobody_waits(kind) -> None:
    items, full = kind(), kind(2)
    full.put(0)
    full.put(1)
    getter, putter = green.spawn(items.get), green.spawn(full.put, 2)
    until(lambda: items.getting() and full.putting())
    thread = native(items.get)
    until(lambda: items.getting() == 2)

    def child():
        items.put(7)
        alone = items.getting() == full.putting() == 0
        return alone and items.get() == 7 and sorted(drain(full)) == [0, 1]

    assert in_child(child)
    items.put(1)
    items.put(2)
    full.get()
    for each in (getter, thread, putter):
        each.join()
