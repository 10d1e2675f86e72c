#!/usr/bin/env python3
"""Green threads beside greenlet, gevent, eventlet, asyncio and uvloop: `greens.py [ROW,..]`.

Measures on the Python that runs it, prints two tables and writes nothing; `--write` puts them into
RESULTS.md. ROW is a part of a row's title. Each runtime has a process of its own on core 0, which
waits while others run; the clients of the echo servers run on core 1. The runtimes take turns,
round for round, and what is held against a bar is the median of the rounds' ratios, because a
machine's speed drifts. `bench/setup greens` comes first.
"""

from __future__ import annotations

import argparse
import ast
import datetime
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parent))  # With PYTHONSAFEPATH Python does not.

from measure import LOAD_CORE, SERVER_CORE
from peers import GREEN_PACKAGES, HERE, OUT, PYTHON
from render import put_sections, versions_line

COLUMNS = ["green", "plain", "greenlet", "gevent", "eventlet", "asyncio", "uvloop"]
MILLION = 1_000_000


@dataclass(frozen=True)
class Row:
    """One kind of work. `how` says by column what measures it: a loop of micro_green.py that runs
    `count` times, or a server of echo_server.py."""

    title: str
    count: int
    how: dict[str, str]
    bars: dict[str, float] = field(default_factory=dict)  # The highest ratio to a column.
    most: float | None = None  # The highest figure.


def same(loop: str, *columns: str) -> dict[str, str]:
    return dict.fromkeys(("green", *columns), loop)


HUBS = ("gevent", "eventlet", "asyncio", "uvloop")
PATCHED = ("plain", "gevent", "eventlet")
LOOPS = [
    Row("switch, pair", 100_000, same("pairs", "greenlet", *HUBS), {"greenlet": 0.45}),
    Row("sleep(0)", 100_000, same("yields", *HUBS), {"gevent": 0.3}),
    Row(
        "spawn and join",
        20_000,
        same("spawn_join", "greenlet", *HUBS),
        {"gevent": 0.08, "uvloop": 0.5},
    ),
    Row("spawn many, join all", 5_000, same("spawn_batch", *HUBS), {"gevent": 0.08}),
    Row("timer, add and cancel", 100_000, same("timers", *HUBS), {"gevent": 0.5}),
    Row("with Timeout(30)", 50_000, same("timeouts", *HUBS), {"gevent": 0.5}),
    Row("queue round trip", 20_000, same("queues", *HUBS), {"gevent": 0.3}),
    Row("with lock, patched", 1_000_000, same("lock_with", *PATCHED), {"plain": 1.5}),
    Row("lock calls, patched", 1_000_000, same("lock_calls", *PATCHED), {"plain": 1.5}),
    Row(
        "with lock, green.Lock",
        1_000_000,
        {"green": "own_lock_with", "plain": "lock_with"},
        {"plain": 1.5},
    ),
    Row(
        "lock calls, green.Lock",
        1_000_000,
        {"green": "own_lock_calls", "plain": "lock_calls"},
        {"plain": 1.5},
    ),
    Row("open, read 64 KiB, close", 3_000, same("open_read", *PATCHED), {"plain": 1.5}),
    Row("file.seek, read 64 KiB", 10_000, same("file_read", *PATCHED), {"plain": 1.5}),
    Row("os.lseek, read 64 KiB", 10_000, same("os_read", *PATCHED), {"plain": 1.5}),
    Row('subprocess.run(["true"])', 40, same("subprocess", *PATCHED), {"plain": 1.1}),
]
#: `count` connections; nanoseconds of the server's CPU a message. asyncio and uvloop: Protocols.
ECHOES = [
    Row(
        "echo, 100 connections",
        100,
        {column: column for column in COLUMNS if column not in ("plain", "greenlet")},
        {"gevent": 0.6, "uvloop": 1.0},
    ),
    Row(
        "echo, streams of asyncio",
        100,
        {"asyncio": "asyncio-streams", "uvloop": "uvloop-streams"},
    ),
    Row(
        "TLS echo, 100 connections",
        100,
        {column: column for column in COLUMNS if column not in ("plain", "greenlet")},
        {"gevent": 0.8},
    ),
]
#: Bytes of one that waits, page tables included. `how`: the KiB of its stack.
PARKED = [
    Row(
        "parked, bytes",
        50_000,
        {"green": "1024"} | dict.fromkeys(("greenlet", *HUBS), "0"),
        most=6.5 * 1024,
    ),
    Row("parked, 256 KiB stacks", 50_000, {"green": "256"}, most=5 * 1024),
]

Samples = dict[tuple[str, str], list[float]]  # By title and column, a figure a round.


def pinned(core: str, *command: str) -> list[str]:
    return ["taskset", "-c", core, *command]


class Process:
    """A program on the runtimes' core that is told what to do and answers in lines."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            pinned(SERVER_CORE, str(PYTHON), "-P", "-W", "ignore", str(HERE / program), *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.communicate()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended")
        return ast.literal_eval(line)

    def run(self, loop: str, count: int) -> Any:
        assert self.process.stdin
        self.process.stdin.write(f"{loop} {count}\n")
        self.process.stdin.flush()
        return self.answer()


def measure_loops(rows: list[Row], rounds: int, scale: float, samples: Samples) -> None:
    columns = [column for column in COLUMNS if any(column in row.how for row in rows)]
    with ExitStack() as stack:
        workers = {
            column: stack.enter_context(Process("micro_green.py", column)) for column in columns
        }
        for row in rows:
            count = max(int(row.count * scale), 4)
            for column, loop in row.how.items():
                workers[column].run(loop, count // 4)  # Warms up.
            for _ in range(rounds):
                for column, loop in row.how.items():
                    took = workers[column].run(loop, count)
                    samples.setdefault((row.title, column), []).append(took)
            tell(row, samples)


def certificate(directory: str) -> str:
    path = Path(directory, "certificate.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", str(path), "-out", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    path.write_text(path.read_text() + done.stdout)
    return str(path)


def measure_echo(row: Row, rounds: int, seconds: float, samples: Samples) -> None:
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        tls = [certificate(directory)] if row.title.startswith("TLS") else []
        servers = {}
        for column, kind in row.how.items():
            server = stack.enter_context(Process("echo_server.py", kind, *tls))
            servers[column] = (str(server.answer()), str(server.process.pid))
        for _ in range(rounds):
            for column, (port, pid) in servers.items():
                load = pinned(LOAD_CORE, str(OUT / "build" / "bench" / "echo_load"), port, pid)
                load += [str(row.count), "64", f"{seconds:g}", *(["tls"] if tls else [])]
                done = subprocess.run(load, check=True, capture_output=True, text=True)
                messages, nanoseconds = map(int, done.stdout.split())
                samples.setdefault((row.title, column), []).append(nanoseconds / messages)
    tell(row, samples)


def measure_parked(row: Row, scale: float, samples: Samples) -> None:
    count = int(row.count * max(scale, 0.2))
    for column, stack_kib in row.how.items():
        arguments = [stack_kib] if column == "green" else []
        with Process("micro_green.py", column, *arguments) as worker:
            samples[row.title, column] = [worker.run("parked", count)]
    tell(row, samples)


def measure_asleep(count: int) -> str:
    """A sentence about so many sleepers."""
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    stack_kib = 1024 if available > count * 8192 else 256
    with Process("micro_green.py", "green", str(stack_kib)) as worker:
        found = worker.run("asleep", count)
    return (
        f"{count:,} greens asleep at once, stacks of {stack_kib} KiB: "
        f"{found['bytes'] / 2**30:.2f} GiB with page tables ({found['bytes'] / count:,.0f} bytes "
        f"each, of {available / 2**30:.0f} GiB that were free), {found['spawn_s']:.2f} s until all "
        f"slept, {found['wake_s']:.2f} s from the moment that woke them all until the last was "
        "joined."
    )


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def verdicts(row: Row, samples: Samples) -> list[str]:
    """Lines of the table of bars."""
    lines = []
    ours = samples.get((row.title, "green"), [])
    if row.most is not None:
        value = median(ours)
        held = "ok" if value <= row.most else "**missed**"
        lines.append(
            f"| {row.title} | {figure(value)} | | | {figure(value)} | <= {row.most:,.0f} | {held} |"
        )
    for column, bar in row.bars.items():
        theirs = samples[row.title, column]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        ratio = median(ratios)
        held = "ok" if ratio <= bar else "**missed**"
        lines.append(
            f"| {row.title} | {figure(median(ours))} | {column} | {figure(median(theirs))} "
            f"| {ratio:.3f} ({min(ratios):.2f}..{max(ratios):.2f}) | <= {bar} | {held} |"
        )
    return lines


def tell(row: Row, samples: Samples) -> None:
    """Progress, to the standard error."""
    found = [f"{column} {figure(median(samples[row.title, column]))}" for column in row.how]
    print(f"{row.title}: {', '.join(found)}", file=sys.stderr, flush=True)


def tables(rows: list[Row], samples: Samples) -> list[str]:
    lines = [
        "| work | ours | against | theirs | ratio (range of the rounds) | to reach | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        lines += verdicts(row, samples)
    lines += ["", f"| work | {' | '.join(COLUMNS)} |", "| --- " * (len(COLUMNS) + 1) + "|"]
    for row in rows:
        cells = [
            figure(median(samples[row.title, column])) if column in row.how else ""
            for column in COLUMNS
        ]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return lines


def output_of(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def describe(rounds: int) -> list[str]:
    script = "import green._core as core; core.sleep(0); print(core.hub_reason())"
    reason = subprocess.run(
        [PYTHON, "-P", "-c", script], check=True, capture_output=True, text=True
    ).stdout.strip()
    commit = output_of("git", "-C", HERE, "describe", "--always")
    others = [":!RESULTS.md", ":!chart.svg"]  # Than what the measuring writes.
    changed = output_of("git", "-C", HERE, "status", "--porcelain", "--", ":/", *others)
    commit += "-dirty" if changed else ""
    return [
        f"{datetime.date.today()}, commit {commit or 'unknown'}, {versions_line(GREEN_PACKAGES)}",
        f"Hub: {reason}. {rounds} rounds. Nanoseconds an operation; echo: CPU a message of 64",
        "bytes. plain: Python as it comes. Greens, gevent, eventlet: everything is patched.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", default="", help="parts of titles; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to try it out")
    parser.add_argument("--write", action="store_true", help="into RESULTS.md")
    arguments = parser.parse_args()
    wanted = arguments.rows.split(",")
    scale, seconds = (0.1, 0.2) if arguments.quick else (1, 1.0)

    def chosen(rows: list[Row]) -> list[Row]:
        return [row for row in rows if any(part in row.title for part in wanted)]

    samples: Samples = {}
    if loops := chosen(LOOPS):
        measure_loops(loops, arguments.rounds, scale, samples)
    for row in chosen(ECHOES):
        measure_echo(row, arguments.rounds, seconds, samples)
    for row in chosen(PARKED):
        measure_parked(row, scale, samples)
    text = [*describe(arguments.rounds), "", *tables(chosen(LOOPS + ECHOES + PARKED), samples)]
    if any(part in "asleep" for part in wanted):
        text += ["", measure_asleep(int(MILLION * scale))]
    print("\n".join(text))
    if arguments.write:
        version = ".".join(map(str, sys.version_info[:2]))
        python = os.path.basename(os.path.realpath(sys.executable))
        command = f"`{python} bench/greens.py --rounds {arguments.rounds} --write`"
        put_sections({f"## Green threads, Python {version}": "\n".join([command, "", *text])})


if __name__ == "__main__":
    main()
