"""Keeps a number of worker processes running: starts, watches, restarts and stops them.

The first worker starts alone, so that an application that cannot start says so once; when it is
ready the others follow. A worker that dies is replaced, at once if it had been serving for a while,
else with a growing delay. A worker notices by a pipe that the supervisor has died, and stops. What
a worker does is not known here; it is a function that returns an exit status.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from green.cli.logs import Level

STEADY_SECONDS = 10.0  # Who served for that long did not fail because of how it started.
DELAY_SECONDS = 0.1  # Before the first restart that is not immediate; doubles each time.
DELAY_SECONDS_MAX = 30.0
START_FAILURES_MAX = 12  # Of each worker in a row, in some 80 s; then the supervisor gives up.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# To a worker. Not SIGTERM again: it may have had that from whoever stops the whole process group.
CUT_SIGNAL = signal.SIGQUIT
PASSED_ON = (signal.SIGUSR2,)  # What they mean is the workers' matter.
CUT_SECONDS = 3.0  # Between a cut's signal, or the grace's end, and SIGKILL.
POLL_SECONDS_MAX = 3600.0  # poll(2) takes no more than 24 days.

Work = Callable[[Callable[[], None]], int]


@dataclass
class Slot:
    """The place of one worker: the process in it, and how its predecessors fared."""

    pid: int = 0  # 0: none runs.
    ready_fd: int = -1  # Readable when the worker is ready or gone.
    lifeline: int = -1  # Never written to: closes when the supervisor dies.
    ready: bool = False
    started: float = 0.0
    restart: float = 0.0  # When to start the next one.
    failures: int = 0  # In a row, before or soon after being ready.

    @property
    def running(self) -> bool:
        return self.pid != 0


class Supervisor:
    """`work(ready)` runs in each worker; once all have called ready(), `all_ready` is."""

    def __init__(
        self,
        count: int,
        work: Work,
        *,
        grace: float,
        log: Callable[[Level, str], None],
        all_ready: Callable[[], None],
    ) -> None:
        self._slots = [Slot() for _ in range(count)]
        self._work = work
        self._grace = grace
        self._log = log
        self._all_ready: Callable[[], None] | None = all_ready
        self._proven = False  # Has any worker ever been ready?
        self._stopping = False
        self._status = 0
        self._kill_at = float("inf")
        self._pid = os.getpid()
        self._signals, self._signals_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Returns the exit status: in the supervisor at the end, and in each worker its own."""
        self._listen_to_signals()
        while not (self._stopping and not any(slot.running for slot in self._slots)):
            for slot in self._due():
                if self._start(slot):
                    return self._be_worker()
            self._wait()
            self._reap()
            self._kill_when_late()
        return self._status

    def _listen_to_signals(self) -> None:
        """Signals arrive as bytes in a pipe: the handlers themselves have nothing to do."""
        signal.set_wakeup_fd(self._signals_in, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, *PASSED_ON, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def _due(self) -> list[Slot]:
        if self._stopping:
            return []
        slots = self._slots if self._proven else self._slots[:1]
        now = time.monotonic()
        return [slot for slot in slots if not slot.running and slot.restart <= now]

    def _start(self, slot: Slot) -> bool:
        """Starts a worker, or tries again later. True: this is the worker."""
        opened: list[int] = []
        # A signal between fork and the worker's own handlers must neither be lost nor be taken for
        # the supervisor's.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            # Nobody may make the supervisor wait: not a process either that has inherited the other
            # end and says nothing.
            opened += os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            opened += os.pipe2(os.O_CLOEXEC)
            slot.pid = os.fork()
        except OSError as error:
            for fd in opened:
                os.close(fd)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
            self._cannot_start(slot, error)
            return False
        slot.ready_fd, ready_in, lifeline, slot.lifeline = opened
        slot.ready = False
        slot.started = time.monotonic()
        if slot.pid == 0:
            self._ready_in, self._lifeline = ready_in, lifeline
            return True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        os.close(ready_in)
        os.close(lifeline)
        return False

    def _cannot_start(self, slot: Slot, error: OSError) -> None:
        slot.ready = False
        pause = self._postpone(slot)
        if self._proven:
            self._log("error", f"cannot start a worker: {error.strerror}; trying again{pause}")
        else:
            self._log("error", f"cannot start a worker: {error.strerror}")
            self._status = 1
            self._stop("no worker can start")

    def _be_worker(self) -> int:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        not_ours = [self._signals, self._signals_in]
        for each in self._slots:
            not_ours += [fd for fd in (each.ready_fd, each.lifeline) if fd != -1]
        for fd in not_ours:
            os.close(fd)
        self._stop_without_supervisor()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return self._work(self._say_ready)

    def _stop_without_supervisor(self) -> None:
        """Only the supervisor holds the lifeline's other end; the kernel sends SIGTERM when it
        closes, whatever this process is doing then."""
        fcntl.fcntl(self._lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self._lifeline, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(self._lifeline, fcntl.F_SETFL, os.O_ASYNC)
        if os.getppid() != self._pid:  # It died before that was in place.
            os.kill(os.getpid(), signal.SIGTERM)

    def _say_ready(self) -> None:
        os.write(self._ready_in, b"r")
        os.close(self._ready_in)

    def _wait(self) -> None:
        """Until a signal, a worker's word, or the next thing to do."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        for slot in self._slots:
            if slot.ready_fd != -1:
                poll.register(slot.ready_fd, select.POLLIN)
        moments = [self._kill_at]
        if not self._stopping and self._proven:
            moments += [slot.restart for slot in self._slots if not slot.running]
        until = min(moments) - time.monotonic()
        for fd, _ in poll.poll(max(0, min(until, POLL_SECONDS_MAX) * 1000 + 1)):
            if fd == self._signals:
                self._take_signals()
            else:
                self._hear_from(next(slot for slot in self._slots if slot.ready_fd == fd))

    def _take_signals(self) -> None:
        for number in os.read(self._signals, 512):
            if number in STOP_SIGNALS:
                self._stop(signal.Signals(number).name)
            elif number in PASSED_ON:
                self._signal_all(signal.Signals(number))

    def _hear_from(self, slot: Slot) -> None:
        try:
            slot.ready = os.read(slot.ready_fd, 1) != b""
        except BlockingIOError:
            slot.ready = False  # It is gone, and a process of its own holds the other end.
        os.close(slot.ready_fd)
        slot.ready_fd = -1
        if slot.ready:
            self._proven = True
            self._log("info", f"worker {slot.pid} is ready")
        if self._all_ready is not None and all(each.ready for each in self._slots):
            self._all_ready()
            self._all_ready = None

    def _stop(self, reason: str) -> None:
        """The first call lets calls in flight finish, the second cuts them."""
        again, self._stopping = self._stopping, True
        seconds = CUT_SECONDS if again else self._grace + CUT_SECONDS
        self._kill_at = min(self._kill_at, time.monotonic() + seconds)
        self._signal_all(CUT_SIGNAL if again else signal.SIGTERM)
        if not again:
            self._log("info", f"{reason}: stopping the workers")

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.running:
                os.kill(slot.pid, number)  # Not reaped yet, so the number is still its own.

    def _kill_when_late(self) -> None:
        if time.monotonic() >= self._kill_at:
            self._log("warning", "workers did not stop in time: killing them")
            self._signal_all(signal.SIGKILL)
            self._kill_at = float("inf")

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.running:
                pid, wait_status = os.waitpid(slot.pid, os.WNOHANG)
                if pid != 0:
                    self._bury(slot, os.waitstatus_to_exitcode(wait_status))

    def _bury(self, slot: Slot, code: int) -> None:
        if slot.ready_fd != -1:
            self._hear_from(slot)  # It may have been ready in the meantime.
        os.close(slot.lifeline)
        slot.lifeline = -1
        pid, slot.pid = slot.pid, 0
        if self._stopping:
            return
        if slot.ready and time.monotonic() - slot.started >= STEADY_SECONDS:
            slot.failures = 0
        pause = self._postpone(slot)
        if self._hopeless():
            self._give_up(code)
        else:
            self._log("error", f"worker {pid} {_how(code)}; starting another{pause}")

    def _postpone(self, slot: Slot) -> str:
        """The next start, later with every failure; when that is, for the log."""
        delay = min(DELAY_SECONDS * 2**slot.failures, DELAY_SECONDS_MAX) if slot.failures else 0.0
        slot.failures += 1
        slot.restart = time.monotonic() + delay
        return f" in {delay:.1f} s" if delay else ""

    def _hopeless(self) -> bool:
        if not self._proven:
            return True
        return all(
            not slot.running and not slot.ready and slot.failures >= START_FAILURES_MAX
            for slot in self._slots
        )

    def _give_up(self, code: int) -> None:
        self._log("error", f"giving up: the application does not start, its worker {_how(code)}")
        self._status = code if code > 0 else 1
        self._stop("no worker can start")


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
