"""Greens and native threads that are not their own: who may call what, what ends with a thread."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from greens import native, until
from leaks import once
from nothing_left import nothing_left  # noqa: F401
from patched import isolated, start_natively
from sanitized import NO_LEAK_CHECK

import green
from green import debug

SECONDS = 10.0  # Which no wait here comes near to.


def on_ended_thread(function: Callable[[], Any]) -> Any:
    """What function() returns on a native thread, which has ended then."""
    results: list[Any] = []
    native(lambda: results.append(function())).join()
    return results[0]


def left_behind() -> list[green.Green]:
    """One that waits, and one that has not begun."""
    waiting = green.spawn(green.sleep, SECONDS)
    green.sleep(0)
    return [waiting, green.spawn(print)]


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_greens_that_their_thread_leaves_behind_are_done_by_an_error_that_says_so() -> None:
    greens = on_ended_thread(left_behind)

    assert [each.dead for each in greens] == [True] * 2
    for each in greens:
        each.join()
        each.kill(block=True)
        with pytest.raises(RuntimeError, match="native thread of this green has ended"):
            each.get()
    assert not {each.green for each in debug.greens()} & set(greens)


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_who_waits_for_a_green_whose_thread_ends_is_woken() -> None:
    spawned, end = green.AsyncResult(), green.Event()

    def work() -> None:
        spawned.set(green.spawn(green.sleep, SECONDS))
        end.wait()

    thread = native(work)
    waiting = green.spawn(spawned.get().join)
    told: list[green.Green] = []
    spawned.get().rawlink(told.append)
    spawned.get().link(told.append)
    green.sleep(0)
    assert not waiting.dead

    end.set()
    waiting.join(SECONDS)
    thread.join()
    assert waiting.dead
    assert told == [spawned.get()] * 2
    with pytest.raises(RuntimeError):
        spawned.get().get()


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_the_place_in_a_pool_of_a_green_whose_thread_has_ended_is_free() -> None:
    pool = green.Pool(1)
    on_ended_thread(lambda: pool.spawn(green.sleep, SECONDS) and green.sleep(0))

    assert (len(pool), pool.free_count()) == (0, 1)


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_what_a_green_left_behind_waited_for_goes_to_whoever_comes_next() -> None:
    green.monkey_patch()
    semaphore, lock, queue = green.Semaphore(0), green.Lock(), green.Queue[int](1)
    condition, threads_lock = green.Condition(), threading.Lock()
    lock.acquire()
    threads_lock.acquire()

    def wait_in_condition() -> bool:
        with condition:
            return condition.wait(SECONDS)

    waits = [semaphore.acquire, lock.acquire, queue.get, threads_lock.acquire, wait_in_condition]

    def leave() -> None:
        for each in waits:
            green.spawn(each)
        green.sleep(0)

    thread = threading.Thread(target=leave)
    start_natively(thread)
    with green.blocking():
        thread.join()
    assert (semaphore.waiting, lock.waiting, queue.getting()) == (0, 0, 0)
    others = [green.spawn(each) for each in waits]
    green.sleep(0)
    semaphore.release()
    lock.release()
    queue.put(1)
    threads_lock.release()
    assert condition.waiting == 1
    with condition:
        condition.notify()

    assert len(green.joinall(others, SECONDS)) == len(others)
    assert [each.get() for each in others] == [True, True, 1, True, True]


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_a_descriptor_that_greens_left_behind_read_is_read_by_the_next_and_may_be_closed() -> None:
    green.monkey_patch()
    import os
    import socket

    ours, theirs = socket.socketpair()
    read, write = os.pipe()

    def leave() -> None:
        for _ in range(2):  # The second stands in line behind the first.
            green.spawn(theirs.recv, 1)
            green.spawn(os.read, read, 1)
        green.sleep(0)

    thread = threading.Thread(target=leave)
    start_natively(thread)
    with green.blocking():
        thread.join()
    next_ones = [green.spawn(theirs.recv, 1), green.spawn(os.read, read, 1)]
    green.sleep(0)
    ours.send(b"x")
    os.write(write, b"y")

    assert [each.get(SECONDS) for each in next_ones] == [b"x", b"y"]
    with green.Timeout(SECONDS):
        theirs.close()
        os.close(read)
    ours.close()
    os.close(write)


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_a_green_left_behind_that_nobody_waits_for_is_reported() -> None:
    reported: list[Any] = []
    import sys

    sys.unraisablehook = lambda each: reported.append(str(each.exc_value))
    on_ended_thread(lambda: green.spawn(green.sleep, SECONDS) and green.sleep(0))

    assert reported == ["the native thread of this green has ended"]


def test_a_native_thread_may_throw_at_wait_for_and_link_to_a_green_of_another() -> None:
    linked_on = green.AsyncResult()

    def work() -> str:
        try:
            green.sleep(SECONDS)
        except ValueError:
            return "caught"
        return "never"

    def meddle() -> None:
        worker.link(lambda _: linked_on.set(threading.get_native_id()))
        worker.throw(ValueError())
        results.put(worker.get(SECONDS))

    results = green.Queue[str]()
    worker = green.spawn(work)
    green.sleep(0)
    thread = native(meddle)

    assert results.get(timeout=SECONDS) == "caught"
    assert linked_on.get(SECONDS) == threading.get_native_id()
    thread.join()


def test_a_timeout_may_be_cancelled_by_another_thread_and_then_counts_no_more() -> None:
    timeout = green.Timeout(0.01)
    native(timeout.cancel).join()
    assert not timeout.pending
    green.sleep(0.02)


def test_a_timeout_that_another_thread_starts_again_is_that_threads() -> None:
    timeout = green.Timeout(0.01)
    caught: list[BaseException] = []

    def take_over() -> None:
        timeout.start()
        try:
            green.sleep(SECONDS)
        except green.Timeout as raised:
            caught.append(raised)

    native(take_over).join()
    green.sleep(0.02)
    assert caught == [timeout]


def test_a_lock_that_is_not_the_callers_is_not_released() -> None:
    lock, condition = green.RLock(), green.Condition()
    lock.acquire()
    wrong = [lock.release, condition.notify, condition.wait, condition.release]
    wrong += [green.Lock().release]

    def release_all() -> None:
        for each in wrong:
            with pytest.raises(RuntimeError, match=r"un-acquired|unlocked"):
                each()

    green.spawn(release_all).get()
    checked = green.AsyncResult()
    native(lambda: checked.set(release_all()))
    checked.get(SECONDS)
    lock.release()


@pytest.mark.parametrize("made", [green.Lock, green.RLock, green.Semaphore, green.Condition])
def test_a_green_killed_inside_with_lets_go_and_one_that_only_acquired_does_not(
    made: Callable[[], Any],
) -> None:
    def use(lock: Any) -> None:
        with lock:
            green.sleep(SECONDS)

    def only_acquire(lock: Any) -> None:
        lock.acquire()
        green.sleep(SECONDS)

    for function, free in ((use, True), (only_acquire, False)):
        lock = made()
        holder = green.spawn(function, lock)
        green.sleep(0)
        holder.kill(block=True)
        assert lock.acquire(timeout=0) is free


@isolated
def test_threading_s_locks_are_let_go_by_a_killed_green_in_the_same_way() -> None:
    green.monkey_patch()
    import queue

    def use(lock: Any) -> None:
        with lock:
            green.sleep(SECONDS)

    for made in (threading.Lock, threading.RLock, threading.Semaphore, threading.Condition):
        lock = made()
        holder = green.spawn(use, lock)
        green.sleep(0)
        holder.kill(block=True)
        assert lock.acquire(timeout=1)

    items: queue.Queue[int] = queue.Queue()
    waiting = green.spawn(items.get)
    green.sleep(0)
    waiting.kill(block=True)
    items.put(1)
    assert items.get(timeout=1) == 1


@isolated
def test_a_green_killed_in_a_condition_takes_the_lock_back_before_it_ends() -> None:
    green.monkey_patch()
    for condition in (threading.Condition(), green.Condition()):

        def wait() -> None:
            with condition:  # noqa: B023
                condition.wait()  # noqa: B023

        waiting = green.spawn(wait)
        green.sleep(0)
        with condition:
            waiting.kill()
            green.sleep(0)
            assert not waiting.dead
        waiting.join()
        assert isinstance(waiting.value, green.GreenExit)
        assert condition.acquire(timeout=1)


def test_a_green_cannot_wait_for_itself_in_any_way() -> None:
    def wait(method: str) -> None:
        getattr(green.getcurrent(), method)()

    for method in ("join", "get"):
        with pytest.raises(RuntimeError, match="own end"):
            green.spawn(wait, method).get()
        with pytest.raises(RuntimeError, match="own end"):
            wait(method)


def test_killall_of_one_that_will_not_end_gives_up_in_time() -> None:
    stubborn = True

    def stay() -> None:
        while stubborn:
            with contextlib.suppress(green.GreenExit):
                green.sleep(SECONDS)

    staying = green.spawn(stay)
    green.sleep(0)
    with pytest.raises(green.Timeout):
        green.killall([staying], timeout=0.01)
    stubborn = False
    staying.kill(block=True)
    until(lambda: staying.dead)
