"""psycopg 3's wait(), with a stand-in for its module that has what ours needs.

tests/drivers has the real one.
"""

from __future__ import annotations

import importlib
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from leaks import once
from patched import Ticker, isolated, start_natively, together

import green

WAITING = """
class e:
    class OperationalError(Exception): pass
    class _WaitTimeout(Exception): pass

READY_NONE, READY_R, READY_W = 0, 1, 2
WAIT_R, WAIT_W, WAIT_RW = 1, 2, 3
native = []

def wait(gen, fileno, interval=0.0, *timeout):
    "As the one in C: blocks, as far as anybody can tell."
    native.append((fileno, interval, *timeout))
    return "blocked"

def wait_selector(gen, fileno, timeout=None): ...
"""
Query = Generator[int, int, Any]


def patched_waiting(code: str = WAITING) -> Any:
    """psycopg.waiting, made of `code`, after the patch."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder, "psycopg")
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "waiting.py").write_text(code)
        sys.path.insert(0, folder)
        green.monkey_patch()
        waiting = importlib.import_module("psycopg.waiting")
        sys.path.remove(folder)
    return waiting


def in_green(function: Callable[[], Any]) -> Any:
    return together(function)[0]


@isolated
def test_a_query_waits_for_what_it_asks_and_lets_others_run() -> None:
    waiting = patched_waiting()
    near, far = socket.socketpair()

    def query() -> Query:
        assert (yield waiting.WAIT_W) == waiting.READY_W
        assert (yield waiting.WAIT_RW) == waiting.READY_W
        assert (yield waiting.WAIT_R) == waiting.READY_R
        return near.recv(1)

    def answer() -> None:
        ticker.have_turns()
        far.send(b"x")

    with Ticker() as ticker:
        answered, _ = together(lambda: waiting.wait(query(), near.fileno(), 10.0), answer)

    assert answered == b"x"
    ticker.assert_kept_running()
    assert waiting.native == []


@isolated
def test_a_connection_that_is_over_can_be_read() -> None:
    waiting = patched_waiting()
    near, far = socket.socketpair()
    far.close()

    def query() -> Query:
        return (yield waiting.WAIT_R), near.recv(1)

    ready = in_green(lambda: waiting.wait(query(), near.fileno(), 10.0))

    assert ready == (waiting.READY_R, b"")


@isolated
def test_after_an_interval_without_an_event_the_query_is_told() -> None:
    waiting = patched_waiting()
    near, _far = socket.socketpair()

    def query() -> Query:
        return (yield waiting.WAIT_R), (yield waiting.WAIT_R)

    told = in_green(lambda: waiting.wait(query(), near.fileno(), 0.01))

    assert told == (waiting.READY_NONE, waiting.READY_NONE)


@isolated
def test_a_timeout_ends_the_wait() -> None:
    waiting = patched_waiting()
    near, _far = socket.socketpair()

    def query() -> Query:
        while True:
            yield waiting.WAIT_R

    def wait() -> None:
        with pytest.raises(waiting.e._WaitTimeout):
            waiting.wait(query(), near.fileno(), 10.0, 0.02)

    in_green(wait)


@isolated
def test_a_descriptor_that_is_gone_is_an_operational_error() -> None:
    waiting = patched_waiting()
    near, _far = socket.socketpair()

    def query() -> Query:
        yield waiting.WAIT_R

    def wait() -> None:
        fileno = near.fileno()
        near.close()
        with pytest.raises(waiting.e.OperationalError, match="connection socket closed"):
            waiting.wait(query(), fileno, 10.0)

    in_green(wait)


@isolated
def test_a_green_that_waits_can_be_killed() -> None:
    waiting = patched_waiting()
    near, _far = socket.socketpair()
    ended: list[str] = []

    def query() -> Query:
        yield waiting.WAIT_R

    def wait() -> None:
        try:
            waiting.wait(query(), near.fileno(), 10.0)
        finally:
            ended.append("here")

    waiter = green.spawn(wait)
    green.sleep(0)
    waiter.kill(block=True)

    assert ended == ["here"]


@isolated
@once("a module is imported once")
def test_a_native_thread_waits_as_before() -> None:
    waiting = patched_waiting()
    results: list[str] = []

    def wait() -> None:
        results.append(waiting.wait(iter(()), 5, 0.1))
        results.append(waiting.wait(iter(()), 5, interval=0.1, timeout=2.0))

    thread = threading.Thread(target=wait)
    start_natively(thread)
    thread.join()

    assert results == ["blocked", "blocked"]
    assert waiting.native == [(5, 0.1), (5, 0.1, 2.0)]


@isolated
def test_an_old_version_uses_the_wait_of_its_own_that_cooperates() -> None:
    waiting = patched_waiting(WAITING.replace("READY_NONE, READY_R, READY_W = 0, 1, 2", ""))

    assert waiting.wait is waiting.wait_selector


@isolated(PSYCOPG_WAIT_FUNC="wait_c")
def test_a_choice_of_the_users_stays() -> None:
    waiting = patched_waiting()

    assert in_green(lambda: waiting.wait(iter(()), 5, 0.1)) == "blocked"
    assert waiting.native.pop() == (5, 0.1)
