"""measure.py CLIENT ORDER SERVER: 200 greens ask a driver something slow at once; what it took.

CLIENT is a module of clients/. Its connect(number) makes a connection and has it ready, ask()
asks the server, which takes half a second, and returns `number` as text; close() and a RAMP of its
own are optional.
SERVER is the address as JSON, which the client finds in `server`. ORDER says whether the driver
and what the module makes at import are there before the patch ("imported first") or not ("patched
first"). Prints the figures as JSON.

The greens connect at once, wait for each other, and then ask within RAMP seconds, so that the
Python of a driver, which is all on one processor, is not run 200 times in a row.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import green

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "clients"), str(HERE.parent / "support_py")]

from patched import Ticker  # noqa: E402

GREENS = 200
RAMP = 0.4
TICK = 0.01

server: dict[str, Any] = {}


def main() -> None:
    name, order, address = sys.argv[1:]
    sys.modules["measure"] = sys.modules["__main__"]
    server.update(json.loads(address))
    if order == "patched first":
        green.monkey_patch()
    client = importlib.import_module(name)
    if order == "imported first":
        green.monkey_patch()
    print(json.dumps(green.spawn(measure, client).get()))


def measure(client: types.ModuleType) -> dict[str, float]:
    one = time_of_one(client, GREENS)
    ramp = getattr(client, "RAMP", RAMP)
    start, connected = green.Event(), green.Semaphore(0)

    def life(number: int) -> float:
        try:
            connection = client.connect(number)
        finally:
            connected.release()
        start.wait()
        time.sleep(ramp * number / GREENS)
        answer = client.ask(connection, number)
        answered = time.monotonic()
        assert answer == str(number), f"green {number} was answered {answer!r}"
        if hasattr(client, "close"):
            client.close(connection)
        return answered

    began = time.monotonic()
    with Ticker(TICK) as connecting:
        greens = [green.spawn(life, number) for number in range(GREENS)]
        for _ in range(GREENS):
            connected.acquire()
    connect = time.monotonic() - began

    gc.collect()
    gc.freeze()  # Else a full collection, 0.1 s with all that Django makes, is the longest gap.
    began, cpu_before = time.monotonic(), time.process_time()
    with Ticker(TICK) as asking:
        start.set()
        ends = [each.get() for each in greens]
    return {
        "one": one,
        "all": max(ends) - began,
        "cpu": time.process_time() - cpu_before,
        "gap": asking.longest,
        "connect": connect,
        "connect_gap": connecting.longest,
        "ramp": ramp,
    }


def time_of_one(client: types.ModuleType, number: int) -> float:
    connection = client.connect(number)
    began = time.monotonic()
    answer = client.ask(connection, number)
    took = time.monotonic() - began
    assert answer == str(number)
    if hasattr(client, "close"):
        client.close(connection)
    return took


if __name__ == "__main__":
    main()
