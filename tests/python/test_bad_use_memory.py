"""Too much of everything: no memory, no descriptors, no threads, and chains of any length.

Each test runs in a process of its own, which limits itself.
"""

import _thread
import os
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patched import isolated, leaves_behind
from sanitized import NO_LEAK_CHECK, limits_memory

import green
from green import debug

ONCE = "each test limits its process for good"  # leaks.py

SECONDS = 10.0  # Which no wait here comes near to.
MIB = 1 << 20


def limit_memory(more_bytes: int) -> None:
    """From now on the process may have only so many bytes of address space more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGESIZE") + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


@limits_memory
@isolated
def test_a_green_for_which_there_is_no_stack_is_a_memory_error_and_the_others_go_on() -> None:
    green.sleep(0)
    limit_memory(300 * MIB)
    greens = []
    with pytest.raises(MemoryError, match="no memory for the stack of another green; there are"):
        for _ in range(1_000_000):
            greens.append(green.spawn(lambda: 1))

    assert len(greens) > 100
    assert sum(each.get() for each in greens) == len(greens)
    assert green.spawn(lambda: 2).get() == 2


@limits_memory
@isolated
@leaves_behind
def test_a_thread_for_which_there_is_no_stack_is_refused_as_a_native_one_is() -> None:
    green.monkey_patch()
    green.sleep(0)
    limit_memory(300 * MIB)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        for _ in range(1_000_000):
            _thread.start_new_thread(green.sleep, (SECONDS,))

    assert len(debug.greens()) > 100


@limits_memory
@isolated
def test_where_there_is_no_memory_for_the_first_stack_the_first_call_says_so() -> None:
    limit_memory(50 * MIB)
    with pytest.raises(MemoryError, match="no memory for the first stacks of green threads"):
        green.spawn(int)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    assert green.spawn(int).get() == 0


def use_up_memory(kept: list[Any], make: Callable[[], Any]) -> None:
    """Fills the list until there is a MemoryError; what pytest would do with it needs memory."""
    try:
        while True:
            kept.append(make())
    except MemoryError:
        pass


@limits_memory
@isolated
@leaves_behind
def test_timers_for_which_there_is_no_memory_are_a_memory_error_and_waits_still_end() -> None:
    waiting = [green.spawn(green.sleep, 0.02) for _ in range(100)]
    green.sleep(0)
    limit_memory(100 * MIB)
    ballast: list[Any] = []
    timeouts: list[green.Timeout] = []
    laters: list[green.Green] = []
    use_up_memory(ballast, lambda: bytearray(100_000))
    use_up_memory(timeouts, lambda: green.Timeout(SECONDS))
    use_up_memory(laters, lambda: green.spawn_later(SECONDS, print))

    ballast.clear()
    for timeout in timeouts:
        timeout.cancel()
    for later in laters:
        later.kill()
    assert len(green.joinall(waiting, SECONDS)) == len(waiting)


@isolated
def test_without_descriptors_there_is_no_hub_and_the_first_call_says_why() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) - 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, limits[1]))
    with pytest.raises(RuntimeError, match=r"descriptor|Too many open files"):
        green.sleep(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert green.spawn(lambda: 1).get() == 1


@isolated(**NO_LEAK_CHECK)
def test_where_no_thread_can_be_started_what_needs_one_says_so_and_the_rest_works() -> None:
    green.sleep(0)
    executor = green.NativePoolExecutor()
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o777)
    if os.geteuid() == 0:
        os.setuid(65534)  # The limit does not hold for root.
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))

    with pytest.raises(RuntimeError, match="can't start new thread"):
        green.native.call(int)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        executor.submit(int)
    with pytest.raises(OSError):
        debug.watch_hub(1)
    with green.trace(Path(folder, "trace.json")):
        assert green.spawn(lambda: 1).get() == 1
    assert Path(folder, "trace.json").read_text().rstrip().endswith("]")


@isolated
def test_a_chain_of_greens_that_wait_for_each_other_may_be_long() -> None:
    def down(depth: int) -> int:
        return green.spawn(down, depth - 1).get() + 1 if depth > 0 else 0

    assert down(5000) == 5000


@isolated
def test_a_chain_of_greens_that_spawn_each_other_may_be_of_any_length() -> None:
    count = 0

    def again(left: int) -> None:
        nonlocal count
        count += 1
        if left > 0:
            green.spawn(again, left - 1)

    green.spawn(again, 100_000)
    while count <= 100_000:
        green.sleep(0)
    assert debug.statistics().stacks < 200


@isolated
def test_a_chain_of_results_of_any_length_is_let_go_of() -> None:
    last: Any = None
    for number in range(200_000):
        last = green.spawn(lambda value: value, last)
        if number % 100 == 0:
            green.sleep(0)
    last.join()
    del last


@isolated
def test_a_chain_of_timeouts_of_any_length_is_let_go_of() -> None:
    by_exception = by_context = green.Timeout()
    for _ in range(200_000):
        by_exception = green.Timeout(None, by_exception)
        by_context, before = green.Timeout(), by_context
        by_context.__context__ = before
    del by_exception, by_context, before


@isolated
def test_greens_that_kill_the_next_by_their_links_end_in_an_error_and_no_crash() -> None:
    chain = [green.spawn_later(SECONDS, int)]
    for _ in range(50_000):
        chain.append(green.spawn_later(SECONDS, int))
        chain[-2].rawlink(lambda _, following=chain[-1]: following.kill())
    chain[0].kill()

    assert chain[0].dead
    assert not chain[-1].dead  # The recursion limit was met, and reported.
    green.killall(reversed(chain))
