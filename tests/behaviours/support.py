"""What a scenario is, and the few moves that scenarios share. Imports no runtime."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import layer

sys.path.append(str(Path(__file__).parents[1] / "support_py"))
from processor import processor_wait

HERE = Path(__file__).parent
CERTIFICATE = HERE.parent / "python" / "tls" / "test.invalid.pem"
SECTIONS = (
    "patching",
    "modules",
    "threads",
    "processes",
    "sockets",
    "files_and_names",
    "libraries",
    "inside",
    "loops",
    "endurance",
    "endings",
)
GAP_MAX = 0.05  # Of a green that wakes every 10 ms, in seconds.
FULL = bool(os.environ.get("BEHAVIOURS_FULL"))


@dataclass(frozen=True)
class Scenario:
    """`late`: patches by itself, after its section is imported, or has programs that do.

    `timed`: a busy machine may make it fail. `seconds`: longer than that is a hang;
    `seconds_full` at full size.
    """

    number: int
    section: str
    name: str
    what: str
    function: Callable[[], None]
    late: bool
    timed: bool
    stdio: bool
    seconds: float
    seconds_full: float

    @property
    def limit(self) -> float:
        return self.seconds_full if FULL else self.seconds


class Skip(Exception):
    """The scenario cannot run on this machine."""


_found: dict[str, list[Scenario]] = {}


def scenario(
    number: int,
    *,
    late: bool = False,
    timed: bool = False,
    stdio: bool = False,
    seconds: float = 15.0,
    seconds_full: float = 600.0,
) -> Any:
    """Behaviour `number` is what the function's docstring says, in one line."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        section = Path(function.__code__.co_filename).stem
        _found.setdefault(section, []).append(
            Scenario(
                number=number,
                section=section,
                name=function.__name__,
                what=(function.__doc__ or "").strip(),
                function=function,
                late=late,
                timed=timed,
                stdio=stdio,
                seconds=seconds,
                seconds_full=max(seconds, seconds_full),
            )
        )
        return function

    return register


def scenarios(section: str) -> list[Scenario]:
    importlib.import_module(f"sections.{section}")
    return _found[section]


def all_scenarios() -> list[Scenario]:
    return [each for section in SECTIONS for each in scenarios(section)]


def size(full: int, default: int) -> int:
    """How often: `full` is what the behaviour names, `default` takes a second or two."""
    return full if FULL else default


# --- Time


class Ticker:
    """A green that wakes every 10 ms and remembers its longest gap, in seconds.

    Time in which other programs had the processor does not count.
    """

    def __init__(self) -> None:
        self.longest = 0.0
        self.turns = 0
        self._ended = False

    def _run(self) -> None:
        last = time.monotonic() - processor_wait()
        while not self._ended:
            layer.sleep(0.01)
            now = time.monotonic() - processor_wait()
            self.longest = max(self.longest, now - last)
            self.turns += 1
            last = now

    def __enter__(self) -> Self:
        self._green = layer.spawn(self._run)
        layer.sleep(0.02)  # It has begun.
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended = True
        layer.result(self._green)


@contextmanager
def turning(turns: int = 3) -> Iterator[None]:
    """Meanwhile the hub keeps turning: the ticker's longest gap is short, and it has ticked."""
    with Ticker() as ticker:
        yield
        layer.sleep(0.02)  # A gap that is still open is seen.
    assert ticker.longest < GAP_MAX, f"the hub stood still for {ticker.longest * 1000:.0f} ms"
    assert ticker.turns >= turns, f"the ticker had {ticker.turns} turns only"


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Waits, cooperatively, until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for has not happened"
        layer.sleep(0.002)


# --- Memory


def rss_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def assert_flat(cycle: Callable[[], None], count: int) -> None:
    """The memory after `count` cycles is what it was after a tenth of them, within 5 %."""
    for _ in range(count // 10):
        cycle()
    before = rss_bytes()
    for _ in range(count - count // 10):
        cycle()
    after = rss_bytes()
    assert after <= before * 1.05, f"RSS grew from {before >> 10} to {after >> 10} KiB"


# --- Processes


def run_code(code: str, *, patched: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
    """What a program of its own prints, and how it ends: `layer` is there, and `support`."""
    return subprocess.run(code_command(code, patched), capture_output=True, text=True, **more)


def code_command(code: str, patched: bool = True) -> list[str]:
    head = f"import sys\nsys.path.insert(0, {str(HERE)!r})\nimport layer\n"
    head += f"layer.choose({layer.runtime!r})\n"
    head += "layer.patch()\n" * patched
    return [sys.executable, "-P", "-c", head + code]


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """What it printed. It ended well, and had nothing to complain of."""
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == "", done.stderr
    return done.stdout


def forked(function: Callable[[], Any], seconds: float = 10.0) -> None:
    """Calls it in a child, where it must return; the child has no other way on."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            break
        if time.monotonic() > end:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            raise AssertionError("the child hangs")
        layer.sleep(0.01)
    assert status == 0, f"the child ended with status {status}"


@contextmanager
def child(command: list[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    process = subprocess.Popen(command, **more)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for each in (process.stdin, process.stdout, process.stderr):
            if each is not None:
                each.close()


@contextmanager
def stub(kind: str) -> Iterator[int]:
    """The port of a server of stubs.py, in a process of its own."""
    command = [sys.executable, "-P", str(HERE / "stubs.py"), kind]
    with child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="behaviours-") as name:
        yield Path(name)
