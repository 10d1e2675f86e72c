#!/usr/bin/env python3
"""Measures servers side by side: `run.py [WORK,..] [PEER,..] [--repeat 3] [--seconds 3]`.

The server runs on core 0 and the load on core 1; repetitions are interleaved over the peers, so
that a noisy machine treats all alike. What counts is the server's CPU time a request. Results
gather in out/results.jsonl; `--render` writes RESULTS.md and chart.svg from them. `./setup` comes
first.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # With PYTHONSAFEPATH Python does not.

from measure import Measured, as_record, idle_bytes, measure
from peers import OUT, PEERS, WORKS
from render import render

IDLE, MICRO = "idle", "micro"


def names(text: str, known: dict[str, object], what: str) -> list[str]:
    chosen = text.split(",") if text else list(known)
    for name in chosen:
        if name not in known:
            sys.exit(f"run.py: no {what} is called {name!r}; there are: {', '.join(known)}")
    return chosen


def show(measured: Measured) -> None:
    print(
        f"{measured.work:10} {measured.peer:16} {measured.cpu_us:8.2f} us a request"
        f" {measured.requests_a_second:10.0f}/s  p50 {measured.p50_us:8.0f}  p99"
        f" {measured.p99_us:8.0f} us  server {measured.server_cpu:4.0%}"
        f"  others {measured.foreign_cpu:4.0%}  {measured.errors}",
        flush=True,
    )


def run_one(work: str, peer: str, seconds: float, port: int) -> dict[str, object] | None:
    """Measures and tells; None when the server did not start."""
    try:
        if work == IDLE:
            size = idle_bytes(peer, 8000, port)
            print(f"idle       {peer:16} {size:8.0f} bytes a connection", flush=True)
            return {"work": IDLE, "peer": peer, "bytes": size}
        measured = measure(peer, work, seconds, port)
    except RuntimeError as error:
        print(f"{work:10} {peer:16} {error}", flush=True)
        return None
    show(measured)
    return as_record(measured)


def micro() -> None:
    """Runs the micro benchmarks of the parts without Python; their output goes to out/micro.txt."""
    text = ""
    for name in ("micro_fiber", "micro_http"):
        program = OUT / "build" / "bench" / name
        if program.exists():
            ran = subprocess.run(
                ["taskset", "-c", "1", program], check=True, capture_output=True, text=True
            )
            text += f"\n{name}\n{ran.stdout}"
    print(text)
    (OUT / "micro.txt").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="?", default="", help="comma-separated; default: all")
    parser.add_argument("peers", nargs="?", default="greenwsgi,fastwsgi,bjoern,gevent,eventlet")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--render", action="store_true", help="only write RESULTS.md")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    results = OUT / "results.jsonl"
    if not arguments.render:
        works = names(arguments.works, {**WORKS, IDLE: None, MICRO: None}, "work")
        if MICRO in works:
            works.remove(MICRO)
            micro()
        peers = names(arguments.peers, dict(PEERS), "peer")
        port = count(20100)
        with results.open("a") as file:
            for repetition in range(arguments.repeat):
                for work in works:
                    for peer in peers:
                        if work != IDLE and peer in WORKS[work].without:
                            continue
                        if record := run_one(work, peer, arguments.seconds, next(port)):
                            record["repetition"] = repetition
                            print(json.dumps(record), file=file, flush=True)
    render(results)


if __name__ == "__main__":
    main()
