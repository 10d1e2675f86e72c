"""Queues with many greens and native threads at once."""

import queue

import pytest
from greens import native

import green

KINDS = [green.Queue, green.LifoQueue, green.PriorityQueue]


@pytest.mark.parametrize("kind", [*KINDS, green.Channel])
def test_many_of_both_kinds_lose_nothing_whoever_is_killed_or_late(kind) -> None:
    items = kind() if kind is green.Channel else kind(3)
    taken: list[int] = []
    given: list[int] = []

    def put(first):
        for number in range(first, first + 100):
            try:
                items.put(number, timeout=0.00001 * (number % 7))
            except queue.Full:
                continue
            given.append(number)

    def get():
        while True:
            try:
                taken.append(items.get(timeout=0.001))
            except queue.Empty:
                continue
            except green.ShutDown:
                return

    def get_one():
        taken.append(items.get())

    threads = [native(put, 1000 * n) for n in range(3)]
    greens = [green.spawn(put, 1000 * n) for n in range(3, 9)]
    getters = [green.spawn(get) for _ in range(3)] + [native(get) for _ in range(2)]
    victims = []
    for _ in range(300):
        victims.append(green.spawn(get_one))
        green.sleep(0)
        victims[-1].kill()
    for each in [*greens, *threads, *victims]:
        each.join()
    items.shutdown()
    for each in getters:
        each.join()

    assert sorted(taken) == sorted(given)
    assert items.unfinished_tasks == len(given)
    assert (items.getting(), items.putting(), items.qsize()) == (0, 0, 0)


@pytest.mark.parametrize("kind", [green.Queue, green.Channel])
def test_a_thread_and_a_green_answer_each_other_ten_thousand_times(kind) -> None:
    there, back = kind(), kind()

    def answer():
        for item in there:
            back.put(item)

    def ask():
        for number in range(10_000):
            there.put(number)
            assert back.get() == number
        there.shutdown()
        return "done"

    thread = native(answer)

    assert green.spawn(ask).get(timeout=60) == "done"
    thread.join()


def test_greens_of_two_threads_answer_each_other() -> None:
    there, back = green.Queue(), green.Queue()

    def answer():
        for item in there:
            back.put(item)

    thread = native(lambda: green.spawn(answer).get())
    for number in range(1000):
        there.put(number)
        assert back.get(timeout=10) == number
    there.shutdown()

    thread.join()
