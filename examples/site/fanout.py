"""A thousand blocking calls at once: one green thread each, and a queue for what happens."""

from __future__ import annotations

import http.client
import queue
import time
from collections.abc import Iterable, Iterator
from typing import Any

try:
    from green import spawn
except ImportError:  # Under another server the calls run one after another.
    spawn = None

CALLS = 10 if spawn is None else 1000
UPSTREAM_SECONDS = 0.2

# What the page receives: [number of the call, "start", "end" or "error", seconds since the begin].
Event = list[Any]


def call_upstream(address: tuple[str, int]) -> bytes:
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("GET", "/upstream")
    answer = connection.getresponse().read()
    connection.close()
    return answer


def run(address: tuple[str, int], calls: int) -> Iterator[list[Event | dict[str, Any]]]:
    """Calls the upstream `calls` times and yields the events that have come since the last."""
    began = time.perf_counter()
    happened: queue.Queue[Event] = queue.Queue()

    def tell(number: int, what: str) -> None:
        happened.put([number, what, round(time.perf_counter() - began, 5)])

    def call(number: int) -> None:
        tell(number, "start")
        try:
            call_upstream(address)
            tell(number, "end")
        except OSError:
            tell(number, "error")

    ended = failed = 0
    for events in start_all(call, calls, happened):
        ended += sum(what == "end" for _, what, _ in events)
        failed += sum(what == "error" for _, what, _ in events)
        yield events
    seconds = time.perf_counter() - began
    yield [
        {
            "calls": ended,
            "failed": failed,
            "seconds": round(seconds, 3),
            "waited": round(ended * UPSTREAM_SECONDS, 1),
            "at_once": spawn is not None,
        }
    ]


def start_all(call: Any, calls: int, happened: queue.Queue[Event]) -> Iterator[list[Event]]:
    if spawn is None:
        for number in range(calls):
            call(number)
            yield drain(happened)
        return
    for number in range(calls):
        spawn(call, number)
    left = calls
    while left:
        events = drain(happened)
        left -= sum(what != "start" for _, what, _ in events)
        yield events


def drain(happened: queue.Queue[Event]) -> list[Event]:
    """Waits for one event; takes those with it that are there."""
    return [happened.get(), *take_rest(happened)]


def take_rest(happened: queue.Queue[Event]) -> Iterable[Event]:
    try:
        while True:
            yield happened.get_nowait()
    except queue.Empty:
        return
