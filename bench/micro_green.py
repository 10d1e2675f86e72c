"""Green threads side by side: the same loops on greenwsgi and, where installed, gevent.

    taskset -c 1 python bench/micro_green.py            each runtime in a process of its own
    taskset -c 1 python bench/micro_green.py green      one of them, in this process

Nanoseconds of an operation, the least of five runs; bytes of a parked green, page tables included.
Bars: sleep(0) 0.3, spawn and join 0.08, Timeout 0.5, queue round trip 0.3 of gevent's;
6.5 KiB a parked green.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable

REPEATS = 5
PARKED = 50_000


class Runtime:
    """The names that the loops below use, from one library."""

    def __init__(self, name: str) -> None:
        if name == "green":
            import green as library
        else:
            import gevent as library
            import gevent.queue
        self.spawn = library.spawn
        self.sleep = library.sleep
        self.timeout = library.Timeout
        self.queue = library.queue.Queue


def nothing() -> None:
    pass


def yields(runtime: Runtime, count: int) -> None:
    sleep = runtime.sleep
    for _ in range(count):
        sleep(0)


def yield_pairs(runtime: Runtime, count: int) -> None:
    both = [runtime.spawn(yields, runtime, count) for _ in range(2)]
    for each in both:
        each.join()


def spawn_and_join(runtime: Runtime, count: int) -> None:
    spawn = runtime.spawn
    for _ in range(count):
        spawn(nothing).join()


def spawn_batch(runtime: Runtime, count: int) -> None:
    for each in [runtime.spawn(nothing) for _ in range(count)]:
        each.join()


def timeouts(runtime: Runtime, count: int) -> None:
    make = runtime.timeout
    for _ in range(count):
        with make(30):
            pass


def queue_round_trips(runtime: Runtime, count: int) -> None:
    there, back = runtime.queue(), runtime.queue()

    def answer() -> None:
        get, put = there.get, back.put
        for _ in range(count):
            put(get())

    def ask() -> None:
        put, get = there.put, back.get
        for number in range(count):
            put(number)
            get()

    for each in [runtime.spawn(answer), runtime.spawn(ask)]:
        each.join()


LOOPS: dict[str, tuple[Callable[[Runtime, int], None], int]] = {
    "sleep(0)": (yields, 200_000),
    "sleep(0) in two greens": (yield_pairs, 100_000),
    "spawn and join": (spawn_and_join, 50_000),
    "spawn 10,000, then join": (spawn_batch, 10_000),
    "with Timeout(30)": (timeouts, 100_000),
    "queue round trip": (queue_round_trips, 50_000),
}


def least(loop: Callable[[Runtime, int], None], runtime: Runtime, count: int) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        gc.collect()
        start = time.perf_counter()
        loop(runtime, count)
        best = min(best, (time.perf_counter() - start) / count)
    return best * 1e9


def memory_bytes() -> int:
    """Resident memory and page tables."""
    with open("/proc/self/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return sum(int(fields[name].split()[0]) for name in ("VmRSS", "VmPTE")) * 1024


def parked(runtime: Runtime) -> float:
    runtime.spawn(nothing).join()
    gc.collect()
    before = memory_bytes()
    keep = [runtime.spawn(runtime.sleep, 1000) for _ in range(PARKED)]
    for _ in range(20):  # gevent starts them in batches.
        runtime.sleep(0.1)
    used = (memory_bytes() - before) / PARKED
    for each in keep:
        each.kill(block=False)
    runtime.sleep(0)
    return used


def measure(name: str) -> None:
    runtime = Runtime(name)
    for label, (loop, count) in LOOPS.items():
        print(f"{label}\t{least(loop, runtime, count):.0f}", flush=True)
    print(f"parked green, bytes\t{parked(runtime):.0f}", flush=True)


def results_of(name: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, name], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"{name}: not measured: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
    return {
        label: float(value)
        for label, value in (line.split("\t") for line in done.stdout.splitlines())
    }


def main() -> None:
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return
    ours, gevents = results_of("green"), results_of("gevent")
    print(f"{'':26s}{'green':>10s}{'gevent':>10s}{'ratio':>8s}   Python {sys.version.split()[0]}")
    for label, value in ours.items():
        peer = gevents.get(label)
        beside = f"{peer:10.0f}{value / peer:8.3f}" if peer else ""
        print(f"{label:26s}{value:10.0f}{beside}")


if __name__ == "__main__":
    main()
