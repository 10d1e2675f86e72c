"""Event: a flag that greens and native threads wait for."""

import threading

import pytest

import green


def test_a_set_event_does_not_let_wait_and_a_cleared_one_does() -> None:
    event = green.Event()

    assert not event.is_set()
    assert event.wait(timeout=0) is False
    event.set()
    assert event.is_set()
    assert event.wait() is True
    event.clear()
    assert event.wait(timeout=0.001) is False


def test_all_who_wait_are_woken_in_the_order_of_their_coming() -> None:
    event = green.Event()
    order = []

    def work(name):
        assert event.wait()
        order.append(name)

    greens = [green.spawn(work, name) for name in range(10)]
    green.sleep(0)
    event.set()
    for each in greens:
        each.get()

    assert order == list(range(10))


def test_who_was_woken_returns_true_though_the_event_is_cleared_again() -> None:
    event = green.Event()
    waiter = green.spawn(event.wait)
    green.sleep(0)

    event.set()
    event.clear()

    assert waiter.get(timeout=10) is True


def test_who_is_killed_while_waiting_is_forgotten() -> None:
    event = green.Event()
    waiter = green.spawn(event.wait)
    green.sleep(0)

    waiter.kill(block=True)
    event.set()

    assert event._turns == {}


def test_a_green_wakes_threads_and_a_thread_wakes_greens() -> None:
    asked, answered = green.Event(), green.Event()

    def answer():
        asked.wait()
        answered.set()

    threads = [threading.Thread(target=answer) for _ in range(4)]
    for thread in threads:
        thread.start()
    green.spawn(asked.set)

    assert answered.wait(timeout=10)
    for thread in threads:
        thread.join()


def test_no_set_is_missed_between_a_thread_and_a_green() -> None:
    there, back = green.Event(), green.Event()
    rounds = 10_000
    missed = []

    def answer():
        for _ in range(rounds):
            if not there.wait(timeout=10):
                missed.append("there")
                return
            there.clear()
            back.set()

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(rounds):
        there.set()
        if not back.wait(timeout=10):
            missed.append("back")
            break
        back.clear()
    thread.join()

    assert missed == []


def test_a_negative_timeout_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        green.Event().wait(timeout=-1)
