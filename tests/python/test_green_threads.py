"""Green threads: spawning, waiting, throwing, and what each of them has to itself."""

import contextvars
import gc
import sys
import threading
import time
import weakref
from functools import partial

import pytest

import green
from green import _core


def test_a_spawned_function_gets_its_arguments_and_its_result_is_returned() -> None:
    def add(a, b, *, c):
        green.sleep(0)
        return a + b + c

    assert green.spawn(add, 1, 2, c=3).get() == 6


def test_what_ends_a_green_is_raised_by_get_with_its_traceback() -> None:
    def fail():
        raise KeyError("why")

    with pytest.raises(KeyError) as caught:
        green.spawn(fail).get()

    assert caught.traceback[-1].name == "fail"


def test_greens_take_turns_in_the_order_of_their_spawning() -> None:
    order = []

    def work(name):
        for turn in range(3):
            order.append((turn, name))
            green.sleep(0)

    greens = [green.spawn(work, name) for name in "abc"]
    for each in greens:
        each.join()

    assert order == sorted(order)


def test_sleepers_wake_in_the_order_of_their_deadlines() -> None:
    order = []

    def work(seconds):
        green.sleep(seconds)
        order.append(seconds)

    greens = [green.spawn(work, seconds) for seconds in (0.03, 0.01, 0.02)]
    for each in greens:
        each.join()

    assert order == [0.01, 0.02, 0.03]


def test_join_with_a_timeout_gives_up_and_get_raises_it() -> None:
    sleeper = green.spawn(green.sleep, 100)

    sleeper.join(timeout=0.001)
    with pytest.raises(green.Timeout):
        sleeper.get(timeout=0.001)

    assert not sleeper.dead
    sleeper.kill(block=True)


def test_join_returns_at_once_for_all_when_the_green_has_ended() -> None:
    target = green.spawn(green.sleep, 0.001)
    waiters = [green.spawn(target.get) for _ in range(10)]

    assert [each.get() for each in waiters] == [None] * 10


def test_a_green_that_waits_for_itself_is_refused() -> None:
    with pytest.raises(RuntimeError, match="its own end"):
        green.spawn(lambda: green.getcurrent().join()).get()


def test_spawn_refuses_what_cannot_be_called_and_sleep_what_is_no_time() -> None:
    with pytest.raises(TypeError, match="callable"):
        green.spawn(42)
    with pytest.raises(ValueError, match="negative"):
        green.sleep(-1)
    with pytest.raises(ValueError, match="negative"):
        green.sleep(float("nan"))
    with pytest.raises(TypeError):
        green.sleep(1, 2)


def test_the_main_program_has_a_green_too() -> None:
    main = green.getcurrent()

    assert main is green.getcurrent()
    assert main.name == "main"
    assert "running" in repr(main)


def test_repr_says_what_a_green_does() -> None:
    each = green.spawn(green.sleep, 100)
    assert "not started" in repr(each)
    green.sleep(0)
    assert "waiting for: sleep" in repr(each)
    each.kill(block=True)
    assert "finished" in repr(each)
    each.name = "worker"
    assert "worker" in repr(each)


def test_kill_before_the_start_means_that_the_function_is_never_called() -> None:
    called = []
    each = green.spawn(called.append, 1)

    each.kill()

    assert each.dead
    assert isinstance(each.get(), green.GreenExit)
    green.sleep(0)
    assert called == []


def test_kill_runs_the_finally_blocks_of_a_parked_green() -> None:
    ran = []

    def work():
        try:
            green.sleep(100)
        finally:
            green.sleep(0)
            ran.append("finally")

    each = green.spawn(work)
    green.sleep(0)
    each.kill(block=True)

    assert ran == ["finally"]
    assert isinstance(each.value, green.GreenExit)
    assert each.exception is None


def test_kill_with_another_exception_ends_the_green_with_it() -> None:
    each = green.spawn(green.sleep, 100)
    green.sleep(0)

    each.kill(ValueError("enough"), block=True)

    with pytest.raises(ValueError, match="enough"):
        each.get()


def test_two_exceptions_thrown_at_once_are_both_raised_in_their_order() -> None:
    seen = []

    def work():
        for _ in range(2):
            try:
                green.sleep(100)
            except LookupError as error:
                seen.append(type(error))

    each = green.spawn(work)
    green.sleep(0)
    each.throw(KeyError("1"))
    each.throw(IndexError("2"))
    each.join()

    assert seen == [KeyError, IndexError]


def test_kill_reaches_a_green_that_only_ever_yields() -> None:
    def spin():
        while True:
            green.sleep(0)

    each = green.spawn(spin)
    green.sleep(0)
    each.kill(block=True)

    assert each.dead


def test_killing_oneself_raises_here() -> None:
    def work():
        green.kill(green.getcurrent(), OSError)

    with pytest.raises(OSError):
        green.spawn(work).get()


def test_a_green_of_another_thread_can_be_killed_and_waited_for() -> None:
    spawned = []
    ended = threading.Event()

    def thread():
        each = green.spawn(green.sleep, 100)
        spawned.append(each)
        each.join()
        ended.set()

    native = threading.Thread(target=thread)
    native.start()
    while not spawned:
        green.sleep(0.001)

    spawned[0].kill()
    spawned[0].join()
    native.join()

    assert ended.is_set()
    assert spawned[0].dead


def test_contexts_are_inherited_at_spawn_and_never_leak_sideways() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    token = variable.set("spawner")
    seen = []

    def work(name):
        seen.append(variable.get())
        variable.set(name)
        green.sleep(0)
        seen.append(variable.get())

    greens = [green.spawn(work, name) for name in "ab"]
    for each in greens:
        each.join()

    assert seen == ["spawner", "spawner", "a", "b"]
    assert variable.get() == "spawner"
    variable.reset(token)


def test_the_exception_being_handled_stays_with_its_green() -> None:
    seen = []

    def other():
        seen.append(sys.exc_info()[0])
        try:
            raise ValueError
        except ValueError:
            green.sleep(0)
            seen.append(sys.exc_info()[0])

    def work():
        try:
            raise KeyError("mine")
        except KeyError:
            child = green.spawn(other)
            green.sleep(0)
            seen.append(sys.exc_info()[0])
            child.join()
            raise

    with pytest.raises(KeyError, match="mine"):
        green.spawn(work).get()
    assert seen == [None, KeyError, ValueError]
    assert sys.exc_info() == (None, None, None)


def test_generators_may_switch_inside() -> None:
    def produce(name):
        for i in range(3):
            green.sleep(0)
            yield name, i

    greens = [green.spawn(lambda name=name: list(produce(name))) for name in "ab"]

    assert [each.get() for each in greens] == [[(n, i) for i in range(3)] for n in "ab"]


def test_two_asyncio_loops_run_at_once_in_two_greens() -> None:
    import asyncio

    async def numbers():
        for i in range(3):
            green.sleep(0)
            await asyncio.sleep(0)
            yield i

    async def main():
        return [i async for i in numbers()]

    greens = [green.spawn(asyncio.run, main()) for _ in range(2)]

    assert [each.get() for each in greens] == [[0, 1, 2]] * 2


def test_thread_locals_are_per_green_and_die_with_it() -> None:
    class Value:
        pass

    local = threading.local()
    local.value = "main"
    alive = []

    def work():
        assert not hasattr(local, "value")
        local.value = Value()
        alive.append(weakref.ref(local.value))
        green.sleep(0)
        assert local.value is alive[-1]()

    for _ in range(3):
        green.spawn(work).get()

    assert [each() for each in alive] == [None] * 3
    assert local.value == "main"


def test_the_recursion_limit_counts_for_each_green_alone() -> None:
    def deep(levels):
        if levels:
            return deep(levels - 1)
        green.sleep(0)
        return None

    limit = sys.getrecursionlimit()
    greens = [green.spawn(deep, limit - 200) for _ in range(5)]
    for each in greens:
        each.get()

    with pytest.raises(RecursionError):
        green.spawn(deep, limit + 10).get()


def test_the_recursion_limit_may_change_while_a_green_is_parked() -> None:
    def deep(levels):
        return deep(levels - 1) if levels else levels

    def work():
        green.sleep(0)
        return deep(3000)

    limit = sys.getrecursionlimit()
    each = green.spawn(work)
    green.sleep(0)
    try:
        sys.setrecursionlimit(5000)
        assert each.get() == 0
    finally:
        sys.setrecursionlimit(limit)


def test_garbage_collection_at_every_turn_harms_nobody() -> None:
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:

        def work(i):
            keep = [object() for _ in range(10)]
            green.sleep(0)
            return len(keep) + i

        greens = [green.spawn(work, i) for i in range(50)]
        assert [each.get() for each in greens] == [10 + i for i in range(50)]
    finally:
        gc.set_threshold(*threshold)


def test_a_green_lives_without_a_reference_and_is_gone_after_its_end() -> None:
    done = []
    reference = weakref.ref(green.spawn(done.append, 1))
    gc.collect()
    assert reference() is not None

    green.sleep(0)
    green.sleep(0)

    assert done == [1]
    assert reference() is None


def test_the_green_object_is_not_kept_alive_by_its_own_exception() -> None:
    def fail():
        me = green.getcurrent()
        raise ValueError(me)

    each = green.spawn(fail)
    each.join()
    reference = weakref.ref(each)
    del each
    gc.collect()

    assert reference() is None


def test_an_exception_that_nobody_waits_for_is_reported_once(monkeypatch) -> None:
    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: reported.append(args.exc_type))

    def fail():
        raise ValueError

    green.spawn(fail)
    green.sleep(0)
    green.sleep(0)
    kept = green.spawn(fail)
    with pytest.raises(ValueError):
        kept.get()
    del kept
    gc.collect()

    assert reported == [ValueError]


def test_native_threads_run_beside_greens_that_never_block() -> None:
    progress = []
    stop = threading.Event()

    def native():
        while not stop.is_set():
            progress.append(1)

    thread = threading.Thread(target=native)
    thread.start()

    def spin():
        while len(progress) < 100:
            green.sleep(0)

    green.spawn(spin).get()
    stop.set()
    thread.join()


@pytest.mark.parametrize("switch_interval", [0.005, 0.02, 1000])
def test_a_native_thread_that_lets_go_of_the_gil_gets_it_back_from_greens_that_never_block(
    switch_interval: float, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
    sys.setswitchinterval(switch_interval)
    rounds = []

    def native():
        for number in range(200):
            time.sleep(0)
            rounds.append(number)

    thread = threading.Thread(target=native)
    thread.start()
    end = time.monotonic() + 30  # It takes one or two; who is passed over waits for ever.
    while len(rounds) < 200 and time.monotonic() < end:
        green.sleep(0)
    reached = len(rounds)
    thread.join()

    assert reached == 200


def test_a_native_thread_has_greens_of_its_own() -> None:
    results = []

    def native():
        greens = [green.spawn(lambda i=i: (green.sleep(0.001), i)[1]) for i in range(3)]
        results.append([each.get() for each in greens])

    threads = [threading.Thread(target=native) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [[0, 1, 2]] * 4


def test_nothing_is_left_behind_by_greens_that_ended_in_any_way() -> None:
    def fail():
        raise ValueError

    def cycle():
        green.spawn(int).join()
        failed = green.spawn(fail)
        failed.join()
        killed = green.spawn(green.sleep, 100)
        green.sleep(0)
        killed.kill(block=True)
        with green.Timeout(0.0, False):
            green.sleep(100)

    for _ in range(20):
        cycle()
    gc.collect()
    before = _core.debug_counts()
    references = len(gc.get_objects())
    for _ in range(200):
        cycle()
    gc.collect()

    assert _core.debug_counts() == before
    assert len(gc.get_objects()) - references < 50
