#!/usr/bin/env python3
"""What watching the hub costs: `watchdog.py [--python PYTHON] [--rounds N] [--write]`.

One process does the same work with the watch and without, in turns, and its CPU time is compared
pair by pair, the watching thread's included. Beside it stands that thread's own time, as the
scheduler counts it, and the instructions of a look and of the work, counted by callgrind on the
epoll hub. Needs an interpreter that imports green (./dev build) and Debian's `valgrind`. `--write`
puts its section into RESULTS.md.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # With PYTHONSAFEPATH Python does not.

from measure import SERVER_CORE
from render import machine, put_sections

HEADING = "## The watch on the hub"
LIMITS = (1.0, 0.1)  # Seconds; the first is the default.
GREENS = 100
WORK = {"greens that yield": 60_000, "greens that sleep 1 ms": 2_000}  # Turns of each.
COUNTED = 1000  # Turns of each under callgrind.
MEANING = (
    "The ratios are as good as the machine is quiet. The watching thread's own time, of which the"
    " scheduler keeps account, is all there is to pay: the hub runs the same instructions."
)


# --- In a process of its own


def work(kind: str, turns: int) -> None:
    import green

    pause = 0.001 if "sleep" in kind else 0.0

    def run() -> None:
        for _ in range(turns):
            green.sleep(pause)

    green.joinall([green.spawn(run) for _ in range(GREENS)])


def watcher_seconds() -> float:
    """The CPU time of the thread that watches."""
    for task in Path("/proc/self/task").iterdir():
        if (task / "comm").read_text().strip() == "green-watchdog":
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    return 0.0


def measure_once(kind: str, limit: float | None) -> tuple[float, float, float]:
    """Seconds of CPU, of the watching thread's, and of the clock."""
    from green import debug

    debug.watch_hub(limit, lambda block: None)
    began, cpu = time.monotonic(), time.process_time()
    work(kind, WORK[kind])
    took = time.process_time() - cpu, watcher_seconds(), time.monotonic() - began
    debug.watch_hub(None)
    return took


def worker() -> None:
    for line in sys.stdin:
        kind, limit = ast.literal_eval(line)
        print(measure_once(kind, limit), flush=True)


# --- Counting


def instructions(python: str, limit: float | None, turns: int) -> int:
    """Of the main thread, for the whole of a program that does so much work."""
    code = f"""
import watchdog
from green import debug
debug.watch_hub({limit!r}, lambda block: None)
watchdog.work("greens that yield", {turns})
debug.watch_hub(None)
"""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "counts")
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
        command += ["--separate-threads=yes", python, "-P", "-c", code]
        known = environment() | {"GREENWSGI_HUB": "epoll", "PYTHONHASHSEED": "0"}
        subprocess.run(command, env=known, check=True, capture_output=True)
        text = Path(directory, "counts-01").read_text()
        return int(re.findall(r"^(?:totals|summary): (\d+)", text, re.M)[-1])


def environment() -> dict[str, str]:
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(places)}


# --- The report


class Worker:
    def __init__(self, python: str) -> None:
        command = ["taskset", "-c", SERVER_CORE, python, "-P", __file__, "--worker"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def ask(self, kind: str, limit: float | None) -> tuple[float, float, float]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{(kind, limit)!r}\n")
        self.process.stdin.flush()
        answer: tuple[float, float, float] = ast.literal_eval(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate()


def row(kind: str, limit: float, pairs: list[tuple[Any, Any]]) -> str:
    ratios = sorted(watched[0] / plain[0] for watched, plain in pairs)
    quarter = len(ratios) // 4
    looking = 100 * median(watched[1] / watched[2] for watched, _ in pairs)
    seconds = median(plain[0] for _, plain in pairs)
    middle = f"{ratios[quarter]:.3f}..{ratios[-1 - quarter]:.3f}"
    look = median(watched[1] / (4 * watched[2] / limit) for watched, _ in pairs)
    return (
        f"| {kind} | {limit} s | {seconds:.3f} s | {median(ratios):.4f} ({middle})"
        f" | {looking:.4f} % | {look * 1e6:.0f} us |"
    )


def measure(python: str, rounds: int) -> list[str]:
    lines = [
        "| work | limit | CPU without | CPU with, ratio (middle half) | of a core | a look |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    worker = Worker(python)
    for kind in WORK:
        worker.ask(kind, None)  # Warms up.
        for limit in LIMITS:
            pairs = []
            for number in range(rounds):
                order = (limit, None) if number % 2 else (None, limit)
                took = {each: worker.ask(kind, each) for each in order}
                pairs.append((took[limit], took[None]))
            lines.append(row(kind, limit, pairs))
            print(lines[-1], flush=True)
    worker.close()
    return lines


def count(python: str) -> str:
    def a_yield(limit: float | None) -> float:
        many, few = (instructions(python, limit, turns) for turns in (3 * COUNTED, COUNTED))
        return (many - few) / (2 * COUNTED * GREENS)

    without, watched = a_yield(None), a_yield(LIMITS[0])
    return (
        "Instructions of the hub's thread in user space, a yield (callgrind, epoll hub):"
        f" {without:.1f} without, {watched:.1f} with."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
        return
    table = measure(arguments.python, arguments.rounds)
    counted = count(arguments.python)
    print(counted)
    if arguments.write:
        about = (
            f"`bench/watchdog.py --rounds {arguments.rounds} --write`, {datetime.date.today()},"
            f" {machine(arguments.python)}. {GREENS} greens; pairs of a run with"
            " `green.debug.watch_hub()` and one without, in one process on one core."
        )
        put_sections({HEADING: "\n".join([about, "", *table, "", counted, "", MEANING])})


if __name__ == "__main__":
    main()
