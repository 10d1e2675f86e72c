"""Semaphores: greens and native threads in one queue."""

import gc
import signal
import weakref

import pytest
from greens import native

import green


def let_wait(semaphore, count) -> None:
    """Lets others run until `count` wait."""
    while semaphore.waiting < count:
        green.sleep(0)


def test_what_is_there_is_taken_at_once_and_what_is_not_is_refused() -> None:
    semaphore = green.Semaphore(2)

    assert semaphore.acquire()
    assert semaphore.acquire(timeout=0)
    assert not semaphore.acquire(blocking=False)
    assert not semaphore.acquire(timeout=0)
    semaphore.release(n=3)
    assert semaphore.value == 3


def test_a_block_takes_one_and_gives_it_back() -> None:
    semaphore = green.Semaphore()

    with pytest.raises(KeyError), semaphore:
        assert semaphore.value == 0
        raise KeyError

    assert semaphore.value == 1


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        green.Semaphore(-1)
    semaphore = green.Semaphore()
    with pytest.raises(ValueError, match="one or more"):
        semaphore.release(0)
    with pytest.raises(ValueError, match="negative"):
        semaphore.acquire(timeout=-1)
    with pytest.raises(ValueError, match="timeout"):
        semaphore.acquire(blocking=False, timeout=1)


def test_a_bounded_semaphore_takes_back_no_more_than_it_gave() -> None:
    semaphore = green.BoundedSemaphore(2)

    semaphore.acquire()
    with pytest.raises(ValueError, match="too many"):
        semaphore.release(2)
    semaphore.release()
    with pytest.raises(ValueError, match="too many"):
        semaphore.release()

    assert semaphore.value == 2


def test_greens_are_served_in_the_order_of_their_coming() -> None:
    semaphore = green.Semaphore(0)
    order = []

    def work(name):
        with semaphore:
            order.append(name)

    greens = [green.spawn(work, name) for name in range(10)]
    let_wait(semaphore, 10)
    semaphore.release()
    for each in greens:
        each.join()

    assert order == list(range(10))
    assert semaphore.value == 1


def test_nobody_overtakes_who_has_been_handed_it_but_has_not_run() -> None:
    semaphore = green.Semaphore(0)
    waiter = green.spawn(semaphore.acquire)
    let_wait(semaphore, 1)

    semaphore.release()

    assert not semaphore.acquire(blocking=False)
    assert waiter.get()


def test_greens_and_threads_are_served_in_one_order() -> None:
    semaphore = green.Semaphore(0)
    taken = green.Semaphore(0)
    order = []

    def work(name):
        semaphore.acquire()
        order.append(name)
        taken.release()

    for name in range(8):
        (green.spawn if name % 2 else native)(work, name)
        let_wait(semaphore, name + 1)
    for _ in range(8):
        semaphore.release()
        assert taken.acquire(timeout=10)

    assert order == list(range(8))


def test_the_time_of_a_green_and_of_a_thread_runs_out() -> None:
    semaphore = green.Semaphore(0)
    answers = []

    assert green.spawn(semaphore.acquire, timeout=0.001).get() is False
    native(lambda: answers.append(semaphore.acquire(timeout=0.001))).join()
    semaphore.release()

    assert answers == [False]
    assert (semaphore.value, semaphore.waiting) == (1, 0)


def test_who_is_killed_while_waiting_leaves_the_queue() -> None:
    semaphore = green.Semaphore(0)
    first, second = (green.spawn(semaphore.acquire) for _ in range(2))
    let_wait(semaphore, 2)

    first.kill(block=True)
    semaphore.release()

    assert second.get(timeout=10)
    assert semaphore.value == 0


def test_who_is_killed_after_it_was_handed_one_hands_it_on() -> None:
    semaphore = green.Semaphore(0)
    first, second = (green.spawn(semaphore.acquire) for _ in range(2))
    let_wait(semaphore, 2)

    semaphore.release()
    first.kill()

    assert second.get(timeout=10)
    first.join()
    assert first.dead
    assert (semaphore.value, semaphore.waiting) == (0, 0)


def test_who_is_killed_last_gives_back_what_it_was_handed() -> None:
    semaphore = green.Semaphore(0)
    only = green.spawn(semaphore.acquire)
    let_wait(semaphore, 1)

    semaphore.release()
    only.kill(block=True)

    assert semaphore.value == 1


def test_a_timeout_is_raised_where_a_green_waits() -> None:
    semaphore = green.Semaphore(0)

    with pytest.raises(green.Timeout), green.Timeout(0.001):
        semaphore.acquire()

    assert semaphore.waiting == 0


def test_a_thread_and_a_green_hand_over_ten_thousand_times() -> None:
    there, back = green.Semaphore(0), green.Semaphore(0)
    rounds = 10_000

    def answer():
        for _ in range(rounds):
            there.acquire()
            back.release()

    def ask():
        for _ in range(rounds):
            there.release()
            back.acquire()
        return "done"

    thread = native(answer)

    assert green.spawn(ask).get(timeout=60) == "done"
    thread.join()
    assert (there.value, back.value) == (0, 0)


def test_greens_of_two_threads_hand_over() -> None:
    there, back = green.Semaphore(0), green.Semaphore(0)

    def answer():
        for _ in range(1000):
            there.acquire()
            back.release()

    thread = native(lambda: green.spawn(answer).get())
    for _ in range(1000):
        there.release()
        assert back.acquire(timeout=10)

    thread.join()


def test_many_of_both_kinds_lose_nothing_when_their_time_is_short() -> None:
    semaphore = green.Semaphore(3)
    inside = []

    def work():
        for turn in range(200):
            if semaphore.acquire(timeout=0.00001 * (turn % 7)):
                inside.append(1)
                assert len(inside) <= 3
                inside.pop()
                semaphore.release()

    threads = [native(work) for _ in range(4)]
    greens = [green.spawn(work) for _ in range(20)]
    for each in greens:
        each.get()
    for thread in threads:
        thread.join()

    assert (semaphore.value, semaphore.waiting) == (3, 0)


def test_a_signal_handler_may_release_what_the_main_program_waits_for() -> None:
    semaphore = green.Semaphore(0)
    old = signal.signal(signal.SIGALRM, lambda *_: semaphore.release())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert semaphore.acquire(timeout=10)
    finally:
        signal.signal(signal.SIGALRM, old)


def test_a_semaphore_that_its_own_link_refers_to_is_collected() -> None:
    class Linked(green.Semaphore):
        pass

    semaphore = Linked(0)
    semaphore.rawlink(lambda _, keep=semaphore: None)
    gone = weakref.ref(semaphore)

    del semaphore
    gc.collect()

    assert gone() is None


def test_a_class_that_derives_from_it_takes_what_it_likes() -> None:
    class Named(green.Semaphore):
        def __init__(self, name: str, value: int = 1) -> None:
            super().__init__(value)
            self.name = name

    named = Named("two", 2)

    assert (named.name, named.value) == ("two", 2)
    assert named.acquire()
    assert named.acquire()
    assert not named.acquire(blocking=False)


def test_one_that_is_made_anew_serves_those_who_wait() -> None:
    semaphore = green.Semaphore(0)
    waiting = [green.spawn(semaphore.acquire) for _ in range(2)]
    green.sleep(0)

    semaphore.__init__(3)  # type: ignore[misc]

    assert semaphore.value == 1
    assert [each.get() for each in waiting] == [True, True]
    assert semaphore.acquire(blocking=False)
    assert not semaphore.acquire(blocking=False)
