"""Conditions over any lock, for greens and native threads."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from greens import native, until
from patched import isolated, patch

import green


@pytest.fixture(params=[None, green.Lock, green.RLock])
def condition(request: pytest.FixtureRequest) -> Iterator[green.Condition]:
    condition = green.Condition(request.param() if request.param else None)
    yield condition
    assert condition.waiting == 0
    assert condition.acquire(blocking=False)
    condition.release()


def waits(condition: green.Condition, order: list, name: Any) -> Callable[[], bool]:
    def work():
        with condition:
            answer = condition.wait(10)
            order.append(name)
            return answer

    return work


def test_those_who_have_waited_longest_are_notified_first() -> None:
    condition = green.Condition()
    order: list = []
    done = [
        (green.spawn if name % 2 else native)(waits(condition, order, name))
        for name in range(6)
        if not until(lambda name=name: condition.waiting == name)
    ]
    until(lambda: condition.waiting == 6)

    for count in (1, 2):
        with condition:
            condition.notify(count)
    until(lambda: len(order) == 3)
    assert condition.waiting == 3
    with condition:
        condition.notify_all()
    for each in done:
        each.join()

    assert sorted(order[:3]) == [0, 1, 2]
    assert sorted(order[3:]) == [3, 4, 5]


def test_a_wait_lets_go_of_the_lock_and_has_it_again(condition) -> None:
    state = []

    def work():
        with condition:
            assert condition.wait()
            state.append("notified")

    waiter = green.spawn(work)
    until(lambda: condition.waiting == 1)
    with condition:
        condition.notify()
        green.sleep(0)
        assert state == []
    waiter.get(timeout=10)

    assert state == ["notified"]


def test_a_wait_lets_go_of_all_that_an_rlock_counts() -> None:
    condition = green.Condition()

    def work():
        with condition, condition, condition:
            until(lambda: condition._lock.waiting == 1)
            condition.wait()
            return condition._lock._recursion_count()

    def notify():
        with condition:
            condition.notify()
            return condition._lock._recursion_count()

    waiter = green.spawn(work)
    until(condition._lock.locked)
    notifier = green.spawn(notify)

    assert notifier.get(timeout=10) == 1
    assert waiter.get(timeout=10) == 3
    assert not condition._lock.locked()


def test_waiting_and_notifying_need_the_lock(condition) -> None:
    with pytest.raises(RuntimeError, match="cannot wait"):
        condition.wait()
    with pytest.raises(RuntimeError, match="cannot notify"):
        condition.notify()
    with pytest.raises(RuntimeError, match="cannot notify"):
        condition.notify_all()


def test_the_time_of_a_wait_runs_out(condition) -> None:
    with condition:
        assert not condition.wait(0.001)
        assert not condition.wait(-1)
        assert not condition.wait_for(lambda: False, timeout=0.001)


def test_a_wait_for_a_predicate_gives_what_it_said(condition) -> None:
    values: list = []

    def work():
        with condition:
            return condition.wait_for(lambda: values, timeout=10)

    waiter = green.spawn(work)
    until(lambda: condition.waiting == 1)
    with condition:
        condition.notify()
    until(lambda: condition.waiting == 1)
    with condition:
        values.append(7)
        condition.notify()

    assert waiter.get() == [7]


def test_who_is_killed_while_it_waits_has_the_lock_in_its_finally(condition) -> None:
    seen = []

    def work():
        with condition:
            try:
                condition.wait()
            finally:
                seen.append(condition._is_owned())

    waiter = green.spawn(work)
    until(lambda: condition.waiting == 1)
    waiter.kill(block=True)

    assert seen == [True]


def test_who_is_killed_twice_while_it_waits_for_the_lock_gets_it_first() -> None:
    condition = green.Condition(green.Lock())
    seen = []

    def work():
        with condition:
            try:
                condition.wait()
            finally:
                seen.append("has it")

    waiter = green.spawn(work)
    until(lambda: condition.waiting == 1)
    with condition:
        condition.notify()
        until(lambda: condition._lock.waiting == 1)
        for _ in range(3):
            waiter.kill(KeyError)
            green.sleep(0)
        assert seen == []

    with pytest.raises(KeyError):
        waiter.get(timeout=10)
    assert seen == ["has it"]


@pytest.mark.parametrize("late", [False, True])
def test_a_notification_of_one_that_is_killed_goes_to_the_next(condition, late) -> None:
    order: list = []
    first, second = (green.spawn(waits(condition, order, name)) for name in range(2))
    until(lambda: condition.waiting == 2)

    with condition:
        condition.notify()
        if late:  # It waits for the lock by now.
            green.sleep(0)
            green.sleep(0)
        first.kill()

    assert second.get(timeout=10) is True
    assert order == [1]


def test_a_keyboard_interrupt_does_not_wait_for_the_lock() -> None:
    condition = green.Condition(green.Lock())
    ended = []

    def work():
        condition.acquire()
        try:
            condition.wait()
        except KeyboardInterrupt:
            ended.append(condition._lock.locked())

    waiter = green.spawn(work)
    until(lambda: condition.waiting == 1)
    with condition:
        condition.notify()
        until(lambda: condition._lock.waiting == 1)
        waiter.kill(KeyboardInterrupt, block=True)

    assert ended == [True]
    assert condition.waiting == 0


def test_the_conditions_of_threading_take_our_locks() -> None:
    for kind in (green.Lock, green.RLock):
        condition = threading.Condition(kind())
        went_on = []

        def work(condition=condition, went_on=went_on):
            with condition:
                went_on.append(condition.wait(10))

        thread = native(work)
        until(lambda condition=condition: condition._waiters)  # type: ignore[attr-defined]
        with condition:
            condition.notify_all()
        thread.join()

        assert went_on == [True]


@isolated
def test_conditions_take_the_locks_of_a_patched_threading() -> None:
    patch()
    for kind in (threading.Lock, threading.RLock):
        condition = green.Condition(kind())
        order: list = []
        first, second = (green.spawn(waits(condition, order, name)) for name in range(2))
        until(lambda condition=condition: condition.waiting == 2)
        with condition:
            condition.notify()
            green.sleep(0)
            green.sleep(0)
            first.kill()

        # Whether the kill comes now or at the next wait: the notification is not lost with it.
        first.join()
        notified = 0 if first.value is True else 1
        until(lambda order=order, notified=notified: order == [notified])
        with condition:
            condition.notify()
        assert second.get(timeout=10) is True


def test_a_bounded_buffer_of_greens_and_threads_loses_nothing() -> None:
    condition = green.Condition()
    buffer: list[int] = []
    taken: list[int] = []

    def put(first):
        for number in range(first, first + 100):
            with condition:
                condition.wait_for(lambda: len(buffer) < 3)
                buffer.append(number)
                condition.notify_all()

    def take():
        for _ in range(100):
            with condition:
                condition.wait_for(lambda: buffer)
                taken.append(buffer.pop(0))
                condition.notify_all()

    work = [native(put, 0), green.spawn(put, 100), green.spawn(take), native(take)]
    for each in work:
        each.join()

    assert sorted(taken) == list(range(200))
