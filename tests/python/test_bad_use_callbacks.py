"""Waiting where nobody expects it: in links, finalizers, weak references and signal handlers.

There is no callback of Python's on the hub's own stack. So each of these runs in some green or
native thread, and a wait there is that one's wait.
"""

import contextlib
import gc
import os
import signal
import sys
import weakref
from typing import Any

import pytest
from greens import native
from nothing_left import nothing_left  # noqa: F401
from patched import isolated

import green

SECONDS = 10.0  # Which no wait here comes near to.


class Finalized:
    """Waits when it is let go of; `seen` has what happened then."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def __del__(self) -> None:
        self.seen.append("begins")
        green.sleep(0)
        self.seen.append("ends")


def test_a_link_that_waits_holds_up_only_whoever_calls_it() -> None:
    event, seen = green.Event(), []

    def wait(_: object) -> None:
        seen.append("begins")
        green.sleep(0)
        seen.append("ends")

    event.rawlink(wait)
    setter = green.spawn(event.set)
    green.spawn(seen.append, "another")
    setter.join()

    assert seen == ["begins", "another", "ends"]


def test_a_link_to_the_end_of_a_green_may_wait_and_for_that_green_as_well() -> None:
    seen: list[Any] = []
    ending = green.spawn(lambda: 5)
    ending.rawlink(lambda each: (green.sleep(0), seen.append(each.get())))
    ending.join()
    for _ in range(3):
        green.sleep(0)

    assert seen == [5]


def test_a_link_called_by_a_native_thread_waits_on_that_thread() -> None:
    semaphore, done = green.Semaphore(0), green.AsyncResult()

    def wait(_: object) -> None:
        green.sleep(0)
        done.set(green.getcurrent().name)

    semaphore.rawlink(wait)
    thread = native(semaphore.release)

    assert done.get(SECONDS) == "main"  # That thread's.
    thread.join()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_programs_goes_from_a_link_to_the_main_program(error: type) -> None:
    def leave(_: object) -> None:
        raise error

    event = green.Event()
    event.rawlink(leave)
    with pytest.raises(error):
        event.set()
        green.sleep(0)


@isolated
def test_an_error_of_a_link_is_reported_and_the_other_links_are_told() -> None:
    reported: list[Any] = []
    sys.unraisablehook = lambda each: reported.append(each.exc_type)
    told: list[Any] = []
    for owner, make_ready in (
        (event := green.Event(), event.set),
        (s := green.Semaphore(0), s.release),
    ):

        def fail(_: object) -> None:
            raise ValueError

        owner.rawlink(fail)
        owner.rawlink(told.append)
        make_ready()

    assert reported == [ValueError] * 2
    assert told == [event, s]


@pytest.mark.parametrize("where", ["refcount", "collector", "end of a green"])
def test_a_finalizer_may_wait_in_whatever_green_lets_go(where: str) -> None:
    seen: list[str] = []

    def let_go() -> None:
        one: Any = Finalized(seen)
        if where == "collector":
            one.itself = one
        if where == "end of a green":
            return
        del one
        gc.collect()

    letting = green.spawn(let_go)
    green.spawn(seen.append, "another")
    letting.join()

    assert seen == ["begins", "another", "ends"]


def test_a_weak_reference_s_callback_may_wait() -> None:
    seen: list[str] = []

    class Thing:
        pass

    def let_go() -> None:
        thing = Thing()
        weak = weakref.ref(thing, lambda _: (green.sleep(0), seen.append("called")))
        del thing
        assert weak() is None

    letting = green.spawn(let_go)
    green.spawn(seen.append, "another")
    letting.join()

    assert seen == ["another", "called"]


@isolated
def test_what_is_thrown_at_a_green_in_a_finalizer_ends_the_finalizer_and_is_reported() -> None:
    reported: list[Any] = []
    sys.unraisablehook = lambda each: reported.append(each.exc_type)

    class Kills:
        def __del__(self) -> None:
            green.getcurrent().kill()

    def let_go() -> str:
        Kills()
        return "went on"

    assert green.spawn(let_go).get() == "went on"
    assert reported == [green.GreenExit]


@contextlib.contextmanager
def handler(function: Any) -> Any:
    before = signal.signal(signal.SIGUSR1, function)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def signal_self() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_handler_may_wait_for_a_green() -> None:
    seen: list[Any] = []
    other = green.spawn(lambda: (green.sleep(0), 5)[1])

    with handler(lambda *_: seen.append(other.get())):
        signal_self()
        green.sleep(0)

    assert seen == [5]


def test_signal_handlers_may_wait_inside_each_other() -> None:
    seen: list[int] = []

    def wait(*_: object) -> None:
        depth = len(seen)
        seen.append(depth)
        if depth < 4:
            signal_self()
        green.sleep(0)
        seen.append(depth)

    with handler(wait):
        signal_self()
        green.sleep(0)

    assert seen == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]


def test_a_signal_handler_that_wants_what_the_code_it_interrupts_holds_gives_up_in_time() -> None:
    lock, taken = green.Lock(), []

    with handler(lambda *_: taken.append(lock.acquire(timeout=0.01))), lock:
        signal_self()
        green.sleep(0)

    assert taken == [False]
