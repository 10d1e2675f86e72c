"""threading.settrace_all_threads() and its kin under the patch: they reach greens that wait."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from patched import isolated, patch, start_natively

import green

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="they are 3.12's")


def own_tracer(frame: FrameType, event: str, argument: Any) -> None:
    pass


class Waiting:
    """Greens and native threads that tell what is set for them before and after a wait."""

    def __init__(self, get: Callable[[], Any]) -> None:
        self.get = get
        self.goes_on = threading.Event()
        self.begun = green.Semaphore(0)
        self.found: list[tuple[Any, Any]] = []

    def wait(self, prepare: Callable[[], None] = lambda: None) -> None:
        prepare()
        before = self.get()
        self.begun.release()
        self.goes_on.wait()
        self.found.append((before, self.get()))

    def wait_in_thread(self) -> None:
        other = green.spawn(self.wait)
        self.wait()  # With a hub that sleeps.
        other.join()


def set_for_all(kind: str, function: Any) -> None:
    getattr(threading, f"set{kind}_all_threads")(function)


@isolated
def test_a_trace_function_of_all_threads_is_set_for_greens_that_wait() -> None:
    reach_all("trace", sys.settrace, sys.gettrace)


@isolated
def test_a_profile_function_of_all_threads_is_set_for_greens_that_wait() -> None:
    reach_all("profile", sys.setprofile, sys.getprofile)


def reach_all(kind: str, set_own: Callable[[Any], None], get: Callable[[], Any]) -> None:
    patch()
    seen: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_name == "called":
            seen.append(threading.current_thread().name)

    def called() -> None:
        pass

    waiting = Waiting(lambda: (called(), get())[1])
    native = threading.Thread(target=waiting.wait_in_thread, name="native")
    start_natively(native)
    thread = threading.Thread(target=waiting.wait, name="green")
    thread.start()
    greens = [green.spawn(waiting.wait), green.spawn(waiting.wait, lambda: set_own(own_tracer))]
    for _ in range(5):
        waiting.begun.acquire()
    set_for_all(kind, note)
    assert get() is note
    again = Waiting(get)
    reset = green.spawn(again.wait)
    again.begun.acquire()

    waiting.goes_on.set()
    native.join()
    thread.join()
    green.joinall(greens)
    assert [after for _, after in waiting.found] == [note] * 5
    assert sorted(str(before) for before, _ in waiting.found) == sorted(
        ["None"] * 4 + [str(own_tracer)]
    )
    assert {"native", "green"} <= set(seen)
    assert len(seen) == 5

    set_for_all(kind, None)
    again.goes_on.set()
    reset.join()
    assert again.found == [(note, None)]
    assert get() is None
    assert green.spawn(get).get() is None


@isolated
def test_what_was_set_before_is_let_go_of() -> None:
    patch()

    class Tracer:
        gone = 0

        def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
            pass

        def __del__(self) -> None:
            green.sleep(0)
            Tracer.gone += 1

    goes_on, begun = green.Event(), green.Semaphore(0)

    def wait() -> None:
        sys.settrace(Tracer())
        begun.release()
        goes_on.wait()

    greens = [green.spawn(wait) for _ in range(10)]
    for _ in greens:
        begun.acquire()
    set_for_all("trace", own_tracer)
    assert Tracer.gone == 10
    set_for_all("trace", None)
    goes_on.set()
    green.joinall(greens)
