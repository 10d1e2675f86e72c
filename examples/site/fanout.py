"""A thousand blocking calls at once: one green thread each, and a queue for what happens."""

from __future__ import annotations

import http.client
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

try:
    from green import spawn
except ImportError:
    spawn = None

UPSTREAM_SECONDS = 0.2

# What the page receives: [number of the call, "start", "end" or "error", seconds since the begin].
Event = list[Any]


def has_green_threads(server: str) -> bool:
    return spawn is not None and server.startswith("greenwsgi")


def calls_for(server: str) -> int:
    """How many calls to make: without green threads they are made one after another."""
    return 1000 if has_green_threads(server) else 10


def call_upstream(address: tuple[str, int]) -> bytes:
    connection = http.client.HTTPConnection(*address, timeout=30)
    connection.request("GET", "/upstream")
    answer = connection.getresponse().read()
    connection.close()
    return answer


def run(
    address: tuple[str, int], calls: int, at_once: bool
) -> Iterator[list[Event | dict[str, Any]]]:
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
    for events in each(call, range(calls), happened, at_once):
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
            "at_once": at_once,
        }
    ]


def each(
    call: Callable[[int], None], numbers: range, happened: queue.Queue[Event], at_once: bool
) -> Iterator[list[Event]]:
    """Runs the calls; yields what has happened, as it happens."""
    if not at_once:
        for number in numbers:
            call(number)
            yield take(happened)
        return
    for number in numbers:
        spawn(call, number)
    left = len(numbers)
    while left:
        events = take(happened)
        left -= sum(what != "start" for _, what, _ in events)
        yield events


def take(happened: queue.Queue[Event]) -> list[Event]:
    """Waits for one event; takes those with it that are there."""
    events = [happened.get()]
    while not happened.empty():
        events.append(happened.get())
    return events
