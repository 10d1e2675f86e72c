"""NativePoolExecutor: concurrent.futures over the pool of native threads."""

import concurrent.futures
import gc
import os
import subprocess
import sys
import threading
import time
import weakref

import pytest
from patched import SECONDS, isolated, patch
from workers import fail, native_threads, until  # noqa: F401

import green
from green import _core, native


def test_who_does_not_ask_for_it_does_not_import_what_it_needs() -> None:
    code = "import sys, green; print([m for m in ('logging', 'concurrent') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
    with pytest.raises(AttributeError, match="nothing"):
        green.nothing  # noqa: B018


def test_what_is_submitted_runs_on_native_threads_while_greens_wait_cooperatively() -> None:
    go = threading.Event()
    ticker = green.spawn(go.set)

    with green.NativePoolExecutor() as executor:
        waiting = executor.submit(go.wait, SECONDS)
        thread = executor.submit(threading.get_native_id)

        assert waiting.result() is True  # Only the ticker could end it.
        assert thread.result() != threading.get_native_id()

    assert ticker.dead


def test_exceptions_and_timeouts_are_those_of_concurrent_futures() -> None:
    go = threading.Event()
    with green.NativePoolExecutor() as executor:
        failing = executor.submit(fail, KeyError("why"))
        slow = executor.submit(go.wait, SECONDS)

        with pytest.raises(KeyError, match="why"):
            failing.result()
        assert isinstance(failing.exception(timeout=SECONDS), KeyError)
        for wait in (slow.result, slow.exception):
            with pytest.raises(concurrent.futures.TimeoutError):
                wait(timeout=0.001)
            with pytest.raises(concurrent.futures.TimeoutError):
                wait(timeout=-1)
        go.set()


def test_map_gives_results_in_order() -> None:
    with green.NativePoolExecutor() as executor:
        assert list(executor.map(pow, [2, 3], [3, 2])) == [8, 9]
        with pytest.raises(ZeroDivisionError):
            list(executor.map(lambda number: 1 // number, [1, 0]))


def test_no_more_than_max_workers_run_at_once() -> None:
    lock, inside, most = threading.Lock(), [0], []

    def work():
        with lock:
            inside[0] += 1
            most.append(inside[0])
        time.sleep(0.002)
        with lock:
            inside[0] -= 1

    gate = threading.Event()
    with green.NativePoolExecutor(max_workers=2) as executor:
        for _ in range(2):
            executor.submit(gate.wait, SECONDS)
        works = [executor.submit(work) for _ in range(20)]
        assert _core.native_counts()["threads"] == 2
        assert not any(each.running() for each in works)
        gate.set()
        for each in works:
            each.result(timeout=SECONDS)

    assert max(most) <= 2
    with pytest.raises(ValueError, match="one worker"):
        green.NativePoolExecutor(0)


def test_a_future_that_has_not_begun_can_be_cancelled_and_wakes_who_waits() -> None:
    native.set_size(1)
    go, called = threading.Event(), []
    with green.NativePoolExecutor() as executor:
        first = executor.submit(go.wait, SECONDS)
        second = executor.submit(called.append, "second")
        waiter = green.spawn(second.result)
        green.sleep(0)
        until(first.running)

        assert second.cancel()
        assert not first.cancel()

        with pytest.raises(concurrent.futures.CancelledError):
            waiter.get(timeout=SECONDS)
        go.set()

    assert called == []


def test_futures_can_be_waited_for_together_with_greens_and_events() -> None:
    go, event = threading.Event(), green.Event()
    with green.NativePoolExecutor() as executor:
        future = executor.submit(go.wait, SECONDS)
        sleeper = green.spawn(green.sleep, 0)

        assert green.wait([future, event, sleeper], count=1) == [sleeper]
        go.set()
        assert green.wait([future, event], count=1) == [future]
        assert green.wait([future], timeout=0) == [future]


def test_shutdown_waits_for_what_was_submitted_and_refuses_more() -> None:
    go = threading.Event()
    executor = green.NativePoolExecutor(1)
    futures = [executor.submit(go.wait, SECONDS) for _ in range(3)]
    green.spawn(go.set)

    executor.shutdown()

    assert [each.result(timeout=0) for each in futures] == [True] * 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)
    executor.shutdown()


@pytest.mark.parametrize("workers", [None, 1])
def test_shutdown_can_cancel_what_has_not_begun_and_need_not_wait(workers) -> None:
    native.set_size(1)
    go = threading.Event()
    executor = green.NativePoolExecutor(workers)
    futures = [executor.submit(go.wait, SECONDS) for _ in range(3)]
    until(futures[0].running)

    executor.shutdown(wait=False, cancel_futures=True)

    assert [each.cancelled() for each in futures] == [False, True, True]
    go.set()
    executor.shutdown()
    assert futures[0].result(timeout=0) is True


def test_threads_without_greens_use_it_as_well() -> None:
    results = []

    def work():
        with green.NativePoolExecutor(2) as executor:
            results.extend(executor.map(abs, range(-50, 0)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == sorted(list(range(1, 51)) * 4)


def test_a_submitted_call_may_submit_more() -> None:
    native.set_size(1)
    with green.NativePoolExecutor() as executor:
        inner = executor.submit(lambda: executor.submit(abs, -1)).result(timeout=SECONDS)
        assert inner.result(timeout=SECONDS) == 1


@isolated
def test_under_the_patch_wait_and_as_completed_switch() -> None:
    patch()
    go = threading.Event()
    with green.NativePoolExecutor() as executor:
        futures = [executor.submit(os.getpid), executor.submit(native_wait, go)]
        ended = green.spawn(lambda: concurrent.futures.wait(futures).done)
        first = next(concurrent.futures.as_completed(futures))
        assert first is futures[0]
        go.set()
        assert ended.get(timeout=SECONDS) == set(futures)


def native_wait(event) -> None:
    event.wait(SECONDS)


@isolated
def test_a_forked_child_may_go_on_with_the_executor() -> None:
    executor = green.NativePoolExecutor(1)
    go = threading.Event()
    blocked = executor.submit(go.wait, SECONDS)
    until(blocked.running)

    child = os.fork()
    if child == 0:
        good = executor.submit(os.getpid).result(timeout=SECONDS) == os.getpid()
        executor.shutdown()
        os._exit(7 if good else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    go.set()
    executor.shutdown()


def test_a_call_that_failed_keeps_its_arguments_no_longer_than_its_future() -> None:
    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    gc.disable()
    try:
        with green.NativePoolExecutor() as executor:
            future = executor.submit(fail, argument)
            with pytest.raises(TypeError):
                future.result()
            del argument, future
        until(lambda: gone() is None)
    finally:
        gc.enable()
