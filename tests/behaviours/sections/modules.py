"""Patching: behaviour 4, one module of the standard library after the other."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import queue
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import layer
from layer import result, spawn, together
from support import nap, scenario, turning


@scenario(4, timed=True)
def simple_queue() -> None:
    """queue.SimpleQueue: get() waits cooperatively, with a time-out too."""
    items: queue.SimpleQueue[int] = queue.SimpleQueue()
    with turning():
        waiter = spawn(items.get)
        layer.sleep(0.1)
        items.put(1)
        assert result(waiter) == 1
        try:
            items.get(timeout=0.2)
            raise AssertionError("it had nothing to give")
        except queue.Empty:
            pass


@scenario(4, timed=True)
def futures() -> None:
    """concurrent.futures: a pool of threads works side by side with greens."""
    began = time.monotonic()
    with turning(), ThreadPoolExecutor(10) as pool:
        assert list(pool.map(nap, [0.3] * 10)) == [0.3] * 10
    assert time.monotonic() - began < 1.0, "one after the other"


@scenario(4, timed=True)
def process_pool_executor() -> None:
    """concurrent.futures: a pool of processes lets greens run."""
    with turning(), ProcessPoolExecutor(2) as pool:
        assert list(pool.map(nap, [0.2] * 4)) == [0.2] * 4


@scenario(4, timed=True)
def queue_mutex() -> None:
    """Queue.mutex held by one green excludes the others, which wait cooperatively."""
    items: queue.Queue[int] = queue.Queue()
    with turning():
        with items.mutex:
            putting = spawn(items.put, 1)
            layer.sleep(0.1)
            assert items.queue.__len__() == 0
        result(putting)
    assert items.get() == 1


@scenario(4, timed=True)
def timer() -> None:
    """threading.Timer fires in time and can be cancelled."""
    fired: queue.Queue[float] = queue.Queue()
    began = time.monotonic()
    with turning():
        threading.Timer(0.2, lambda: fired.put(time.monotonic())).start()
        cancelled = threading.Timer(0.1, lambda: fired.put(0.0))
        cancelled.start()
        cancelled.cancel()
        assert 0.19 < fired.get(timeout=5) - began < 1.0
        layer.sleep(0.05)
    assert fired.empty()


@scenario(4, timed=True)
def barrier() -> None:
    """threading.Barrier lets greens pass together."""
    wall = threading.Barrier(3, timeout=5)

    def arrive(seconds: float) -> float:
        layer.sleep(seconds)
        wall.wait()
        return time.monotonic()

    with turning():
        times = together(*[lambda each=each: arrive(each) for each in (0.0, 0.1, 0.2)])
    assert max(times) - min(times) < 0.1, times


@scenario(4)
def local() -> None:
    """threading.local keeps each green's values apart."""
    values = threading.local()

    def keep(number: int) -> int:
        values.number = number
        layer.sleep(0.01)
        return int(values.number)

    assert together(*[lambda each=each: keep(each) for each in range(10)]) == list(range(10))
    assert not hasattr(values, "number")


@scenario(4, timed=True)
def logging_handlers() -> None:
    """logging: a handler that waits holds up only those who log through it."""

    class Slow(logging.Handler):
        inside = most = lines = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            time.sleep(0.05)
            self.inside -= 1
            self.lines += 1

    handler, logger = Slow(), logging.Logger("made after the patch")
    logger.addHandler(handler)
    with turning():
        together(*[lambda: logger.error("line")] * 5)
    assert (handler.most, handler.lines) == (1, 5)


def pool_of_processes(method: str) -> None:
    with turning(), multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(nap, [0.2] * 4) == [0.2] * 4
        assert pool.apply_async(nap, (0.1,)).get(timeout=10) == 0.1


@scenario(4, timed=True)
def multiprocessing_pool_by_fork() -> None:
    """multiprocessing: a pool made by fork works, and lets greens run."""
    pool_of_processes("fork")


@scenario(4, timed=True)
def multiprocessing_pool_by_spawn() -> None:
    """multiprocessing: a pool made by spawn works, and lets greens run."""
    pool_of_processes("spawn")


@scenario(4, timed=True)
def multiprocessing_queue_and_lock() -> None:
    """multiprocessing: a queue and a lock shared with a child let greens run."""
    context = multiprocessing.get_context("fork")
    items, lock = context.Queue(), context.Lock()

    def work() -> None:
        with lock:
            items.put("held")
            time.sleep(0.3)
        items.put("done")

    with turning():
        process = context.Process(target=work)
        process.start()
        assert items.get(timeout=10) == "held"
        with lock:
            pass
        assert items.get(timeout=10) == "done"
        process.join()
    assert process.exitcode == 0


@scenario(4, timed=True)
def subprocess_communicates() -> None:
    """subprocess: run(), communicate() and time-outs let greens run."""
    with turning():
        done = subprocess.run(
            ["sh", "-c", "sleep 0.2; cat; echo err >&2"], input=b"x" * 100_000, capture_output=True
        )
        assert (len(done.stdout), done.stderr, done.returncode) == (100_000, b"err\n", 0)
        process = subprocess.Popen(["sleep", "5"])
        try:
            process.wait(0.2)
            raise AssertionError("it has not waited")
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == -signal.SIGKILL


@scenario(4, timed=True)
def subprocess_pipes() -> None:
    """subprocess: lines of a child are read as they come."""
    code = "import time\nfor n in range(3): print(n, flush=True); time.sleep(0.1)"
    with turning():
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert list(process.stdout) == [b"0\n", b"1\n", b"2\n"]
        assert process.returncode == 0


@scenario(4, timed=True)
def signal_handlers() -> None:
    """signal: handlers of a timer run while greens wait."""
    ticks = []
    signal.signal(signal.SIGALRM, lambda number, frame: ticks.append(number))
    with turning():
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        spawn(time.sleep, 0.5)
        time.sleep(0.5)
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert len(ticks) >= 5, f"{len(ticks)} of 9 signals were handled"


@scenario(4, timed=True)
def asyncio_runs() -> None:
    """asyncio: a loop in a green lets the others run."""

    async def work() -> str:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"hello\n")
        line = await reader.readline()
        writer.close()
        await asyncio.sleep(0.1)
        return line.decode()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    address = ["", 0]

    async def main() -> list[str]:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        address[:] = server.sockets[0].getsockname()
        found = await asyncio.gather(work(), work())
        server.close()
        return found

    with turning():
        assert result(spawn(lambda: asyncio.run(main()))) == ["hello\n"] * 2


@scenario(4, timed=True)
def asyncio_children() -> None:
    """asyncio: a subprocess of a loop ends, and its output arrives."""

    async def main() -> bytes:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", "sleep 0.1; echo done", stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output

    with turning():
        assert asyncio.run(main()) == b"done\n"


@scenario(4, timed=True)
def asyncio_to_thread() -> None:
    """asyncio: to_thread() does not hold up its loop."""

    async def main() -> float:
        began = time.monotonic()
        await asyncio.gather(*[asyncio.to_thread(nap, 0.2) for _ in range(3)])
        return time.monotonic() - began

    with turning():
        assert asyncio.run(main()) < 0.5
