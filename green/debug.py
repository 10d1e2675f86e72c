"""Looking inside: which green waits for what, since when, and where in the code.

Everything here looks at the greens of all threads of the process, changes nothing, and never
switches, except where it writes. `docs/debugging.md` shows how it is used.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, TextIO

from green import _core

State = Literal["running", "ready", "waiting", "not started"]


@dataclass(frozen=True, slots=True)
class Record:
    """A green, as it was when greens() looked at it.

    Times are seconds; `waits_since` is counted from the beginning of the hub's turn in which it
    last ran. None: there is no such thing, or (spawner) nobody's green has spawned it.
    """

    green: _core.Green
    name: str
    number: int
    state: State
    waits_for: str | None
    waits_since: float | None
    age: float | None
    spawner: str | None
    thread: int | None
    stack: traceback.StackSummary

    def __str__(self) -> str:
        return "".join([self.headline(), "\n", *self.stack.format()])

    def headline(self) -> str:
        """All but the stack, in one line."""
        parts = [f"{self.name} (number {self.number}): {self.state}"]
        if self.waits_for is not None:
            parts[0] += f" for {self.waits_for}"
        if self.waits_since is not None:
            parts[0] += f" since {self.waits_since:.3f} s"
        if self.age is not None:
            parts.append(f"age {self.age:.3f} s")
        if self.spawner is not None:
            parts.append(f"spawned by {self.spawner}")
        return ", ".join(parts)


def greens() -> list[Record]:
    """Every green that has not ended: of each thread its main program, then by their numbers. Those
    of spawn_later() are among them once their time has come."""
    found = _core.greens()
    names = {id(each): each.name for each in found}
    records = []
    for each in found:
        record = _record(each, names)
        if record is not None:
            records.append(record)
    return records


def _record(green: _core.Green, names: dict[int, str]) -> Record | None:
    details = _core.green_details(green)
    if details is None:
        return None
    return Record(
        green=green,
        name=green.name,
        number=green.number,
        state=details["state"],
        waits_for=_wait(details, names),
        waits_since=details.get("since"),
        age=details.get("age"),
        spawner=details["spawner"],
        thread=details.get("thread"),
        stack=stack_of(green.frame),
    )


def _wait(details: _core.Details, names: dict[int, str]) -> str | None:
    what = details.get("what")
    if what is None:
        return None
    if "fd" in details:
        return f"{what} on descriptor {details['fd']}"
    address = details.get("address", 0)
    if what == "join":
        return f"the end of {names.get(address, 'a green')}"
    if what in ("a lock", "a queue"):  # The address is the object's.
        return f"{what} at {address:#x}"
    return what


def stack_of(frame: FrameType | None) -> traceback.StackSummary:
    """The stack whose innermost frame is `frame`, outermost first as in a traceback."""
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame) if frame else iter(()))
    stack.reverse()
    return stack


def format_greens(records: Iterable[Record] | None = None) -> str:
    """A text for people: how many greens there are, then each with its stack."""
    listed = greens() if records is None else list(records)
    states = Counter(record.state for record in listed)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    head = f"--- {len(listed)} greens in process {os.getpid()}: {counts}\n"
    return head + "".join(f"{record}" for record in listed)


def print_greens(file: TextIO | None = None) -> None:
    """Write format_greens() to `file`, by default sys.stderr."""
    print(format_greens(), end="", file=sys.stderr if file is None else file)


def on_signal(signum: int = signal.SIGUSR2) -> Any:
    """Print all greens to the standard error when the process gets the signal `signum`.

    In the main thread only: ValueError elsewhere. Returns the handler that was there before, as
    signal.signal() does. A handler runs when the main thread next runs Python: while C code blocks
    the thread nothing is printed; see watch_hub().
    """
    return signal.signal(signum, _print_at_once)


def _print_at_once(signum: int, frame: FrameType | None) -> None:
    # Not through sys.stderr, in whose buffer the interrupted code may be standing.
    left = format_greens().encode(errors="backslashreplace")
    with suppress(OSError):  # Closed, or nobody reads it: no reason to disturb the program.
        while left:
            left = left[os.write(2, left) :]


@dataclass(frozen=True, slots=True)
class Block:
    """A hub that has not turned for `seconds`, while others waited for it, and who is to blame.

    `thread` is the native number of the hub's thread; `green` the name of the green that runs.
    """

    seconds: float
    thread: int
    green: str
    number: int
    stack: traceback.StackSummary

    def __str__(self) -> str:
        return (
            f"the hub of thread {self.thread} is blocked for {self.seconds:.3f} s by {self.green}"
            f" (number {self.number})\n{''.join(self.stack.format())}"
        )


def watch_hub(seconds: float | None = 1.0, report: Callable[[Block], object] | None = None) -> None:
    """Report each hub that does not turn for `seconds`, within twice that time; None: stop.

    A native thread watches the hubs of all threads; nobody is interrupted. `report` is called on a
    native thread too, once a block, while it goes on: by default the error log gets a line and the
    stack, and a line when the hub turns again. C code that holds the GIL hides the stack: the log
    says so in time, and `report` is called when that code is back. A forked child is not watched.
    ValueError: less than 0.01 seconds.
    """
    if report is not None and not callable(report):
        raise TypeError(f"a report must be callable, not {type(report).__name__}")
    tell = _log_block if report is None else report

    def blocked(
        seconds: float,
        thread: int,
        number: int,
        name: str | None,
        is_main: bool,
        frame: FrameType | None,
    ) -> None:
        green = name or ("main" if is_main else f"green-{number}")
        tell(Block(seconds, thread, green, number, stack_of(frame)))

    _core.watch_hub(seconds, blocked)


def _log_block(block: Block) -> None:
    for line in str(block).splitlines():
        _core.log("warning", line)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures of one thread's hub since it was made. Times in seconds.

    `lag` tells how often the hub was away for others for how long, one turn of it each: {upper
    bound: turns}. A green that is ready, or whose timer is due, waits about that long for its turn.
    """

    hub: str
    greens: dict[State, int]
    timers: int
    operations: int
    stacks: int
    turns: int
    lag: dict[float, int]
    lag_longest: float


def statistics() -> Statistics:
    """The figures of the calling thread's hub, which is made if need be. Never switches."""
    found = _core.hub_statistics()
    *bounded, rest = found["lag"]
    lag = {2.0**place / 1e9: count for place, count in enumerate(bounded)}
    lag[float("inf")] = rest
    return Statistics(
        hub=found["hub"],
        greens={
            "running": found["running"],
            "ready": found["ready"],
            "waiting": found["waiting"],
            "not started": found["not_started"],
        },
        timers=found["timers"],
        operations=found["operations"],
        stacks=found["stacks"],
        turns=sum(found["lag"]),
        lag={bound: count for bound, count in lag.items() if count > 0},
        lag_longest=found["lag_longest"],
    )


observers: weakref.WeakSet[_core.Green] = weakref.WeakSet()  # Greens that only look: a backdoor's.


def deadlock() -> list[Record]:
    """The greens that wait for each other for ever, unless the calling green ends it; or [].

    They are all greens of the process but the caller, and [] is also the answer when something
    else might end any of the waits: a timer, an operation in the kernel, a green that is ready, a
    native thread, a signal handler of Python (KeyboardInterrupt's own does not count). So what it
    returns is a deadlock for certain if the caller has no part in it. Never switches.
    """
    records = greens()
    outlook = _core.outlook()
    me = _core.getcurrent()
    others = [each for each in records if each.green is not me and each.green not in observers]
    watching = sum(each.green in observers and each.green is not me for each in records)
    if any(each.state != "waiting" for each in others) or not others:
        return []
    # A green that has been woken by another thread waits still, but is not parked any more.
    if outlook["parked"] != len(others) or outlook["operations"] > watching:
        return []
    if outlook["ready"] or outlook["timers"] or outlook["thrown"]:
        return []
    return [] if _others_may_act(set(outlook["threads"])) else others


def _others_may_act(threads: set[int]) -> bool:
    """Is there a native thread that is not a hub's or a helper of ours, or a signal handler?"""
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:
                name = comm.read()
        except FileNotFoundError:
            continue  # It has ended.
        if int(task) not in threads and not name.startswith(("iou-", "green-w")):
            return True
    known = (signal.default_int_handler, _print_at_once)
    return any(
        callable(handler) and handler not in known and not isinstance(handler, signal.Handlers)
        for handler in map(signal.getsignal, signal.valid_signals())
    )
