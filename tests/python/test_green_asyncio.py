"""Coroutines that await greens, and greens that wait for coroutines: no loop of a special kind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from patched import isolated, patch, start_natively

import green


def in_a_loop(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    patch()
    return asyncio.run(main())


@isolated
def test_a_coroutine_gets_what_a_green_returns_while_its_loop_goes_on() -> None:
    turns = 0

    def work(name: str) -> str:
        enough = turns + 2 if name == "first" else turns
        while turns < enough:
            time.sleep(0.001)
        return name

    async def main() -> tuple[str, str]:
        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        turning = asyncio.create_task(turn())
        got = await green.spawn(work, "first")
        turning.cancel()
        done = green.spawn(work, "second")
        done.join()
        return got, await done

    assert in_a_loop(main) == ("first", "second")


@isolated
def test_awaiting_raises_what_ended_the_green() -> None:
    def fail() -> None:
        time.sleep(0.001)
        raise ValueError("bad")

    async def main() -> Any:
        with pytest.raises(ValueError, match="bad"):
            await green.spawn(fail)
        killed = green.spawn(time.sleep, 100)
        asyncio.get_running_loop().call_later(0.001, killed.kill)
        return await killed

    assert isinstance(in_a_loop(main), green.GreenExit)


@isolated
def test_a_cancelled_await_leaves_the_green_alone() -> None:
    async def main() -> str:
        slow = green.spawn(lambda: time.sleep(0.05) or "done")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(wrapped(slow), 0.001)
        return await slow

    async def wrapped(awaited: green.Green) -> Any:
        return await awaited

    assert in_a_loop(main) == "done"


@isolated
def test_a_green_outlives_the_loop_that_awaited_it() -> None:
    patch()
    slow = green.spawn(lambda: time.sleep(0.02) or "done")

    async def main() -> None:
        task = asyncio.ensure_future(wrapped())
        await asyncio.sleep(0)
        task.cancel()

    async def wrapped() -> None:
        await slow

    asyncio.run(main())
    assert slow.get() == "done"


@isolated
def test_coroutines_await_results_that_greens_and_native_threads_set() -> None:
    results = [green.AsyncResult() for _ in range(2)]

    async def main() -> list[Any]:
        green.spawn_later(0.001, results[0].set, "green")
        start_natively(threading.Thread(target=results[1].set, args=["thread"]))
        return list(await asyncio.gather(*(wrapped(each) for each in results)))

    async def wrapped(result: green.AsyncResult) -> Any:
        return await result

    assert in_a_loop(main) == ["green", "thread"]


@isolated
def test_a_green_waits_for_a_coroutine_of_a_loop_in_another_green() -> None:
    patch()
    loop = asyncio.new_event_loop()
    running = green.spawn(loop.run_forever)

    async def double(number: int) -> int:
        await asyncio.sleep(0.001)
        return number * 2

    def ask(number: int) -> int:
        return asyncio.run_coroutine_threadsafe(double(number), loop).result()

    asked = [green.spawn(ask, number) for number in range(20)]
    assert [each.get() for each in asked] == [number * 2 for number in range(20)]
    loop.call_soon_threadsafe(loop.stop)
    running.join()
    loop.close()


@isolated
def test_greens_of_one_thread_and_a_loop_of_another_await_each_other() -> None:
    patch()
    loop = asyncio.new_event_loop()
    start_natively(thread := threading.Thread(target=loop.run_forever))

    async def double(awaited: green.Green) -> int:
        return 2 * await awaited

    def ask(number: int) -> Any:
        inner = green.spawn(lambda: time.sleep(0.001) or number)
        return asyncio.run_coroutine_threadsafe(double(inner), loop).result()

    asked = [green.spawn(ask, number) for number in range(20)]
    assert [each.get() for each in asked] == [number * 2 for number in range(20)]
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_without_a_loop_awaiting_is_a_clear_error() -> None:
    awaiting = green.spawn(int).__await__()

    with pytest.raises(RuntimeError, match="no running event loop"):
        next(awaiting)
