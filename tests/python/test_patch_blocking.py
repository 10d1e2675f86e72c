"""green.blocking and green.original: patched functions that block the thread all the same."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from patched import Ticker, isolated, patch, together

import green
from green import _core


def turns_during(function: Any) -> int:
    """How often others ran while a green called `function`; once and twice say that it blocked."""
    with Ticker() as ticker:
        green.sleep(0.01)
        before = ticker.turns
        green.spawn(function).get()
        return ticker.turns - before


@isolated
def test_a_scope_blocks_the_thread_and_its_end_lets_switch_again() -> None:
    patch()

    def scope() -> None:
        with green.blocking(), green.blocking():
            time.sleep(0.2)
        assert _core.can_park()

    assert turns_during(scope) <= 2
    assert turns_during(lambda: time.sleep(0.2)) > 3
    assert turns_during(green.blocking()(lambda: time.sleep(0.2))) <= 2


@isolated
def test_what_waits_in_a_scope_is_served_by_native_threads() -> None:
    patch()
    near, far = socket.socketpair()
    box: queue.SimpleQueue[int] = queue.SimpleQueue()
    event, ours, turn = threading.Event(), green.Event(), green.Semaphore(0)
    lock = threading.Lock()
    lock.acquire()
    reading, writing = os.pipe()

    def serve() -> None:
        for step in (
            lambda: far.send(b"x"),
            lambda: box.put(1),
            event.set,
            ours.set,
            turn.release,
            lock.release,
            lambda: os.write(writing, b"y"),
        ):
            time.sleep(0.01)
            step()

    def work() -> list[Any]:
        with green.blocking():
            thread = threading.Thread(target=serve)
            thread.start()
            got = [near.recv(1), box.get(), event.wait(), ours.wait(), turn.acquire()]
            got += [lock.acquire(), os.read(reading, 1)]
            thread.join()
            return got

    results: list[Any] = []

    assert turns_during(lambda: results.extend(work())) <= 2
    assert results == [b"x", 1, True, True, True, True, b"y"]


@isolated
def test_other_greens_are_not_in_the_scope_of_one() -> None:
    patch()
    inside = threading.Event()
    seen: list[bool] = []

    def scope() -> None:
        with green.blocking():
            inside.set()
            green.sleep(0.01)  # Only greens can do that: it switches.
            seen.append(_core.can_park())

    def other() -> None:
        inside.wait()
        seen.append(_core.can_park())

    def spawner() -> bool:
        with green.blocking():
            return bool(green.spawn(_core.can_park).get())

    together(scope, other)
    assert seen == [True, False]
    assert together(spawner) == [True]


@isolated
def test_a_green_that_threading_met_in_a_scope_is_forgotten_at_its_end() -> None:
    patch()
    before = threading.enumerate()

    def meet() -> bool:
        with green.blocking():
            return threading.current_thread() in threading.enumerate()

    assert together(meet) == [True]
    assert threading.enumerate() == before


@isolated
def test_an_rlock_in_a_scope_is_the_green_s() -> None:
    patch()
    lock = threading.RLock()
    condition = threading.Condition()

    def nest() -> int:
        ident = threading.get_ident()
        with lock:
            with green.blocking(), lock:
                assert threading.get_ident() == ident
                assert lock._is_owned()  # type: ignore[attr-defined]
                assert together(lambda: lock.acquire(blocking=False)) == [False]
            assert together(lambda: lock.acquire(blocking=False)) == [False]
        with green.blocking():
            lock.acquire()
        lock.release()
        assert together(lambda: lock.acquire(blocking=False) and lock.release()) == [None]
        return ident

    def wait() -> bool:
        with green.blocking(), condition:
            threading.Thread(target=notify).start()
            woken = condition.wait(10)
            assert condition._is_owned()  # type: ignore[attr-defined]
            return woken

    def notify() -> None:
        with condition:
            condition.notify()

    together(nest)
    assert together(wait) == [True]


@isolated
def test_an_rlock_that_a_native_thread_holds_is_waited_for_in_a_scope() -> None:
    patch()
    lock = threading.RLock()
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait()

    def take() -> bool:
        with green.blocking():
            assert lock.acquire(timeout=0.01) is False
            threading.Timer(0.01, let_go.set).start()
            lock.acquire()
            return lock._is_owned()  # type: ignore[attr-defined]

    with green.blocking():
        threading.Thread(target=hold).start()
    held.wait()

    assert together(take) == [True]
    assert together(lambda: lock.acquire(timeout=0.01)) == [False]


@isolated
def test_the_main_program_holds_its_rlock_against_a_green_in_a_scope() -> None:
    patch()
    lock = threading.RLock()

    @green.blocking()
    def take() -> bool:
        return lock.acquire(timeout=0.01)

    with lock:
        assert together(take) == [False]
        assert lock._is_owned()  # type: ignore[attr-defined]
    assert together(take) == [True]


@isolated
def test_a_close_in_a_scope_still_wakes_who_waits_for_the_descriptor() -> None:
    patch()
    near, far = socket.socketpair()
    reading = green.spawn(near.recv, 1)
    green.sleep(0)

    together(green.blocking()(near.close))

    with pytest.raises(OSError, match="Bad file descriptor"):
        reading.get(timeout=10)
    far.close()


@isolated
def test_leaving_a_scope_that_another_green_entered_is_an_error() -> None:
    patch()
    scope = green.blocking()
    scope.__enter__()

    def leave() -> None:
        with pytest.raises(RuntimeError, match="no blocking"):
            scope.__exit__()

    together(leave)

    scope.__exit__()
    with pytest.raises(RuntimeError, match="no blocking"):
        scope.__exit__()


@isolated
def test_a_scope_entered_before_the_first_green_holds_for_the_main_program() -> None:
    patch()
    turns: list[int] = []

    with green.blocking():
        ticking = green.spawn(lambda: [turns.append(1) or time.sleep(0.002) for _ in range(5)])
        green.sleep(0)
        time.sleep(0.05)
        assert len(turns) == 1
    time.sleep(0.05)
    ticking.join()
    assert len(turns) == 5


@isolated
def test_a_green_that_ends_inside_its_scope_leaves_it_to_nobody() -> None:
    patch()

    def end() -> None:
        green.blocking().__enter__()

    for _ in range(3):
        together(end)

    assert together(_core.can_park) == [True]
    assert _core.can_park()


@isolated
def test_a_killed_green_leaves_its_scope() -> None:
    patch()

    def scope() -> None:
        with green.blocking():
            green.sleep(10)

    stuck = green.spawn(scope)
    green.sleep(0)
    stuck.kill(block=True)

    assert together(_core.can_park) == [True]


@isolated
def test_the_child_of_a_fork_keeps_the_scope_of_its_green() -> None:
    patch()

    def fork() -> int:
        with green.blocking():
            pid = os.fork()
            if pid == 0:
                try:
                    green.spawn(lambda: None).join()
                    inside = _core.can_park()
                finally:
                    green.blocking().__exit__()
                os._exit(0 if not inside and _core.can_park() else 1)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert together(fork) == [0]


# --- original()


@isolated
def test_functions_of_an_original_module_block_and_are_called_as_ever() -> None:
    patch()
    module = green.original("time")

    assert turns_during(lambda: module.sleep(0.05)) <= 2
    assert module.sleep is module.sleep
    assert (module.sleep.__name__, module.__name__) == ("sleep", "time")
    assert green.original("time") is module
    with pytest.raises(TypeError):
        module.sleep()
    with pytest.raises(AttributeError, match="no attribute 'slep'"):
        module.slep  # noqa: B018
    with pytest.raises(ImportError):
        green.original("there_is_no_such_module")
    assert "sleep" in dir(module)


@isolated
def test_an_original_select_and_subprocess_block() -> None:
    patch()
    near, _far = socket.socketpair()

    assert turns_during(lambda: green.original("select").select([near], [], [], 0.05)) <= 2
    ran = [sys.executable, "-c", "import time; time.sleep(0.05)"]
    assert turns_during(lambda: green.original("subprocess").run(ran)) <= 2
    assert subprocess.run(ran).returncode == 0


@isolated
def test_classes_of_an_original_module_are_the_module_s_own() -> None:
    patch()
    module = green.original("threading")

    class Thread(module.Thread):  # type: ignore[misc, name-defined]
        def run(self) -> None:
            self.seen = (_core.can_park(), threading.get_ident(), module.get_ident())

    thread, native = Thread(), Thread()
    thread.start()
    thread.join()
    with green.blocking():
        native.start()
    native.join()

    assert module.Event is threading.Event
    assert isinstance(thread, threading.Thread)
    assert thread.seen[0] is True
    assert native.seen[0] is False
    assert native.seen[1] == native.seen[2]


@isolated
def test_get_ident_of_an_original_module_tells_the_native_thread() -> None:
    patch()
    main = threading.get_ident()

    (seen,) = together(lambda: (threading.get_ident(), green.original("threading").get_ident()))

    assert seen[0] != main
    assert seen[1] == main == green.original("_thread").get_ident()
