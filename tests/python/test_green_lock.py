"""Locks: greens and native threads in one line."""

import os
import signal
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from greens import fork, in_child, native, until
from patched import isolated, patch, together

import green

KINDS = [green.Lock, green.RLock]


@pytest.fixture(params=KINDS)
def lock(request: pytest.FixtureRequest) -> Iterator[Any]:
    lock = request.param()
    yield lock
    assert (lock.waiting, lock.locked()) == (0, False)


def test_a_free_lock_is_taken_and_a_held_one_refused(lock) -> None:
    assert lock.acquire()

    assert lock.locked()
    assert green.spawn(lock.acquire, False).get() is False
    assert green.spawn(lock.acquire, blocking=False).get() is False
    assert green.spawn(lock.acquire, timeout=0).get() is False
    lock.release()
    assert not lock.locked()
    assert green.spawn(lambda: (lock.acquire(True, -1), lock.release())).get() == (True, None)


def test_arguments_are_refused_as_threading_refuses_them(lock) -> None:
    with pytest.raises(ValueError):
        lock.acquire(False, 1)
    with pytest.raises(ValueError):
        lock.acquire(timeout=-2)
    with pytest.raises(TypeError):
        lock.acquire(timeout="1")
    with pytest.raises(TypeError, match="patience"):
        lock.acquire(patience=1)
    with pytest.raises(TypeError, match="two values"):
        lock.acquire(True, blocking=True)
    with pytest.raises(TypeError, match="at most 2"):
        lock.acquire(True, 1, 1)
    with pytest.raises(TypeError, match="no arguments"):
        type(lock)(1)


def test_who_does_not_hold_it_cannot_release_it(lock) -> None:
    with pytest.raises(RuntimeError):
        lock.release()
    with pytest.raises(RuntimeError):
        lock.__exit__(None, None, None)


def test_a_block_gives_it_back(lock) -> None:
    with pytest.raises(KeyError), lock:
        assert lock.locked()
        raise KeyError


def test_greens_and_threads_get_it_in_the_order_of_their_coming(lock) -> None:
    order = []
    done = green.Semaphore(0)

    def work(name):
        with lock:
            order.append(name)
        done.release()

    lock.acquire()
    for name in range(8):
        (green.spawn if name % 2 else native)(work, name)
        until(lambda name=name: lock.waiting == name + 1)
    lock.release()
    for _ in range(8):
        assert done.acquire(timeout=10)

    assert order == list(range(8))


def test_who_releases_and_takes_again_does_not_overtake(lock) -> None:
    order = []

    def work():
        with lock:
            order.append("waiter")

    lock.acquire()
    waiter = green.spawn(work)
    until(lambda: lock.waiting == 1)
    lock.release()
    assert not lock.acquire(blocking=False)
    with lock:
        order.append("main")

    waiter.join()
    assert order == ["waiter", "main"]


def test_the_time_of_a_green_and_of_a_thread_runs_out(lock) -> None:
    answers = []
    with lock:
        answers.append(green.spawn(lock.acquire, timeout=0.001).get())
        native(lambda: answers.append(lock.acquire(timeout=0.001))).join()

    assert answers == [False, False]


def test_a_killed_waiter_does_not_get_it(lock) -> None:
    lock.acquire()
    first, second = (green.spawn(lambda: lock.acquire() and lock.release()) for _ in range(2))
    until(lambda: lock.waiting == 2)

    first.kill(block=True)
    lock.release()

    second.get(timeout=10)


@pytest.mark.parametrize("others", [0, 1])
def test_who_is_killed_after_it_was_handed_over_hands_it_on(lock, others) -> None:
    lock.acquire()
    first = green.spawn(lock.acquire)
    rest = [green.spawn(lambda: lock.acquire() and lock.release()) for _ in range(others)]
    until(lambda: lock.waiting == 1 + others)

    lock.release()
    first.kill(block=True)

    for each in rest:
        each.get(timeout=10)


def test_a_timeout_is_raised_in_who_waits(lock) -> None:
    def wait():
        with pytest.raises(green.Timeout), green.Timeout(0.001):
            lock.acquire()

    with lock:
        green.spawn(wait).get()


@pytest.mark.parametrize("kind", KINDS)
def test_many_of_both_kinds_exclude_each_other_whoever_is_killed(kind) -> None:
    lock = kind()
    inside: list[int] = []
    rounds = []

    def work():
        for turn in range(200):
            if lock.acquire(timeout=0.00001 * (turn % 7)):
                inside.append(1)
                assert len(inside) == 1
                if turn % 3 == 0:
                    green.sleep(0)
                inside.pop()
                lock.release()
            rounds.append(1)

    def wait():
        with lock:
            pass

    threads = [native(work) for _ in range(4)]
    greens = [green.spawn(work) for _ in range(10)]
    for _ in range(200):
        victim = green.spawn(wait)
        green.sleep(0)
        victim.kill()
    for each in greens:
        each.get()
    for thread in threads:
        thread.join()

    assert len(rounds) == 14 * 200
    until(lambda: lock.waiting == 0 and not lock.locked())


def test_locks_can_be_referred_to_weakly_and_derived_from(lock) -> None:
    class Named(type(lock)):
        def __init__(self, name) -> None:
            self.name = name

    named = Named("n")
    seen = weakref.ref(named)

    with named:
        assert named.name == "n"
    del named
    assert seen() is None


def test_a_plain_lock_may_be_released_by_anybody() -> None:
    lock = green.Lock()
    lock.acquire()

    native(lock.release).join()
    lock.acquire()
    green.spawn(lock.release).get()

    assert not lock.locked()


def test_an_rlock_is_taken_again_by_its_owner_only() -> None:
    lock = green.RLock()
    answers = []

    with lock, lock:
        assert lock._recursion_count() == 2
        answers.append(green.spawn(lock.acquire, False).get())
        native(lambda: answers.append(lock.acquire(False))).join()
        with pytest.raises(RuntimeError):
            green.spawn(lock.release).get()
        assert lock._is_owned()
        assert not green.spawn(lock._is_owned).get()

    assert answers == [False, False]
    assert not lock.locked()
    assert not lock._is_owned()


def test_an_rlock_handed_over_belongs_to_the_one_that_got_it() -> None:
    lock = green.RLock()
    lock.acquire()

    def work():
        with lock, lock:
            return lock._is_owned()

    waiter = green.spawn(work)
    until(lambda: lock.waiting == 1)
    lock.release()

    assert not lock._is_owned()
    with pytest.raises(RuntimeError):
        lock.release()
    assert waiter.get(timeout=10)


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_fork_nobody_waits_and_who_forked_still_holds_it(kind) -> None:
    lock = kind()

    def child():
        lock.release()
        return lock.acquire(False) and lock.waiting == 0

    def work():
        with lock:
            return in_child(child)

    lock.acquire()
    waiter = green.spawn(work)
    until(lambda: lock.waiting == 1)
    assert in_child(child)
    lock.release()

    assert waiter.get(timeout=10)


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_fork_a_lock_of_another_green_is_held_until_it_is_made_new(kind) -> None:
    lock, go_on = kind(), green.Semaphore(0)

    def work():
        with lock:
            go_on.acquire()

    holder = green.spawn(work)
    until(lambda: go_on.waiting == 1)

    def child():
        refused = not lock.acquire(False)
        lock._at_fork_reinit()
        return refused and lock.acquire(False)

    assert in_child(child)
    go_on.release()
    holder.join()


@isolated
def test_after_a_fork_a_thread_that_is_a_green_still_holds_its_lock() -> None:
    patch()
    lock = green.RLock()

    def child() -> bool:
        lock.release()
        return bool(lock.acquire(False))

    def work() -> bool:
        with lock:
            return in_child(child)

    assert together(work) == [True]


def test_after_forks_in_a_row_who_forked_still_holds_its_lock() -> None:
    lock, others = green.RLock(), green.RLock()

    def grandchild() -> bool:
        lock.release()
        return bool(lock.acquire(False)) and not others.acquire(False)

    def work() -> bool:
        with lock:
            return in_child(lambda: in_child(grandchild))

    def hold() -> None:
        with others:
            green.sleep(10)

    holder = green.spawn(hold)
    assert green.spawn(work).get(timeout=10)
    holder.kill()


def test_a_child_forked_by_a_handler_inside_a_wait_waits_on() -> None:
    lock = green.Lock()
    children = []

    def handler(number, frame):
        children.append(fork())

    old = signal.signal(signal.SIGALRM, handler)
    lock.acquire()
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        refused = not lock.acquire(timeout=0.1)
        waited = time.monotonic() - start >= 0.1
        if children[0] == 0:
            os._exit(7 if refused and waited and lock.waiting == 0 and lock.locked() else 1)
    finally:
        if children[0] == 0:
            os._exit(2)
        signal.signal(signal.SIGALRM, old)

    assert refused
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7


@isolated
def test_a_signal_handler_may_release_what_a_program_without_greens_waits_for() -> None:
    lock = green.Lock()
    lock.acquire()
    signal.signal(signal.SIGALRM, lambda number, frame: lock.release())

    signal.setitimer(signal.ITIMER_REAL, 0.01)

    assert lock.acquire()
    assert green._core.debug_counts() == {}
