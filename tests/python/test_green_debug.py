"""green.debug: every green with its stack, its wait, its age and its spawner; the signal."""

import io
import os
import signal
import socket
import threading
import time

import pytest
from patched import isolated, leaves_behind, patch

import green
from green import _core, debug


def record_of(each: green.Green) -> debug.Record:
    (found,) = [record for record in debug.greens() if record.green is each]
    return found


def names_in(record: debug.Record) -> list[str]:
    return [frame.name for frame in record.stack]


def asleep() -> None:
    def inner() -> None:
        green.sleep(100)

    inner()


def test_a_parked_green_is_seen_with_its_stack_outermost_first() -> None:
    each = green.spawn(asleep)
    green.sleep(0)

    seen = record_of(each)

    assert names_in(seen) == ["asleep", "inner"]
    assert (seen.state, seen.waits_for, seen.spawner) == ("waiting", "sleep", "main")
    assert seen.number == each.number
    assert each.frame.f_code.co_name == "inner"
    each.kill(block=True)
    assert each.frame is None
    assert all(record.green is not each for record in debug.greens())


def test_a_green_that_has_not_started_and_one_that_is_ready_are_seen() -> None:
    ready = green.spawn(lambda: green.sleep(0))
    green.sleep(0)
    new = green.spawn(asleep)

    assert record_of(new).state == "not started"
    assert list(record_of(new).stack) == []
    assert record_of(ready).state == "ready"
    assert names_in(record_of(ready)) == ["<lambda>"]
    new.kill()
    ready.join()


def test_a_green_killed_before_its_start_is_not_listed() -> None:
    each = green.spawn(asleep)
    each.kill()

    assert all(record.green is not each for record in debug.greens())
    green.sleep(0)


def test_the_one_that_looks_is_running_and_sees_its_own_stack() -> None:
    def look() -> debug.Record:
        return record_of(green.getcurrent())

    seen = green.spawn(look).get()

    assert seen.state == "running"
    assert seen.waits_since is None
    assert names_in(seen)[0] == "look"


def test_the_main_program_comes_first_and_has_no_spawner() -> None:
    first = debug.greens()[0]

    assert first.green is green.getcurrent()
    assert (first.name, first.state, first.spawner) == ("main", "running", None)
    assert names_in(first)[-3:] == [
        "test_the_main_program_comes_first_and_has_no_spawner",
        "greens",
        "_record",
    ]


def test_a_join_names_the_green_it_waits_for() -> None:
    target = green.spawn(asleep)
    waiter = green.spawn(target.join)
    target.name = "the target"
    green.sleep(0)

    assert record_of(waiter).waits_for == "the end of the target"
    target.kill()
    waiter.join()


def test_a_wait_for_a_descriptor_names_it() -> None:
    here, there = socket.socketpair()
    with here, there:
        waiter = green.spawn(_core.wait_fd, here.fileno(), 1, None)
        green.sleep(0)

        assert record_of(waiter).waits_for == f"poll on descriptor {here.fileno()}"
        there.send(b"x")
        waiter.join()


def test_the_spawner_of_a_green_that_began_later_is_who_asked_for_it() -> None:
    later = green.spawn_later(0, green.sleep, 60)
    green.sleep(0.01)

    (seen,) = [each for each in debug.greens() if each.number == later.number]

    assert seen.spawner == "main"
    later.kill()
    later.join()


def test_the_spawner_is_told_by_name_and_not_kept_alive() -> None:
    def spawn_one() -> green.Green:
        return green.spawn(asleep)

    spawner = green.spawn(spawn_one)
    spawner.name = "parent"
    child = spawner.get()
    number = spawner.number
    del spawner

    assert record_of(child).spawner == "parent"
    grandchild = green.spawn(spawn_one).get()
    assert record_of(grandchild).spawner == f"green-{grandchild.number - 1}"
    assert number not in [record.number for record in debug.greens()]
    for each in (child, grandchild):
        each.kill(block=True)


def test_times_grow_and_a_wait_is_no_longer_than_the_green_is_old() -> None:
    each = green.spawn(asleep)
    green.sleep(0)
    before = record_of(each)
    green.sleep(0.02)
    after = record_of(each)

    assert 0 <= before.waits_since <= before.age
    assert after.waits_since - before.waits_since >= 0.02
    each.kill(block=True)


def test_greens_of_other_threads_are_seen_with_their_stacks() -> None:
    parked = threading.Event()
    go_on = green.Event()

    def wait_there() -> None:
        parked.set()
        go_on.wait()

    def run() -> None:
        green.spawn(wait_there).join()

    thread = threading.Thread(target=run)
    thread.start()
    parked.wait()
    while True:
        there = [each for each in debug.greens() if each.thread == thread.ident]
        if len(there) == 2 and all(each.state == "waiting" for each in there):
            break

    assert there[0].name == "main"
    assert "run" in names_in(there[0])
    assert names_in(there[1]) == ["wait_there", "wait"]
    go_on.set()
    thread.join()
    assert [each for each in debug.greens() if each.thread == thread.ident] == []


def test_a_deep_stack_and_a_generator_are_followed_to_their_ends() -> None:
    def generator(depth: int):
        if depth == 0:
            green.sleep(100)
        yield from generator(depth - 1)

    each = green.spawn(lambda: list(generator(200)))
    green.sleep(0)

    assert names_in(record_of(each)) == ["<lambda>"] + ["generator"] * 201
    each.kill(block=True)


def test_a_frame_outlives_the_green_that_ran_it() -> None:
    def work() -> None:
        kept = "kept"
        green.sleep(100)
        del kept

    each = green.spawn(work)
    green.sleep(0)
    frame = each.frame
    assert frame is not None
    each.kill(block=True)

    assert frame.f_locals == {"kept": "kept"}
    assert frame.f_code is work.__code__


def test_the_text_has_a_headline_and_the_stack_of_each() -> None:
    each = green.spawn(asleep)
    each.name = "the sleeper"
    green.sleep(0)
    file = io.StringIO()

    debug.print_greens(file)
    each.kill(block=True)

    text = file.getvalue()
    assert text.startswith("--- ")
    assert f"the sleeper (number {each.number}): waiting for sleep since 0.0" in text
    assert "in inner\n    green.sleep(100)\n" in text


def test_looking_never_switches() -> None:
    ran = []
    each = green.spawn(ran.append, 1)

    debug.format_greens()

    assert ran == []
    each.join()


@isolated
@leaves_behind
def test_greens_wait_for_locks_and_queues_by_address_when_patched() -> None:
    patch()
    import queue

    lock = threading.Lock()
    lock.acquire()
    line = queue.SimpleQueue()
    waits = [green.spawn(lock.acquire), green.spawn(line.get)]
    green.sleep(0)

    assert record_of(waits[0]).waits_for == f"a lock at {id(lock):#x}"
    assert record_of(waits[1]).waits_for == f"a queue at {id(line):#x}"


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGUSR1])
def test_a_signal_prints_the_greens_while_all_wait(number: signal.Signals, capfd) -> None:
    before = debug.on_signal(number)
    each = green.spawn(asleep)
    green.sleep(0)
    try:
        os.kill(os.getpid(), number)
        green.sleep(0)
    finally:
        signal.signal(number, before)
        each.kill(block=True)

    printed = capfd.readouterr().err
    assert f"green-{each.number} (number {each.number}): waiting for sleep" in printed
    assert "in inner" in printed


@isolated
def test_a_forked_child_sees_its_own_greens_only() -> None:
    each = green.spawn(asleep)
    green.sleep(0)
    pid = os.fork()
    if pid == 0:
        main = green.getcurrent()
        own = green.spawn(asleep)
        os._exit(0 if [one.green for one in debug.greens()] == [main, own] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    each.kill(block=True)


def test_greens_may_be_asked_from_a_finalizer_that_runs_while_it_is_asked() -> None:
    class Asks:
        def __del__(self) -> None:
            debug.greens()

    each = green.spawn(asleep)
    green.sleep(0)
    for _ in range(50):
        cycle = [Asks()]
        cycle.append(cycle)
        del cycle
        debug.greens()
    each.kill(block=True)


def test_statistics_count_greens_timers_and_turns() -> None:
    before = debug.statistics()
    sleepers = [green.spawn(green.sleep, 100) for _ in range(3)]
    assert debug.statistics().greens["not started"] == 3
    green.sleep(0)

    now = debug.statistics()

    assert now.greens["waiting"] == before.greens["waiting"] + 3
    assert (now.greens["running"], now.greens["not started"]) == (1, 0)
    assert now.timers == before.timers + 3
    assert now.stacks >= before.stacks + 3
    assert now.turns > before.turns
    assert now.turns == sum(now.lag.values())
    for each in sleepers:
        each.kill(block=True)
    assert debug.statistics().greens["waiting"] == before.greens["waiting"]
    assert _core.hub_reason().startswith(now.hub)


def test_statistics_tell_for_how_long_the_hub_was_away() -> None:
    def busy() -> None:
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass

    green.sleep(0)
    before = debug.statistics()
    green.spawn(busy).join()
    green.sleep(0)
    after = debug.statistics()

    def long_turns(statistics: debug.Statistics) -> int:
        return sum(count for bound, count in statistics.lag.items() if bound >= 0.02)

    assert long_turns(after) > long_turns(before)
    assert after.lag_longest >= 0.02


def test_statistics_are_those_of_the_calling_thread() -> None:
    sleeper = green.spawn(green.sleep, 100)
    green.sleep(0)
    seen: list[debug.Statistics] = []

    thread = threading.Thread(target=lambda: seen.append(debug.statistics()))
    thread.start()
    thread.join()

    assert seen[0].greens == {"running": 1, "ready": 0, "waiting": 0, "not started": 0}
    sleeper.kill(block=True)
