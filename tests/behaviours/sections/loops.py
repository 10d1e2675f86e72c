"""asyncio: behaviour 24."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from typing import Any

import layer
from layer import result, spawn, together
from support import nap, scenario, turning


async def work(number: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0.05)
    return number


@scenario(24, timed=True)
def loops_in_many_greens() -> None:
    """asyncio.run() in ten greens at once: each has its loop, together they take as long as one."""
    began = time.monotonic()
    with turning():
        found = together(*[lambda each=each: asyncio.run(work(each)) for each in range(10)])
    assert found == list(range(10))
    assert time.monotonic() - began < 1.0, "one after the other"


@scenario(24)
def running_loop_is_per_green() -> None:
    """A green beside one that runs a loop has no running loop."""

    def beside() -> str:
        layer.sleep(0.05)
        try:
            return str(asyncio.get_running_loop())
        except RuntimeError:
            return "none"

    found = together(lambda: asyncio.run(work(1)), beside)
    assert found == [1, "none"], found


@scenario(24, timed=True)
def green_awaited_by_a_coroutine() -> None:
    """A coroutine awaits what a green of the same thread makes."""

    async def main() -> float:
        future: concurrent.futures.Future[float] = concurrent.futures.Future()
        spawn(lambda: future.set_result(nap(0.1)))
        waiting = asyncio.create_task(work(1))
        return await asyncio.wrap_future(future) + await waiting

    with turning():
        assert asyncio.run(main()) == 1.1


@scenario(24, timed=True)
def coroutine_awaited_by_a_green() -> None:
    """A green waits for a coroutine of a loop that another green runs."""
    loops: list[asyncio.AbstractEventLoop] = []
    ended: list[asyncio.Event] = []

    async def main() -> None:
        ended.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        await ended[0].wait()

    def ask(number: int) -> int:
        future: Any = asyncio.run_coroutine_threadsafe(work(number), loops[0])
        return int(future.result(timeout=10))

    runner = spawn(lambda: asyncio.run(main()))
    while not loops:
        layer.sleep(0.01)
    with turning():
        assert together(lambda: ask(1), lambda: ask(2)) == [1, 2]
    loops[0].call_soon_threadsafe(ended[0].set)
    result(runner)


@scenario(24, timed=True)
def loop_and_green_talk_by_a_socket() -> None:
    """A server of asyncio in one green, clients that block in others."""
    import socket

    address: list[Any] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.sleep(0.1)
        writer.write(line)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address.append(server.sockets[0].getsockname())
        await asyncio.sleep(1.0)
        server.close()

    def ask(number: int) -> bytes:
        with socket.create_connection(address[0]) as connection:
            connection.sendall(b"%d\n" % number)
            with connection.makefile("rb") as file:
                return file.readline()

    runner = spawn(lambda: asyncio.run(main()))
    while not address:
        layer.sleep(0.01)
    with turning():
        found = together(*[lambda each=each: ask(each) for each in range(10)])
    assert found == [b"%d\n" % number for number in range(10)]
    result(runner)


@scenario(24)
def contexts_of_tasks_and_greens_stay_apart() -> None:
    """Context variables of tasks and of greens beside them do not mix."""
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=-1)

    async def task(number: int) -> int:
        variable.set(number)
        await asyncio.sleep(0.02)
        return variable.get()

    async def main() -> list[int]:
        return await asyncio.gather(*[task(each) for each in range(5)])

    def green() -> int:
        variable.set(77)
        layer.sleep(0.02)
        return variable.get()

    assert together(lambda: asyncio.run(main()), green) == [[0, 1, 2, 3, 4], 77]
    assert variable.get() == -1
