"""micro_green.py RUNTIME [STACK_KIB] - the loops of greens.py on one runtime, in this process.

Reads lines "LOOP COUNT" and answers each with the nanoseconds of one operation (`parked`: bytes of
one; `asleep`: several figures). A RUNTIME is green, gevent or eventlet, each with everything
patched; greenlet, asyncio, uvloop; or plain, which is Python as it comes.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

Loop = Callable[[int], None]
CHUNK = 64 * 1024


def nothing() -> None:
    pass


def memory_bytes() -> int:
    """Resident memory and page tables."""
    with open("/proc/self/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return sum(int(fields[name].split()[0]) for name in ("VmRSS", "VmPTE")) * 1024


def timed(loop: Loop, count: int) -> float:
    """Nanoseconds of one of `count` operations."""
    gc.collect()
    start = time.perf_counter_ns()
    loop(count)
    return (time.perf_counter_ns() - start) / count


class Plain:
    """What any Python can do, patched or not."""

    def __init__(self) -> None:
        import subprocess
        import threading

        self.run_program = subprocess.run
        self.lock: Any = threading.Lock()
        file = tempfile.NamedTemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as we do.
        file.write(bytes(CHUNK))
        self.file: Any = file

    def lock_with(self, count: int) -> None:
        lock = self.lock
        for _ in range(count // 4):
            with lock:
                pass
            with lock:
                pass
            with lock:
                pass
            with lock:
                pass

    def lock_calls(self, count: int) -> None:
        acquire, release = self.lock.acquire, self.lock.release
        for _ in range(count // 4):
            acquire()
            release()
            acquire()
            release()
            acquire()
            release()
            acquire()
            release()

    def open_read(self, count: int) -> None:
        name = self.file.name
        for _ in range(count):
            with open(name, "rb") as file:
                file.read()

    def file_read(self, count: int) -> None:
        with open(self.file.name, "rb") as file:
            for _ in range(count):
                file.seek(0)
                file.read(CHUNK)

    def os_read(self, count: int) -> None:
        import os

        fd = self.file.fileno()
        for _ in range(count):
            os.lseek(fd, 0, os.SEEK_SET)
            os.read(fd, CHUNK)

    def subprocess(self, count: int) -> None:
        for _ in range(count):
            self.run_program(["true"], check=True)

    def run(self, loop: str, count: int) -> Any:
        return timed(getattr(self, loop), count)


class Blocking(Plain):
    """Green threads that switch inside of calls. Each loop runs in one of them."""

    spawn: Callable[..., Any]
    sleep: Callable[[float], None]
    join: Callable[[Any], None]
    timeout: Callable[[float], Any]
    queue: Callable[[], Any]

    def run(self, loop: str, count: int) -> Any:
        if loop in ("parked", "asleep"):
            return getattr(self, loop)(count)
        result = []
        self.join(self.spawn(lambda: result.append(timed(getattr(self, loop), count))))
        return result[0]

    def yields(self, count: int) -> None:
        sleep = self.sleep
        for _ in range(count):
            sleep(0)

    def pairs(self, count: int) -> None:
        for each in [self.spawn(self.yields, count) for _ in range(2)]:
            self.join(each)

    def spawn_join(self, count: int) -> None:
        spawn, join = self.spawn, self.join
        for _ in range(count):
            join(spawn(nothing))

    def spawn_batch(self, count: int) -> None:
        for each in [self.spawn(nothing) for _ in range(count)]:
            self.join(each)

    def timeouts(self, count: int) -> None:
        make = self.timeout
        for _ in range(count):
            with make(30):
                pass

    def queues(self, count: int) -> None:
        there, back = self.queue(), self.queue()

        def answer() -> None:
            get, put = there.get, back.put
            for _ in range(count):
                put(get())

        def ask() -> None:
            put, get = there.put, back.get
            for number in range(count):
                put(number)
                get()

        for each in [self.spawn(answer), self.spawn(ask)]:
            self.join(each)

    def parked(self, count: int) -> float:
        self.join(self.spawn(nothing))
        gc.collect()
        before = memory_bytes()
        keep = [self.spawn(self.sleep, 1000) for _ in range(count)]
        for _ in range(20):  # gevent and eventlet start them in batches.
            self.sleep(0.05)
        used = (memory_bytes() - before) / count
        del keep[:]
        return used

    def asleep(self, count: int) -> dict[str, float]:
        """All sleep at once, then all are woken by the same moment."""
        begun = ended = 0
        wake_at = float("inf")

        def body() -> None:
            nonlocal begun, ended
            begun += 1
            self.sleep(wake_at - time.monotonic())
            ended += 1

        before, start = memory_bytes(), time.monotonic()
        wake_at = start + max(2.0, count * 2e-5)
        keep = [self.spawn(body) for _ in range(count)]
        while begun < count:
            self.sleep(0)
        spawned = time.monotonic()
        used = memory_bytes() - before
        all_slept = ended == 0
        self.sleep(wake_at - time.monotonic())
        for each in keep:
            self.join(each)
        woken = time.monotonic()
        assert all_slept
        assert ended == count
        return {"bytes": used, "spawn_s": spawned - start, "wake_s": woken - wake_at}


class Green(Blocking):
    def __init__(self) -> None:
        import green

        if len(sys.argv) > 2:
            from green import _core

            _core.set_stack_bytes(int(sys.argv[2]) * 1024)
        green.monkey_patch()
        super().__init__()
        self.spawn, self.sleep, self.join = green.spawn, green.sleep, green.Green.join
        self.timeout, self.queue, self.own_lock = green.Timeout, green.Queue, green.Lock()

    def timers(self, count: int) -> None:
        timeout = self.timeout
        for _ in range(count):
            timeout(30).cancel()

    def own_lock_with(self, count: int) -> None:
        self.lock, keep = self.own_lock, self.lock
        self.lock_with(count)
        self.lock = keep

    def own_lock_calls(self, count: int) -> None:
        self.lock, keep = self.own_lock, self.lock
        self.lock_calls(count)
        self.lock = keep


class Gevent(Blocking):
    def __init__(self) -> None:
        from gevent import monkey

        monkey.patch_all()
        import gevent
        import gevent.queue

        super().__init__()
        self.spawn, self.sleep, self.join = gevent.spawn, gevent.sleep, gevent.Greenlet.join
        self.timeout, self.queue = gevent.Timeout, gevent.queue.Queue
        self.new_timer = gevent.get_hub().loop.timer

    def timers(self, count: int) -> None:
        """Barer than a Timeout: what those are made of."""
        new_timer = self.new_timer
        for _ in range(count):
            timer = new_timer(30)
            timer.start(nothing)
            timer.stop()
            timer.close()


class Eventlet(Blocking):
    def __init__(self) -> None:
        import eventlet

        eventlet.monkey_patch()
        import eventlet.hubs
        import eventlet.queue

        super().__init__()
        self.spawn, self.sleep = eventlet.spawn, eventlet.sleep
        self.join = lambda green: green.wait()
        self.timeout, self.queue = eventlet.Timeout, eventlet.queue.Queue
        self.add_timer = eventlet.hubs.get_hub().schedule_call_global

    def timers(self, count: int) -> None:
        add = self.add_timer
        for _ in range(count):
            add(30, nothing).cancel()


class Greenlet:
    """No hub, no waiting: the switch alone."""

    def __init__(self) -> None:
        import greenlet

        self.library = greenlet

    def pairs(self, count: int) -> None:
        back = self.library.getcurrent().switch

        def body() -> None:
            while True:
                back()

        there = self.library.greenlet(body).switch
        for _ in range(count):
            there()

    def spawn_join(self, count: int) -> None:
        greenlet = self.library.greenlet
        for _ in range(count):
            greenlet(nothing).switch()

    def parked(self, count: int) -> float:
        def park() -> None:
            self.library.getcurrent().parent.switch()

        before, keep = memory_bytes(), []
        for _ in range(count):
            keep.append(self.library.greenlet(park))
            keep[-1].switch()
        return (memory_bytes() - before) / count

    def run(self, loop: str, count: int) -> float:
        return self.parked(count) if loop == "parked" else timed(getattr(self, loop), count)


class Tasks:
    """Coroutines of asyncio, on its own loop or uvloop's."""

    def __init__(self, name: str) -> None:
        import asyncio

        self.asyncio = asyncio
        self.runner = asyncio.run
        if name == "uvloop":
            import uvloop

            self.runner = uvloop.run

    def run(self, loop: str, count: int) -> float:
        async def main() -> float:
            if loop == "parked":
                return await self.parked(count)
            gc.collect()
            start = time.perf_counter_ns()
            await getattr(self, loop)(count)
            return (time.perf_counter_ns() - start) / count

        return self.runner(main())

    async def nothing(self) -> None:
        pass

    async def yields(self, count: int) -> None:
        sleep = self.asyncio.sleep
        for _ in range(count):
            await sleep(0)

    async def pairs(self, count: int) -> None:
        await self.asyncio.gather(self.yields(count), self.yields(count))

    async def spawn_join(self, count: int) -> None:
        spawn = self.asyncio.get_running_loop().create_task
        for _ in range(count):
            await spawn(self.nothing())

    async def spawn_batch(self, count: int) -> None:
        spawn = self.asyncio.get_running_loop().create_task
        for each in [spawn(self.nothing()) for _ in range(count)]:
            await each

    async def timers(self, count: int) -> None:
        add = self.asyncio.get_running_loop().call_later
        for _ in range(count):
            add(30, nothing).cancel()

    async def timeouts(self, count: int) -> None:
        make = self.asyncio.timeout
        for _ in range(count):
            async with make(30):
                pass

    async def queues(self, count: int) -> None:
        there, back = self.asyncio.Queue(), self.asyncio.Queue()

        async def answer() -> None:
            for _ in range(count):
                await back.put(await there.get())

        async def ask() -> None:
            for number in range(count):
                await there.put(number)
                await back.get()

        await self.asyncio.gather(answer(), ask())

    async def parked(self, count: int) -> float:
        await self.asyncio.sleep(0)
        before = memory_bytes()
        spawn, sleep = self.asyncio.get_running_loop().create_task, self.asyncio.sleep
        keep = [spawn(sleep(1000)) for _ in range(count)]
        await sleep(0.2)
        used = (memory_bytes() - before) / count
        for each in keep:
            each.cancel()
        return used


RUNTIMES: dict[str, Callable[[], Any]] = {
    "plain": Plain,
    "green": Green,
    "gevent": Gevent,
    "eventlet": Eventlet,
    "greenlet": Greenlet,
    "asyncio": partial(Tasks, "asyncio"),
    "uvloop": partial(Tasks, "uvloop"),
}


def main() -> None:
    runtime = RUNTIMES[sys.argv[1]]()
    for line in sys.stdin:
        loop, count = line.split()
        print(runtime.run(loop, int(count)), flush=True)


if __name__ == "__main__":
    main()
