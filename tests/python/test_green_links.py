"""The end of a green: its links, its report; and greens that start later."""

import contextvars
import gc
import os
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from patched import isolated, leaves_behind, run_isolated
from workers import fail

import green
from green import _core


@pytest.fixture
def reported(monkeypatch) -> list[BaseException]:
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_value))
    return reports


# --- link


def test_a_link_is_called_with_the_green_when_that_is_done_in_a_green_of_its_own() -> None:
    called = []
    target = green.spawn(green.sleep, 0)

    target.link(lambda ended: called.append((ended, ended.dead, green.getcurrent())))
    target.join()
    green.sleep(0)

    [(ended, dead, runs_in)] = called
    assert ended is target
    assert dead
    assert runs_in not in (target, green.getcurrent())


def test_links_are_called_in_the_order_of_their_coming_and_may_wait() -> None:
    order, go = [], green.Event()
    target = green.spawn(int)

    def wait_first(_):
        go.wait()
        order.append("first")

    target.link(wait_first)
    target.link(lambda _: order.append("second"))
    target.link(lambda _: go.set())
    target.join()
    green.sleep(0)
    green.sleep(0)

    assert order == ["second", "first"]


def test_a_link_to_a_green_that_is_done_is_called_as_well() -> None:
    target = green.spawn(int)
    target.join()
    result = green.AsyncResult()

    target.link(result.set)

    assert not result.ready()  # Not on the caller's stack.
    assert result.get(timeout=10) is target


def test_an_exception_in_a_link_is_reported_and_the_others_are_called(reported) -> None:
    called = []
    target = green.spawn(int)

    target.link(lambda _: fail(KeyError("of a link")))
    target.rawlink(lambda _: fail(KeyError("of a raw link")))
    target.link(called.append)
    target.rawlink(called.append)
    target.join()
    green.sleep(0)

    assert called == [target, target]
    assert sorted(str(error) for error in reported) == ["'of a link'", "'of a raw link'"]


def test_a_link_that_is_taken_back_is_not_called() -> None:
    called = []
    target = green.spawn(int)
    for link in (target.link, target.rawlink, target.link):
        link(called.append)

    target.unlink(called.append)
    target.unlink(called.append)
    target.unlink(print)
    target.join()
    green.sleep(0)

    assert called == [target]


def test_a_comparison_that_changes_the_links_does_no_harm() -> None:
    target = green.spawn(green.sleep, 100)
    called = []

    class Odd:
        armed = True

        def __call__(self, ended) -> None:
            called.append("odd")

        def __eq__(self, other) -> bool:
            if Odd.armed:
                Odd.armed = False
                target.unlink(called.append)
            return True

    target.rawlink(called.append)
    target.rawlink(Odd())

    target.unlink(Odd())
    target.kill(block=True)

    assert called in ([], ["odd"])


def test_what_cannot_be_called_is_refused() -> None:
    target = green.spawn(int)

    for link in (target.link, target.rawlink, green.Event().rawlink, green.Semaphore().rawlink):
        with pytest.raises(TypeError, match="callable"):
            link("callback")

    target.join()


@pytest.mark.parametrize("started", [False, True])
def test_links_of_a_killed_green_are_called(started) -> None:
    result, raw = green.AsyncResult(), []
    target = green.spawn(green.sleep, 100)
    if started:
        green.sleep(0)
    target.link(result.set)
    target.rawlink(raw.append)

    target.kill()
    if not started:
        assert raw == [target]

    assert result.get(timeout=10) is target
    assert raw == [target]


def test_links_are_called_on_the_greens_own_thread_whoever_kills_it() -> None:
    here = threading.get_native_id()
    ready = threading.Event()
    results = [green.AsyncResult() for _ in range(3)]
    targets = [green.spawn(green.sleep, 100)]
    green.sleep(0)
    targets.append(green.spawn(green.sleep, 100))
    targets.append(green.spawn_later(100, int))
    for target, result in zip(targets, results, strict=True):
        target.link(lambda _, result=result: result.set(threading.get_native_id()))

    def kill_all():
        for target in targets:
            target.kill()
        ready.set()

    thread = threading.Thread(target=kill_all)
    thread.start()
    ready.wait()  # Natively: nothing runs on this thread until all are killed.
    thread.join()

    assert [result.get(timeout=10) for result in results] == [here] * 3
    assert all(target.dead for target in targets)


def test_a_link_from_a_thread_without_greens_is_called_there_at_once() -> None:
    target = green.spawn(int)
    target.join()
    called = []

    thread = threading.Thread(target=lambda: target.link(called.append))
    thread.start()
    thread.join()

    assert called == [target]


def test_a_link_keeps_nothing_alive_when_it_has_been_called() -> None:
    class Callback:
        def __call__(self, ended) -> None:
            self.ended = ended

    target = green.spawn(int)
    callback = Callback()
    target.link(callback)
    target.rawlink(callback)
    target.join()
    green.sleep(0)
    assert callback.ended is target

    gone = weakref.ref(callback)
    del callback

    assert gone() is None


@isolated
@leaves_behind
def leave_greens_with_links() -> None:
    greens = [green.spawn(green.sleep, 100), green.spawn_later(100, int)]
    green.sleep(0)
    greens.append(green.spawn(green.sleep, 100))
    for target in greens:
        target.link(lambda _: print("called"))


def test_links_are_called_when_the_interpreter_exits() -> None:
    here = Path(__file__)

    assert run_isolated(here.stem, here.parent, "leave_greens_with_links") == "called\n" * 3


# --- The report of an end that nobody waited for


def test_an_exception_in_a_cycle_of_garbage_is_reported_whole(reported) -> None:
    def work():
        me = green.getcurrent()  # Its exception's traceback holds this frame.
        raise KeyError("why", me.name)

    for _ in range(20):  # Green objects are used again.
        name = green.spawn(work).name
        green.sleep(0)
        gc.collect()
        error = reported.pop()
        assert (str(error), error.args) == (f"('why', '{name}')", ("why", name))
        del error
    gc.collect()

    assert reported == []


# --- spawn_later


def test_a_later_green_starts_when_its_time_has_come_not_before() -> None:
    began = time.monotonic()

    def when(*, plus):
        return time.monotonic() + plus

    assert green.spawn_later(0.02, when, plus=1).get() - began >= 1.02
    assert green.spawn_later(0, lambda *args: args, 1, 2).get() == (1, 2)


def test_later_greens_start_in_the_order_of_their_times() -> None:
    order = []
    greens = [green.spawn_later(seconds, order.append, seconds) for seconds in (0.03, 0.01, 0.02)]

    green.joinall(greens)

    assert order == [0.01, 0.02, 0.03]


def test_a_later_green_costs_no_stack_until_it_starts() -> None:
    before = _core.debug_counts()
    greens = [green.spawn_later(100, int) for _ in range(1000)]

    waiting = _core.debug_counts()
    for each in greens:
        each.kill()

    assert waiting["stacks"] == before["stacks"]
    assert waiting["fibers"] == before["fibers"]
    assert waiting["timers"] == before["timers"] + 1000
    assert _core.debug_counts() == before
    assert all(each.dead for each in greens)
    assert isinstance(greens[0].value, green.GreenExit)


def test_who_waits_for_a_later_green_that_is_killed_is_woken() -> None:
    later = green.spawn_later(100, int)
    waiter = green.spawn(later.get)
    green.sleep(0)

    later.kill(KeyError("why"))

    with pytest.raises(KeyError, match="why"):
        waiter.get(timeout=10)


def test_a_later_green_has_its_number_and_name_from_the_start() -> None:
    later = green.spawn_later(0.001, lambda: (green.getcurrent(), green.getcurrent().number))
    number, name = later.number, later.name
    assert "to start later" in repr(later)

    current, ident = later.get()

    assert current is later
    assert number == ident > 0
    assert name == f"green-{number}" == later.name


def test_a_later_green_runs_in_the_context_it_was_spawned_in() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    token = variable.set(1)
    later = green.spawn_later(0.001, variable.get)

    variable.set(2)

    assert later.get() == 1
    variable.reset(token)


def test_a_killed_later_green_lets_go_of_what_it_was_given() -> None:
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    later = green.spawn_later(100, print, thing)
    del thing

    later.kill()
    gc.collect()

    assert gone() is None
    assert later.dead


def test_wrong_arguments_of_spawn_later_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        green.spawn_later(-1, print)
    with pytest.raises(TypeError):
        green.spawn_later("soon", print)
    with pytest.raises(TypeError, match="callable"):
        green.spawn_later(1, "print")
    with pytest.raises(TypeError, match="callable"):
        green.spawn_later(1)


def test_one_that_is_too_late_for_any_clock_never_starts_and_can_be_killed() -> None:
    never = green.spawn_later(float("inf"), int)

    never.join(timeout=0.001)
    assert not never.dead
    never.kill()

    assert never.dead


def test_later_greens_of_a_thread_that_ends_are_killed() -> None:
    greens = []

    def work():
        greens.append(green.spawn_later(100, int))
        green.sleep(0)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert isinstance(greens[0].get(timeout=10), green.GreenExit)


@isolated
def test_a_forked_child_has_none_of_its_parents_later_greens() -> None:
    read, write = os.pipe()
    later = green.spawn_later(0.05, os.write, write, b"started\n")
    killed = green.spawn_later(100, int)
    gone = weakref.ref(later)
    child = os.fork()
    if child == 0:
        green.sleep(0.1)  # Twice as long as what would start here.
        killed.kill()
        del later  # The last reference: no timer has one.
        os._exit(1 if gone() else 0)
    later.join()
    killed.kill()
    assert os.waitpid(child, 0)[1] == 0
    os.close(write)
    assert os.read(read, 100) == b"started\n"


@isolated
@leaves_behind
def test_later_greens_that_have_not_started_do_not_hold_up_the_exit() -> None:
    green.spawn_later(1000, print, "never")
