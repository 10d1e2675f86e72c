"""Calls on native threads: call(), the size of the pool, Proxy, fork and exit."""

import contextvars
import copy
import os
import pickle
import threading
import traceback
from typing import Any, Never

import pytest
from patched import SECONDS, isolated, leaves_behind
from workers import fail, native_threads, until  # noqa: F401

import green
from green import _core, native

# --- call


def test_a_call_runs_on_a_native_thread_while_others_go_on() -> None:
    go = threading.Event()
    ticks = []

    def block(a, *, b):
        assert go.wait(SECONDS)
        return threading.get_native_id(), a, b

    def tick():
        for _ in range(10):
            green.sleep(0)
            ticks.append(1)
        go.set()

    ticker = green.spawn(tick)
    thread, a, b = native.call(block, 1, b=2)

    assert thread != threading.get_native_id()
    assert (a, b) == (1, 2)
    assert len(ticks) == 10
    ticker.join()


def test_an_exception_keeps_its_traceback_and_may_be_any() -> None:
    def inner():
        raise KeyError("why")

    for error in (SystemExit(3), KeyboardInterrupt(), green.GreenExit()):
        with pytest.raises(type(error)):
            native.call(fail, error)
    with pytest.raises(KeyError, match="why") as caught:
        native.call(inner)

    assert "inner" in [frame.name for frame in traceback.extract_tb(caught.tb)]


def test_a_call_sees_the_context_of_its_green_and_changes_it_for_nobody() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    token = variable.set(1)

    def look():
        seen = variable.get()
        variable.set(2)
        return seen

    assert native.call(look) == 1
    assert variable.get() == 1
    variable.reset(token)


def test_a_nested_call_runs_in_place_however_small_the_pool() -> None:
    native.set_size(1)

    def nested(depth):
        here = threading.get_native_id()
        return native.call(nested, depth - 1) if depth else here

    assert native.call(nested, 5) == native.call(threading.get_native_id)


def test_greens_of_a_pool_thread_make_their_calls_in_place_as_well() -> None:
    native.set_size(1)

    def with_greens():
        return [green.spawn(native.call, abs, -number).get() for number in range(3)]

    assert native.call(with_greens) == [0, 1, 2]


def test_a_thread_without_greens_calls_in_place() -> None:
    seen = []

    def work():
        seen.extend([native.call(threading.get_native_id), threading.get_native_id()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen[0] == seen[1]


def test_who_is_killed_leaves_the_call_behind_and_one_that_has_not_begun_never_does() -> None:
    native.set_size(1)
    began, go, called = threading.Event(), threading.Event(), []

    def block():
        began.set()
        assert go.wait(SECONDS)
        called.append("first")

    first = green.spawn(native.call, block)
    second = green.spawn(native.call, called.append, "second")
    third = green.spawn(native.call, called.append, "third")
    until(lambda: began.is_set() and _core.native_counts()["queued"] == 2)

    first.kill(block=True)
    second.kill(block=True)
    assert called == []
    go.set()

    third.get(timeout=SECONDS)
    assert called == ["first", "third"]


def test_a_timeout_ends_the_wait_for_a_call() -> None:
    go = threading.Event()

    with pytest.raises(green.Timeout):
        green.with_timeout(0.001, native.call, go.wait, SECONDS)

    go.set()


# --- The pool


def test_no_more_calls_than_the_size_run_at_once_and_a_larger_one_lets_more_begin() -> None:
    native.set_size(2)
    gate = threading.Semaphore(0)
    callers = [green.spawn(native.call, gate.acquire) for _ in range(5)]

    until(lambda: _core.native_counts() == {"threads": 2, "idle": 0, "queued": 3})
    native.set_size(4)
    until(lambda: _core.native_counts() == {"threads": 4, "idle": 0, "queued": 1})
    native.set_size(1)
    gate.release(5)
    green.joinall(callers)

    until(lambda: _core.native_counts() == {"threads": 1, "idle": 1, "queued": 0})


def test_an_idle_thread_is_used_again() -> None:
    threads = {native.call(threading.get_native_id)}
    for _ in range(10):
        until(lambda: _core.native_counts()["idle"] == 1)
        threads.add(native.call(threading.get_native_id))

    assert len(threads) == 1


def test_idle_threads_end_by_themselves() -> None:
    native.set_size(20, idle_seconds=0.001)

    native.call(int)

    until(lambda: _core.native_counts()["threads"] == 0)


def test_no_call_is_lost_while_idle_threads_end_and_the_size_changes() -> None:
    for number in range(300):
        native.set_size(number % 3 + 1, idle_seconds=0)
        callers = [green.spawn(native.call, abs, -number) for _ in range(5)]
        assert [each.get(timeout=SECONDS) for each in callers] == [number] * 5


def test_impossible_sizes_are_refused() -> None:
    for size in (0, -1):
        with pytest.raises(ValueError, match="one native thread"):
            native.set_size(size)
    with pytest.raises(ValueError, match="negative"):
        native.set_size(1, -1)
    with pytest.raises(TypeError):
        native.call()


@isolated
def test_a_forked_child_has_a_pool_of_its_own_of_the_same_size() -> None:
    green.getcurrent()
    native.set_size(3)
    begun, go = threading.Event(), threading.Event()
    blocked = green.spawn(native.call, lambda: (begun.set(), go.wait(SECONDS))[1])
    until(begun.is_set)

    child = os.fork()
    if child == 0:
        green.sleep(0)
        assert _core.native_counts()["threads"] == 0
        assert native.call(os.getpid) == os.getpid()
        gate = threading.Semaphore(0)
        for _ in range(5):
            green.spawn(native.call, gate.acquire)
        until(lambda: _core.native_counts() == {"threads": 3, "idle": 0, "queued": 2})
        os._exit(7)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go.set()
    assert blocked.get(timeout=SECONDS) is True


@isolated
def test_a_pool_thread_that_forks_ends_the_child_with_its_call() -> None:
    green.getcurrent()
    parent = os.getpid()

    def fork(status):
        child = os.fork()
        if child == 0 and status:
            raise SystemExit(status)
        return child

    for status in (0, 7):
        child = native.call(fork, status)
        assert os.getpid() == parent
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status


@isolated
@leaves_behind
def test_a_call_that_never_ends_does_not_hold_up_the_exit() -> None:
    green.getcurrent()
    green.spawn(native.call, threading.Event().wait)
    until(lambda: _core.native_counts()["threads"] == 1)


# --- Proxy


class Thing:
    def __init__(self) -> None:
        self.items = [1, 2, 3]
        self.number = 7
        self.threads = set()

    def __enter__(self) -> Any:
        self.threads.add(threading.get_native_id())
        return self

    def __exit__(self, *args: object) -> None:
        self.threads.add(threading.get_native_id())

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        for item in self.items:
            self.threads.add(threading.get_native_id())
            yield item

    def __getitem__(self, place) -> Any:
        return self.items[place]

    def thread(self) -> int:
        return threading.get_native_id()

    def same(self) -> Any:
        return self

    def other(self) -> Any:
        return Thing()

    def fail(self) -> Never:
        raise KeyError("why")


def test_methods_of_a_proxy_run_on_native_threads() -> None:
    proxy = native.Proxy(Thing())

    assert proxy.thread() != threading.get_native_id()
    assert proxy.thread.__name__ == "thread"
    with pytest.raises(KeyError, match="why"):
        proxy.fail()
    with pytest.raises(AttributeError):
        proxy.nothing()


def test_attributes_of_a_proxy_are_the_objects() -> None:
    thing = Thing()
    proxy = native.Proxy(thing)

    proxy.number = 8
    assert (thing.number, proxy.number) == (8, 8)
    del proxy.number
    assert not hasattr(thing, "number")
    assert "thread" in dir(proxy)


def test_operators_of_a_proxy_run_on_native_threads() -> None:
    thing = Thing()
    proxy = native.Proxy(thing)

    assert (len(proxy), proxy[1], 2 in proxy, bool(proxy)) == (3, 2, True, True)
    assert list(proxy) == [1, 2, 3]
    with proxy as entered:
        assert entered is proxy
    assert threading.get_native_id() not in thing.threads
    assert len(thing.threads) > 0
    assert proxy == thing
    assert hash(proxy) == hash(thing)
    assert (str(proxy), repr(proxy)) == (str(thing), repr(thing))
    with pytest.raises(TypeError):
        proxy[0] = 1
    assert native.Proxy(max)(3, 5) == 5
    assert native.Proxy([1]) < [2]


def test_a_proxy_calculates_on_either_side_and_in_place() -> None:
    proxy = native.Proxy(7)

    assert (proxy + 1, 1 + proxy, proxy - 1, 1 - proxy) == (8, 8, 6, -6)
    assert (proxy % 4, 2**proxy, native.Proxy("%d") % 1) == (3, 128, "1")
    assert (-proxy, abs(native.Proxy(-7)), ~proxy, proxy | 8, proxy << 1) == (-7, 7, -8, 15, 14)
    assert proxy + proxy == 14
    items: list[int] = []
    extended = native.Proxy(items)
    extended += [1]
    assert (type(extended), items) == (native.Proxy, [1])
    with pytest.raises(TypeError, match="unsupported operand"):
        proxy + "text"


def test_an_iterator_and_a_copy_of_a_proxy_are_proxies() -> None:
    proxy = native.Proxy([[1], 2])

    iterator = iter(proxy)
    assert iter(iterator) is iterator
    assert (next(iterator), next(iterator), next(iterator, "end")) == ([1], 2, "end")
    assert type(copy.copy(proxy)) is type(copy.deepcopy(proxy)) is native.Proxy
    assert copy.copy(proxy) == proxy


def test_results_are_wrapped_when_they_are_the_object_or_asked_to_be() -> None:
    thing = Thing()

    plain = native.Proxy(thing)
    by_type = native.Proxy(thing, autowrap=Thing)
    by_name = native.Proxy(thing, autowrap_names=["other", "items"])

    assert plain.same() is plain
    assert type(plain.other()) is Thing
    assert type(by_type.other().other()) is native.Proxy
    assert type(by_name.other()) is native.Proxy
    assert type(by_name.items) is native.Proxy
    assert type(by_type.items) is list


def test_a_proxy_of_a_text_a_truth_or_a_number_is_as_good_as_they_are() -> None:
    assert str(native.Proxy("abc")) == f"{native.Proxy('abc')}" == "abc"
    assert bool(native.Proxy(True))
    assert hash(native.Proxy(5)) == 5
    assert repr(native.Proxy("x")) == "'x'"


def test_a_proxy_can_be_copied_and_pickled() -> None:
    for copied in (copy.copy, lambda it: pickle.loads(pickle.dumps(it))):
        proxy = copied(native.Proxy([1]))

        proxy.append(2)
        assert list(proxy) == [1, 2]
