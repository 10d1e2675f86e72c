"""Every public call refuses what makes no sense at once, in a sentence, and is as it was before."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from nothing_left import nothing_left  # noqa: F401

import green
from green import _core, debug, native


def held(made: Callable[[], Any]) -> Any:
    lock = made()
    lock.acquire()
    return lock


def full() -> Any:
    items = green.Queue[int](1)
    items.put(1)
    return items


def in_condition(method: str, *arguments: Any) -> Any:
    condition = green.Condition()
    with condition:
        try:
            return getattr(condition, method)(*arguments)
        finally:
            assert condition._is_owned()


def in_group(method: str, **arguments: Any) -> Any:
    group = green.Group()
    worker = group.spawn(green.sleep, 10)
    try:
        return getattr(group, method)(**arguments)
    finally:
        worker.kill(block=True)


def beside_one(call: Callable[[green.Green], Any]) -> Any:
    one = green.spawn(green.sleep, 10)
    try:
        return call(one)
    finally:
        one.kill(block=True)


TIMES: dict[str, Callable[[Any], Any]] = {
    "sleep": green.sleep,
    "spawn_later": lambda t: green.spawn_later(t, print),
    "Green.join": lambda t: beside_one(lambda one: one.join(t)),
    "Green.get": lambda t: beside_one(lambda one: one.get(t)),
    "Timeout": green.Timeout,
    "with_timeout": lambda t: green.with_timeout(t, print),
    "Semaphore.acquire": lambda t: green.Semaphore(0).acquire(timeout=t),
    "Lock.acquire": lambda t: held(green.Lock).acquire(timeout=t),
    "RLock.acquire": lambda t: green.spawn(held(green.RLock).acquire, timeout=t).get(),
    "Event.wait": lambda t: green.Event().wait(t),
    "AsyncResult.get": lambda t: green.AsyncResult().get(t),
    "Queue.get": lambda t: green.Queue().get(timeout=t),
    "Queue.peek": lambda t: green.Queue().peek(timeout=t),
    "Queue.put": lambda t: full().put(1, timeout=t),
    "Queue.join": lambda t: full().join(timeout=t),
    "Channel.put": lambda t: green.Channel().put(1, timeout=t),
    "Group.join": lambda t: in_group("join", timeout=t),
    "Group.kill": lambda t: in_group("kill", timeout=t),
    "wait": lambda t: beside_one(lambda one: green.wait([one], t)),
    "iwait": lambda t: beside_one(lambda one: list(green.iwait([one], t))),
    "joinall": lambda t: beside_one(lambda one: green.joinall([one], t)),
    "killall": lambda t: beside_one(lambda one: green.killall([one], timeout=t)),
    "native.set_size": lambda t: native.set_size(20, t),
    "watch_hub": debug.watch_hub,
}
# As in `threading`, these take a time in the past as no time.
LENIENT_TIMES: dict[str, Callable[[Any], Any]] = {
    "Condition.wait": lambda t: in_condition("wait", t),
    "Condition.wait_for": lambda t: in_condition("wait_for", bool, t),
}


@pytest.mark.parametrize("call", TIMES)
@pytest.mark.parametrize("seconds", [-0.5, -math.inf, math.nan])
def test_a_time_that_is_negative_or_nan_is_a_value_error_that_says_so(
    call: str, seconds: float
) -> None:
    with pytest.raises(ValueError, match="a time in seconds must not be negative or NaN"):
        TIMES[call](seconds)


@pytest.mark.parametrize("call", TIMES | LENIENT_TIMES)
@pytest.mark.parametrize("seconds", ["1", b"1", [], 1j, object()])
def test_a_time_that_is_no_number_is_a_type_error_that_says_so(call: str, seconds: Any) -> None:
    with pytest.raises(TypeError, match="must be real number, not"):
        (TIMES | LENIENT_TIMES)[call](seconds)


@pytest.mark.parametrize("call", LENIENT_TIMES)
def test_a_condition_takes_a_time_in_the_past_as_no_time_and_refuses_nan(call: str) -> None:
    assert LENIENT_TIMES[call](-1.0) is False
    with pytest.raises(ValueError, match="NaN"):
        LENIENT_TIMES[call](math.nan)


@pytest.mark.parametrize("seconds", [math.inf, 1e300, 2**63])
def test_a_time_beyond_all_bounds_is_for_ever(seconds: float) -> None:
    with green.Timeout(0.001, False):
        green.sleep(seconds)
        pytest.fail("it ended")
    with green.Timeout(seconds) as timeout:
        assert timeout.pending
    green.spawn_later(seconds, print).kill()


COUNTS: dict[str, Callable[[Any], Any]] = {
    "Semaphore": green.Semaphore,
    "BoundedSemaphore": green.BoundedSemaphore,
    "Semaphore.release": lambda n: green.Semaphore().release(n),
    "Queue": green.Queue,
    "Pool": green.Pool,
    "Pool.resize": lambda n: green.Pool(1).resize(n),
    "imap": lambda n: green.Pool(1).imap(abs, [1], maxsize=n),
    "wait": lambda n: green.wait([green.Semaphore()], count=n),
    "Condition.notify": lambda n: in_condition("notify", n),
    "native.set_size": native.set_size,
    "NativePoolExecutor": green.NativePoolExecutor,
}
LEAST = {"Queue": None, "Condition.notify": None}  # Which take a negative one as none, or no bound.


@pytest.mark.parametrize("call", COUNTS)
@pytest.mark.parametrize("count", ["2", 1.5, math.nan, [], object()])
def test_a_count_that_is_no_whole_number_is_a_type_error(call: str, count: Any) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        COUNTS[call](count)


@pytest.mark.parametrize("call", COUNTS.keys() - LEAST.keys())
def test_a_count_that_is_negative_is_a_value_error(call: str) -> None:
    with pytest.raises(ValueError, match=r"-1|negative|one or more|at least"):
        COUNTS[call](-1)


def test_a_pool_may_be_as_large_as_a_number_can_be_and_no_larger() -> None:
    import sys

    pool = green.Pool(1)
    pool.resize(sys.maxsize)
    assert pool.free_count() == sys.maxsize
    for size in (sys.maxsize + 1, 10**400):
        with pytest.raises(ValueError, match="at most"):
            pool.resize(size)
        with pytest.raises(ValueError, match="at most"):
            green.Pool(size)


def test_a_pool_that_grows_first_gives_back_what_it_had_taken() -> None:
    pool = green.Pool(3)
    workers = [pool.spawn(green.sleep, 10) for _ in range(3)]
    pool.resize(1)
    pool.resize(2)
    green.killall(workers)
    assert (pool.size, pool.free_count()) == (2, 2)
    pool.resize(5)
    assert (pool.size, pool.free_count()) == (5, 5)


def test_a_futures_result_takes_a_time_in_the_past_as_no_time_and_refuses_the_rest() -> None:
    gate = green.Event()
    future = green.NativePoolExecutor().submit(gate.wait)
    with pytest.raises(TimeoutError):
        future.result(-1)
    with pytest.raises(ValueError, match="NaN"):
        future.result(math.nan)
    with pytest.raises(TypeError, match="must be real number"):
        future.exception("1")  # type: ignore[arg-type]
    gate.set()
    assert future.result(10) is True


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "spawn": green.spawn,
    "spawn_later": lambda f: green.spawn_later(0, f),
    "Group.spawn": lambda f: green.Group().spawn(f),
    "Pool.spawn": lambda f: green.Pool(1).spawn(f),
    "native.call": native.call,
    "with_timeout": lambda f: green.with_timeout(1, f),
    "Green.link": lambda f: green.getcurrent().link(f),
    "Green.rawlink": lambda f: green.getcurrent().rawlink(f),
    "Semaphore.rawlink": lambda f: green.Semaphore().rawlink(f),
    "Event.rawlink": lambda f: green.Event().rawlink(f),
    "Queue.rawlink": lambda f: green.Queue().rawlink(f),
}


@pytest.mark.parametrize("call", FUNCTIONS)
@pytest.mark.parametrize("function", [None, 1, "print", ValueError("x")])
def test_what_cannot_be_called_is_a_type_error_at_once(call: str, function: Any) -> None:
    with pytest.raises(TypeError, match="callable"):
        FUNCTIONS[call](function)


@pytest.mark.parametrize("exception", [None, 1, "x", int])
def test_what_is_no_exception_is_not_thrown(exception: Any) -> None:
    with pytest.raises(TypeError, match="exceptions must be classes or instances"):
        beside_one(lambda one: one.kill(exception))
    with pytest.raises(TypeError, match="exceptions must be classes or instances"):
        beside_one(lambda one: one.throw(exception))
    with pytest.raises(TypeError, match="is not an exception"):
        green.AsyncResult().set_exception(exception)
    if exception is not None:
        with pytest.raises(TypeError, match="exception must be None, False, an exception"):
            green.Timeout(1, exception)


@pytest.mark.parametrize("wrong", [None, 1, "x"])
def test_what_is_no_green_is_not_waited_for_killed_or_taken_in(wrong: Any) -> None:
    pool = green.Pool(1)
    with pytest.raises(TypeError, match="it has no rawlink"):
        green.wait([wrong])
    with pytest.raises(TypeError, match="it is no green"):
        green.killall([wrong])
    with pytest.raises(TypeError, match="it is no green"):
        green.kill(wrong)
    with pytest.raises(TypeError, match="a group takes greens"):
        pool.add(wrong)
    assert (len(pool), pool.free_count()) == (0, 1)
    assert pool.join()


def test_killall_that_is_refused_has_killed_nobody() -> None:
    def kill(one: green.Green) -> bool:
        with pytest.raises(TypeError):
            green.killall([one, None])  # type: ignore[list-item]
        green.sleep(0)
        return one.dead

    assert beside_one(kill) is False


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: green.Channel(1), r"Channel\(\) takes at most 0"),  # type: ignore[call-arg]
        (lambda: green.Lock(1), "takes no arguments"),  # type: ignore[call-arg]
        (lambda: green.sleep(1, 2), "takes one argument"),  # type: ignore[call-arg]
        (lambda: green.sleep(secs=1), "takes one argument"),  # type: ignore[call-arg]
        (lambda: green.Green(), "cannot create"),
        (lambda: green.Queue().put(), "needs an item"),  # type: ignore[call-arg]
        (lambda: green.native.Proxy([], "x"), "autowrap takes types"),  # type: ignore[arg-type]
        (lambda: green.monkey_patch(True), "takes 0 positional"),  # type: ignore[call-arg]
    ],
)
def test_wrong_ways_to_call_say_what_is_right(call: Callable[[], Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        call()


def test_an_argument_that_raises_when_it_is_asked_raises_that() -> None:
    class Odd:
        def __float__(self) -> float:
            raise KeyError("asked")

        __index__ = __bool__ = __float__  # type: ignore[assignment]

    for call in (*TIMES.values(), *LENIENT_TIMES.values(), *COUNTS.values()):
        with pytest.raises(KeyError, match="asked"):
            call(Odd())
    assert _core.debug_counts()["greens"] == 0
