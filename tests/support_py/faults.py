"""Something goes wrong at each wait of a scenario in turn; whatever it is, nothing may be lost.

A scenario is a function that takes a Crew, has it run a few small functions in greens, and asserts
what must hold at the end. sweep() runs it once for each wait that its greens have, each moment in
the wait and each kind of exception, and looks after each run for what is left over. A function that
is hit begins again, in the same green or, when that was killed, in a new one: so what it has done
already it must remember outside of itself.
"""

from __future__ import annotations

import gc
import itertools
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

import green
from green import _core, debug

SECONDS = 20.0  # Whoever still waits then has been forgotten.
MOMENTS = ("begin", "middle", "end")

Function = Callable[[], object]


class Injected(Exception):
    """What goes wrong."""


# Of a Timeout a new one each time: the traceback of the last would keep its frames alive.
THROWN: dict[str, Callable[[], BaseException | type[BaseException]]] = {
    "an error": lambda: Injected,
    "a Timeout": green.Timeout,
    "a kill": lambda: green.GreenExit,
}


class Crew:
    def run(self, *functions: Function, helpers: Iterable[Function] = ()) -> None:
        """Runs them until all are done; `helpers` also, until then: they are killed."""
        wanted = {self._start(function): function for function in functions}
        helping = {self._start(function): function for function in helpers}
        end = time.monotonic() + SECONDS
        while wanted:
            left = end - time.monotonic()
            assert left > 0, f"some wait for ever:\n{debug.format_greens()}"
            for each in green.wait([*wanted, *helping], timeout=left, count=1):
                group = wanted if each in wanted else helping
                function = group.pop(each)
                value = each.get()
                if isinstance(value, green.GreenExit):
                    group[self._start(function)] = function
        green.killall(helping, block=True)

    def _start(self, function: Function) -> green.Green:
        return green.spawn(self._persist, function)

    def _persist(self, function: Function) -> None:
        while True:
            try:
                function()
                return
            except (Injected, green.Timeout):
                pass


def sweep(*scenarios: Callable[[Crew], None]) -> None:
    for scenario in scenarios:
        for _ in range(2):  # What is made once and kept is there before anything is counted.
            scenario(Crew())
        before = settled(None)
        for what, make in THROWN.items():
            for moment in MOMENTS:
                _sweep(scenario, what, make, moment, before)


def _sweep(
    scenario: Callable[[Crew], None], what: str, make: Any, moment: Any, before: object
) -> None:
    number = waits = 1
    while number <= waits:
        _core.throw_at_wait(number, make(), moment)
        try:
            scenario(Crew())
            waits = _core.throw_no_more()
            after = settled(before)
            assert after == before, "something is left"
        except BaseException as error:
            _core.throw_no_more()
            name = getattr(scenario, "__name__", scenario)
            error.add_note(f"{name}: {what} at the {moment} of wait {number}")
            raise
        number += 1


def settled(expected: object, seconds: float = 5.0) -> dict[str, object]:
    """What there is, once that is `expected` or time is over."""
    end = time.monotonic() + seconds
    for turn in itertools.count():
        found = _found()
        if found == expected or time.monotonic() > end or (expected is None and turn > 5):
            break
        if turn > 3:  # Rarely: it takes longer than all the rest.
            gc.collect()
            green.sleep(0.001)
        green.sleep(0)
    return found


def _found() -> dict[str, object]:
    return {**_core.debug_counts(), "descriptors": os.listdir("/proc/self/fd")}


def assert_free(lock: Any, times: int = 1) -> None:
    """It can be taken so often, and not once more, by the root."""
    taken = [lock.acquire(blocking=False) for _ in range(times)]
    assert all(taken), f"{lock!r} is held, by nobody"
    for _ in taken:
        lock.release()
