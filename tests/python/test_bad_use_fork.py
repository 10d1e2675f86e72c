"""What a forked child may still do with what its parent left it. Each test in a process of its own.

The child has none of the parent's greens. They are done there, so nobody waits for them in vain,
and whoever forked goes on as it was.
"""

import os
import threading

import pytest
from greens import fork, in_child
from leaks import once
from patched import isolated, start_natively
from sanitized import NO_LEAK_CHECK

import green
from green import debug

SECONDS = 10.0  # Which no wait here comes near to.


def parents_greens() -> list[green.Green]:
    """One that waits, one that has not begun, and one whose time has not come."""
    waiting = green.spawn(green.sleep, SECONDS)
    green.sleep(0)
    return [waiting, green.spawn(print), green.spawn_later(SECONDS, print)]


@isolated
def test_the_parents_greens_are_done_in_the_child_and_go_on_in_the_parent() -> None:
    def look(greens: list[green.Green]) -> bool:
        assert [each.dead for each in greens] == [True] * 3
        assert green.joinall(greens, timeout=SECONDS) == greens
        for each in greens:
            with pytest.raises(RuntimeError, match="stayed in the parent"):
                each.get()
            each.kill(block=True)
        me = green.getcurrent()
        assert [each.green for each in debug.greens()] == [me]
        return green.spawn(lambda: True).get() is True

    def check() -> None:
        greens = parents_greens()
        assert in_child(lambda: look(greens))
        assert [each.dead for each in greens] == [False] * 3
        green.killall(greens)

    check()
    green.spawn(check).get()


@isolated(**NO_LEAK_CHECK)
@once("a green that its thread leaves behind stays")
def test_the_greens_of_the_parents_native_threads_are_done_as_well() -> None:
    kept: list[green.Green] = []
    ready, end = green.Event(), green.Event()

    def work() -> None:
        kept.extend([green.spawn(green.sleep, SECONDS), green.getcurrent()])
        ready.set()
        end.wait()

    helper = green.spawn(green.native.call, work)
    ready.wait()
    assert in_child(lambda: all(each.dead for each in kept))
    assert not any(each.dead for each in kept)
    end.set()
    helper.join()


@isolated
def test_what_was_linked_to_the_parents_greens_is_not_told_in_the_child() -> None:
    told: list[green.Green] = []
    greens = parents_greens()
    for each in greens:
        each.link(told.append)
        each.rawlink(told.append)

    assert in_child(lambda: green.sleep(0) is None and told == [])
    green.killall(greens)
    green.sleep(0)
    assert len(told) == 6


@isolated
def test_the_places_of_a_pool_are_free_in_the_child() -> None:
    pool = green.Pool(2)
    for _ in range(2):
        pool.spawn(green.sleep, SECONDS)

    def use() -> bool:
        assert (len(pool), pool.free_count(), pool.join(SECONDS)) == (0, 2, True)
        return pool.map(abs, [-1, -2, -3]) == [1, 2, 3]

    assert in_child(use)
    assert len(pool) == 2
    pool.kill()


@isolated
def test_a_timeout_that_counts_when_its_green_forks_ends_the_wait_of_the_child() -> None:
    def wait() -> bool:
        with green.Timeout(0.05) as timeout:
            if child := fork():
                timeout.cancel()
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            try:
                green.sleep(SECONDS)
            except green.Timeout as raised:
                os._exit(0 if raised is timeout else 2)
            os._exit(1)

    assert wait()
    assert green.spawn(wait).get()


@isolated
def test_what_is_on_its_way_to_the_green_that_forks_is_raised_in_both() -> None:
    def wait() -> bool:
        thread = threading.Thread(target=green.getcurrent().throw, args=(ValueError(),))
        start_natively(thread)
        with green.blocking():
            thread.join()
        child = fork()
        try:
            green.sleep(SECONDS)
        except ValueError:
            if child == 0:
                os._exit(0)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            if child == 0:
                os._exit(1)
        return False

    assert wait()
    assert green.spawn(wait).get()


@isolated
def test_whoever_forked_is_the_same_green_in_the_child_and_can_be_killed_there() -> None:
    def look() -> bool:
        assert green.getcurrent() is me
        green.spawn(me.throw, ValueError())
        with pytest.raises(ValueError):
            green.sleep(SECONDS)
        return True

    me = green.getcurrent()
    assert in_child(look)

    def work() -> bool:
        nonlocal me
        me = green.getcurrent()
        return in_child(look)

    assert green.spawn(work).get()


@isolated
def test_what_a_green_of_the_parent_holds_stays_held_in_the_child_as_a_threads_does() -> None:
    locks = [green.Lock(), green.RLock(), green.Semaphore()]

    def hold() -> None:
        with locks[0], locks[1], locks[2]:
            green.sleep(SECONDS)

    holder = green.spawn(hold)
    green.sleep(0)

    assert in_child(lambda: [each.acquire(timeout=0.01) for each in locks] == [False] * 3)
    holder.kill(block=True)
    assert [each.acquire(timeout=0) for each in locks] == [True] * 3


@isolated
def test_who_waits_in_the_parent_takes_nothing_in_the_child() -> None:
    semaphore, queue, event = green.Semaphore(0), green.Queue[int](), green.Event()
    waiting = [green.spawn(each) for each in (semaphore.acquire, queue.get, event.wait)]
    green.sleep(0)

    def use() -> bool:
        semaphore.release()
        queue.put(1)
        event.set()
        return (semaphore.value, semaphore.waiting, queue.get(timeout=SECONDS)) == (1, 0, 1)

    assert in_child(use)
    assert semaphore.waiting == 1
    green.killall(waiting)


@isolated
def test_greens_that_wait_for_a_condition_in_the_parent_are_not_notified_in_the_child() -> None:
    condition = green.Condition()

    def wait() -> bool:
        with condition:
            return condition.wait(SECONDS)

    def use() -> bool:
        assert condition.waiting == 0
        mine = green.spawn(wait)
        green.sleep(0)
        with condition:
            condition.notify()
        return mine.get()

    parents = green.spawn(wait)
    green.sleep(0)

    assert in_child(use)
    parents.kill(block=True)
