from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("supervised.py")
SECONDS = 20.0


class Supervised:
    def __init__(self, directory: Path, count: int, grace: float, behaviour: str) -> None:
        arguments = [str(directory), str(count), str(grace), behaviour]
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []

    def read_until(self, start: str) -> str:
        """The next line that begins so; every line is kept."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(start):
                return line.rstrip()
        raise AssertionError(f"no line begins with {start!r}: {self.lines}")

    def read_all(self) -> list[str]:
        """To the end of output: no process holds the pipe any more."""
        assert self.process.stdout is not None
        self.lines += [line.rstrip() for line in self.process.stdout]
        return self.lines

    def end(self) -> int:
        self.read_all()
        return self.process.wait(SECONDS)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    started: list[Supervised] = []

    def start(behaviour: str, *, count: int = 2, grace: float = 10.0) -> Supervised:
        started.append(Supervised(tmp_path, count, grace, behaviour))
        return started[-1]

    yield start
    for each in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(each.process.pid, signal.SIGKILL)
        each.process.wait()
        assert each.process.stdout is not None
        each.process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_every_worker_gracefully(
    supervise: Callable[..., Supervised], number: signal.Signals
) -> None:
    supervised = supervise("wait_for_stop", count=3)
    supervised.read_until("all ready")

    supervised.process.send_signal(number)

    assert supervised.end() == 0
    assert sum(line.startswith("stopped") for line in supervised.lines) == 3


def test_control_c_reaches_the_whole_group_and_is_one_signal(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("wait_for_stop")
    supervised.read_until("all ready")

    os.killpg(supervised.process.pid, signal.SIGINT)

    assert supervised.end() == 0
    assert sum(line.startswith("stopped") for line in supervised.lines) == 2


def test_the_first_worker_that_cannot_start_ends_it_all(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    supervised = supervise("fails_at_start", count=4)

    assert supervised.end() == 7
    assert (tmp_path / "starts").read_text() == "x"  # Nobody tried a second time.
    assert any("giving up" in line for line in supervised.lines)


def test_a_worker_that_dies_is_replaced(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("dies_once", count=1)

    died = supervised.read_until("error")
    supervised.read_until("up")
    supervised.process.terminate()

    assert "was ended by SIGKILL; starting another" in died
    assert supervised.end() == 0


def test_a_worker_that_is_told_to_stop_by_somebody_else_is_replaced(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("wait_for_stop", count=1)
    pid = int(supervised.read_until("up").split()[1])

    os.kill(pid, signal.SIGTERM)

    assert f"worker {pid} ended with status 0" in supervised.read_until("error")
    assert int(supervised.read_until("up").split()[1]) != pid
    supervised.process.terminate()
    assert supervised.end() == 0


def test_workers_that_stop_being_able_to_start_are_given_up(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    supervised = supervise("fails_after_the_first", count=1)

    assert supervised.end() == 9
    assert len((tmp_path / "starts").read_text()) >= 5
    pauses = [line for line in supervised.lines if "starting another in" in line]
    assert len(pauses) >= 3


def test_a_worker_that_does_not_stop_is_killed_after_the_grace(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("ignores_stop", count=1, grace=0.0)
    supervised.read_until("up")

    supervised.process.terminate()

    assert supervised.end() == 0
    assert "ignored" in supervised.lines
    assert any("killing them" in line for line in supervised.lines)


def test_a_second_signal_does_not_wait_for_the_grace(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("ignores_stop", count=1, grace=3600.0)
    supervised.read_until("up")

    supervised.process.terminate()
    supervised.read_until("ignored")
    supervised.process.terminate()

    assert supervised.end() == 0


def test_workers_stop_when_the_supervisor_dies(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("wait_for_stop", count=2)
    supervised.read_until("up")
    supervised.read_until("up")

    supervised.process.kill()

    lines = supervised.read_all()  # Ends only when no worker is left.
    assert sum(line.startswith("stopped") for line in lines) == 2


def test_a_fork_that_fails_once_is_tried_again(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise("without_forks", count=1)

    failed = supervised.read_until("error cannot start a worker")
    supervised.read_until("up")
    supervised.process.terminate()

    assert "Resource temporarily unavailable; trying again" in failed
    assert supervised.end() == 0


def test_a_child_that_a_dead_worker_left_behind_does_not_hold_up_the_supervisor(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise("leaves_a_child_behind", count=1)
    child = int(supervised.read_until("child").split()[1])

    supervised.read_until("error giving up")
    os.kill(child, signal.SIGKILL)

    assert supervised.end() == 1
