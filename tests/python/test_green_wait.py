"""wait() and iwait() over whatever can be waited for, joinall(), killall() and with_timeout()."""

import functools
import gc
import sys
import threading

import pytest
from workers import fail

import green
from green.waiting import Arrivals


def links_left() -> int:
    """How many have waited and are still linked: their links keep these alive."""
    gc.collect()
    return sum(isinstance(each, Arrivals) for each in gc.get_objects())


# --- wait and iwait


def test_all_kinds_are_given_as_they_become_ready() -> None:
    event, result, semaphore = green.Event(), green.AsyncResult(), green.Semaphore(0)
    sleeper = green.spawn(green.sleep, 100)
    given = []

    def gather():
        given.extend(green.iwait([event, result, semaphore, sleeper, event]))

    gatherer = green.spawn(gather)
    for make_ready in (semaphore.release, sleeper.kill, result.set, event.set):
        green.sleep(0)
        make_ready()
    gatherer.get(timeout=10)

    assert given == [semaphore, sleeper, result, event]
    assert semaphore.value == 1  # Nothing was taken.


def test_what_is_ready_already_is_given_without_waiting() -> None:
    event, result = green.Event(), green.AsyncResult()
    event.set()
    result.set_exception(KeyError())
    done = green.spawn(int)
    done.join()

    ready = green.wait([event, result, green.Semaphore(), done, green.Event()], timeout=0)

    assert ready[:2] == [event, result]
    assert len(ready) == 4


def test_only_so_many_as_are_asked_for_are_waited_for() -> None:
    events = [green.Event() for _ in range(5)]
    waiter = green.spawn(green.wait, events, count=2)
    green.sleep(0)

    events[3].set()
    events[1].set()

    assert waiter.get(timeout=10) == [events[3], events[1]]
    assert green.wait(events, count=0) == []
    assert green.wait([]) == []


def test_a_timeout_ends_the_wait_with_what_is_ready_by_then() -> None:
    events = [green.Event() for _ in range(3)]
    events[1].set()

    assert green.wait(events, timeout=0.005) == [events[1]]
    assert list(green.iwait(events[:1], timeout=0)) == []
    with pytest.raises(ValueError, match="negative"):
        green.wait(events, timeout=-1)
    with pytest.raises(ValueError, match="negative"):
        green.iwait(events, timeout=float("nan"))


def test_the_clock_of_iwait_counts_from_its_call() -> None:
    events = [green.Event(), green.Event()]
    events[0].set()

    waiting = green.iwait(events, timeout=0.001)
    assert next(waiting) is events[0]
    green.sleep(0.005)
    events[1].set()

    assert list(waiting) == [events[1]]  # Ready counts, however late it is asked for.
    assert list(green.iwait([green.Event()], timeout=0.001)) == []


def test_what_has_no_links_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="cannot wait for 7"):
        green.wait([green.Event(), 7])


def test_an_event_that_is_cleared_after_it_was_set_is_given_all_the_same() -> None:
    event = green.Event()
    waiter = green.spawn(green.wait, [event])
    green.sleep(0)

    event.set()
    event.clear()

    assert waiter.get(timeout=10) == [event]


class Door(green.linked.Linked):
    """An object of a program's own."""

    open = False

    def _is_ready(self):
        return self.open

    def unlock(self) -> None:
        self.open = True
        self._tell_links()


def test_objects_of_ones_own_take_part() -> None:
    door, event = Door(), green.Event()
    waiter = green.spawn(green.wait, [event, door], count=1)
    green.sleep(0)

    door.unlock()

    assert waiter.get(timeout=10) == [door]


def test_links_of_every_kind_are_called_though_one_of_them_fails(monkeypatch) -> None:
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_value))
    called = []

    for make_ready in (
        green.Event().set,
        green.AsyncResult().set,
        functools.partial(green.AsyncResult().set_exception, KeyError()),
        green.Semaphore(0).release,
    ):
        linked = getattr(make_ready, "func", make_ready).__self__
        linked.rawlink(lambda _: fail(KeyError("why")))
        linked.rawlink(called.append)
        linked.rawlink(print)
        linked.unlink(print)
        linked.unlink(print)
        make_ready()
        assert called.pop() is linked
        assert str(reports.pop()) == "'why'"

    assert called == reports == []


class Unhashable(list):
    """One that is told by being called, and that no dict takes as a key."""

    __call__ = list.append


@pytest.mark.parametrize("kind", ["event", "result", "semaphore", "queue", "green"])
def test_a_callback_is_called_once_for_each_of_its_links(kind) -> None:
    linked, make_ready = {
        "event": lambda: (made := green.Event(), made.set),
        "result": lambda: (made := green.AsyncResult(), made.set),
        "semaphore": lambda: (made := green.Semaphore(0), made.release),
        "queue": lambda: (made := green.Queue(), lambda: made.put(1)),
        "green": lambda: (made := green.spawn(int), made.join),
    }[kind]()
    called = Unhashable()
    for _ in range(3):
        linked.rawlink(called)

    linked.unlink(called)
    make_ready()

    assert called == [linked, linked]


@pytest.mark.parametrize("how", ["killed", "timed out", "abandoned", "enough"])
def test_who_stops_waiting_leaves_no_link_behind(how) -> None:
    objects = [green.Event(), green.AsyncResult(), green.Semaphore(0), Door()]
    objects.append(green.spawn(green.sleep, 100))
    ready = green.Event()
    ready.set()

    if how == "killed":
        waiter = green.spawn(green.wait, objects)
        green.sleep(0)
        waiter.kill(block=True)
        del waiter  # Its GreenExit has a traceback, and so all that was on its stack.
    elif how == "timed out":
        green.wait(objects, timeout=0.001)
    elif how == "abandoned":
        assert next(green.iwait([ready, *objects])) is ready
    else:
        assert green.wait([*objects, ready], count=1) == [ready]

    assert links_left() == 0
    objects[-1].kill(block=True)


def test_links_are_there_while_somebody_waits() -> None:
    waiter = green.spawn(green.wait, [green.Event()])
    green.sleep(0)

    assert links_left() == 1  # Or the test above would see nothing.

    waiter.kill(block=True)


def test_several_waiters_are_all_woken_by_one_object() -> None:
    event, never = green.Event(), green.Event()
    waiters = [green.spawn(green.wait, [never, event], count=1) for _ in range(100)]
    green.sleep(0)

    event.set()

    assert [each.get(timeout=10) for each in waiters] == [[event]] * 100


def test_who_is_killed_after_being_woken_does_not_take_the_others_turn() -> None:
    event = green.Event()
    waiters = [green.spawn(green.wait, [event]) for _ in range(3)]
    green.sleep(0)

    event.set()
    waiters[0].kill()

    assert [each.get(timeout=10) for each in waiters[1:]] == [[event]] * 2
    assert isinstance(waiters[0].get(timeout=10), (green.GreenExit, list))


def test_threads_wait_for_greens_and_greens_for_what_threads_make_ready() -> None:
    event, result = green.Event(), green.AsyncResult()
    target = green.spawn(event.wait)
    seen = []

    def work():
        seen.extend(green.wait([target, event]))
        result.set()

    thread = threading.Thread(target=work)
    thread.start()
    event.set()

    assert green.wait([result], timeout=20) == [result]
    assert set(seen) == {target, event}
    thread.join()


def test_no_arrival_is_missed_between_threads() -> None:
    rounds = 2000
    pairs = [(green.AsyncResult(), green.Event()) for _ in range(rounds)]

    def make_ready():
        for result, event in pairs:
            event.set()
            result.set()

    thread = threading.Thread(target=make_ready)
    thread.start()
    missed = [pair for pair in pairs if len(green.wait(pair, timeout=20)) != 2]
    thread.join()

    assert missed == []


# --- joinall and killall


def test_joinall_gives_the_greens_as_they_end() -> None:
    slow, fast, stuck = (green.spawn(green.sleep, seconds) for seconds in (0.02, 0.001, 100))

    assert green.joinall([slow, fast]) == [fast, slow]
    assert green.joinall([slow, stuck], timeout=0.001) == [slow]
    stuck.kill(block=True)


def test_joinall_raises_the_first_error_when_asked_to_and_leaves_the_rest_running() -> None:
    stuck = green.spawn(green.sleep, 100)
    failing = green.spawn(fail, KeyError("why"))

    with pytest.raises(KeyError, match="why"):
        green.joinall([stuck, failing], raise_error=True)

    assert not stuck.dead
    stuck.kill(block=True)


def test_joinall_without_raising_is_no_complaint_about_errors(monkeypatch) -> None:
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    green.joinall([green.spawn(fail, KeyError("why"))])
    gc.collect()

    assert reports == []


def test_killall_waits_for_the_ends() -> None:
    ended = []

    def work():
        try:
            green.sleep(100)
        finally:
            green.sleep(0)
            ended.append(green.getcurrent())

    greens = [green.spawn(work) for _ in range(3)]
    green.sleep(0)
    unstarted = green.spawn(ended.append, "started")
    later = green.spawn_later(100, ended.append, "started")

    green.killall([*greens, unstarted, later], timeout=20)

    assert ended == greens
    assert unstarted.dead
    assert later.dead


def test_killall_without_blocking_returns_at_once() -> None:
    target = green.spawn(green.sleep, 100)
    green.sleep(0)

    green.killall([target], KeyError("why"), block=False)

    assert not target.dead
    with pytest.raises(KeyError, match="why"):
        target.get(timeout=10)


def test_killall_raises_timeout_when_one_does_not_die() -> None:
    go = green.Event()

    def stubborn():
        try:
            green.sleep(100)
        except green.GreenExit:
            go.wait()

    target = green.spawn(stubborn)
    green.sleep(0)

    with pytest.raises(green.Timeout):
        green.killall([target], timeout=0.005)

    go.set()
    target.join()


def test_who_kills_itself_among_others_goes_last() -> None:
    greens = []

    def work():
        green.killall(greens)

    greens.append(green.spawn(work))
    greens.append(green.spawn(green.sleep, 100))

    assert isinstance(greens[0].get(timeout=10), green.GreenExit)
    assert greens[1].dead


# --- with_timeout


def test_a_function_that_is_quick_returns_its_value() -> None:
    assert green.with_timeout(10, lambda *args, **kwargs: (args, kwargs), 1, b=2) == (
        (1,),
        {"b": 2},
    )
    assert green.with_timeout(None, int) == 0


def test_a_function_that_is_slow_is_interrupted() -> None:
    with pytest.raises(green.Timeout):
        green.with_timeout(0.001, green.sleep, 100)

    assert green.with_timeout(0.001, green.sleep, 100, timeout_value="late") == "late"
    assert green.with_timeout(0.001, green.sleep, 100, timeout_value=None) is None


def test_only_its_own_timeout_is_turned_into_the_value() -> None:
    outer = green.Timeout(0.001)

    with pytest.raises(green.Timeout) as raised:
        green.with_timeout(50, green.sleep, 100, timeout_value="late")

    assert raised.value is outer
    with pytest.raises(KeyError):
        green.with_timeout(10, fail, KeyError(), timeout_value="late")


@pytest.mark.parametrize("kind", [green.Queue, green.LifoQueue, green.PriorityQueue, green.Channel])
def test_queues_are_ready_when_there_is_something_to_get(kind) -> None:
    items, ended, silent = kind(), kind(), kind()
    waiter = green.spawn(green.wait, [items, ended, silent], count=2, timeout=10)
    green.sleep(0)
    assert not waiter.dead

    putter = green.spawn(items.put, 1)
    green.sleep(0)
    ended.shutdown()

    assert waiter.get() == [items, ended]
    assert items.get() == 1  # Nothing was taken.
    putter.get()
    assert green.wait([silent], timeout=0) == []
    assert green.wait([ended], timeout=0) == [ended]


def test_an_item_that_comes_back_makes_its_queue_ready() -> None:
    items = green.Queue()
    getter = green.spawn(items.get)
    waiter = green.spawn(green.wait, [items], timeout=10)
    green.sleep(0)
    items.put(1)  # It is the getter's, who is killed before it runs.
    getter.kill(block=True)

    assert waiter.get() == [items]
    assert items.get_nowait() == 1
