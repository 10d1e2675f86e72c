"""Child processes and signals: behaviours 8 and 9."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import layer
from layer import result, spawn, together
from support import run_code, scenario, succeeded, turning, until

# --- 8


@scenario(8, late=True, timed=True)
def run_costs_what_it_costs() -> None:
    """subprocess.run(["true"]) takes no longer than unpatched."""
    code = """
import subprocess, time
def one():
    began = time.perf_counter(); subprocess.run(["true"]); return time.perf_counter() - began
print(min(one() for _ in range(30)))
"""
    unpatched = float(succeeded(subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True)))  # fmt: skip
    patched = float(succeeded(run_code(code)))
    assert patched < 1.5 * unpatched + 0.001, f"{patched * 1000:.1f}, {unpatched * 1000:.1f} ms"


@scenario(8, timed=True)
def children_are_waited_for_together() -> None:
    """20 greens wait for a child each, by run(), waitpid(), system(): as long as for one."""

    def by_pid() -> None:
        pid = os.posix_spawnp("sleep", ["sleep", "0.4"], os.environ)
        assert os.waitpid(pid, 0) == (pid, 0)

    kinds = [lambda: subprocess.run(["sleep", "0.4"], check=True), by_pid]
    kinds.append(lambda: os.system("sleep 0.4"))
    began = time.monotonic()
    with turning():
        together(*[kinds[each % 3] for each in range(20)])
    assert time.monotonic() - began < 2.0, "one after the other"
    children = f"/proc/self/task/{os.getpid()}/children"
    assert Path(children).read_text() == "", "children are left"


# --- 9


def send_later(seconds: float, *signals: int) -> None:
    """By another process."""
    kills = "; ".join(f"kill -{number} {os.getpid()}" for number in signals)
    subprocess.Popen(["sh", "-c", f"sleep {seconds}; {kills}"])


@scenario(9, timed=True)
def handler_runs_while_the_hub_sleeps() -> None:
    """A handler runs at once, although all wait: within 50 ms."""
    handled = []
    sent = time.monotonic() + 0.3
    signal.signal(signal.SIGALRM, lambda number, frame: handled.append(time.monotonic()))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    other = spawn(layer.sleep, 1.0)
    layer.sleep(1.0)
    result(other)
    assert handled, "it has not run"
    assert handled[0] - sent < 0.05, f"after {handled[0] - sent:.3f} s"


@scenario(9)
def handler_uses_sockets_and_locks() -> None:
    """A handler may wait for a lock and for a socket that other greens serve."""
    here, there = socket.socketpair()
    lock, log = threading.Lock(), []

    def handler(number: int, frame: Any) -> None:
        with lock:
            here.send(b"?")
            log.append(here.recv(1))

    def hold() -> None:
        with lock:
            layer.sleep(0.4)

    signal.signal(signal.SIGALRM, handler)
    greens = [spawn(hold), spawn(lambda: there.send(there.recv(1)))]
    layer.sleep(0.01)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    for each in greens:
        result(each)
    until(lambda: log)
    assert log == [b"?"]


@scenario(9, late=True)
def keyboard_interrupt_reaches_the_main_program() -> None:
    """Ctrl-C ends what the main program waits for, and no green."""
    code = """
import os, signal, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)
ended = []
def work():
    try: layer.sleep(0.8)
    except BaseException as error: ended.append(error)
    else: ended.append("well")
greens = [layer.spawn(work) for _ in range(5)]
import subprocess
killer = subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -INT {os.getpid()}"])
try:
    time.sleep(5)
    print("no interrupt")
except KeyboardInterrupt:
    print("interrupted")
for each in greens: layer.result(each)
killer.wait()
assert ended == ["well"] * 5, ended
"""
    done = run_code(code, timeout=10)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


@scenario(9)
def sigchld_stays_the_users() -> None:
    """A handler of SIGCHLD stays, is called, and children are waited for all the same."""
    calls = []

    def handler(number: int, frame: Any) -> None:
        calls.append(number)

    signal.signal(signal.SIGCHLD, handler)
    assert subprocess.run(["true"]).returncode == 0
    assert os.waitstatus_to_exitcode(os.waitpid(os.posix_spawnp("false", ["false"], {}), 0)[1]) == 1
    assert signal.getsignal(signal.SIGCHLD) is handler, "the handler is another one"
    until(lambda: calls)


@scenario(9)
def wakeup_fd_stays_the_users() -> None:
    """signal.set_wakeup_fd() is the program's: its descriptor gets the numbers."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.set_wakeup_fd(writing)
    subprocess.run(["true"])
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    layer.sleep(0.3)
    assert signal.set_wakeup_fd(-1) == writing, "it is another one"
    os.close(writing)
    assert signal.SIGUSR1 in os.read(reading, 100)
