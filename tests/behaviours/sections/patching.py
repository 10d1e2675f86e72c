"""Patching: behaviours 1 to 4. What is made up here is made before a late scenario patches."""

from __future__ import annotations

import logging
import os
import queue
import select
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest
import urllib.request
from collections.abc import Callable
from time import sleep as early_sleep
from typing import Any

import layer
from layer import result, spawn, together
from support import (
    Skip,
    directory,
    run_code,
    scenario,
    stub,
    succeeded,
    turning,
)


class Slot:
    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.Lock()


def enclosed(lock: Any) -> Callable[[], Any]:
    return lambda: lock


class SlowHandler(logging.Handler):
    """Waits while it holds its lock, as one does that writes to a socket."""

    inside = most = lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.1)
        self.inside -= 1
        self.lines += 1


LOCK = threading.Lock()
RLOCK = threading.RLock()
IN_CLOSURE = enclosed(threading.RLock())
IN_TUPLE = (threading.RLock(),)
IN_SLOT = Slot()
CONDITION = threading.Condition()
EVENT = threading.Event()
QUEUE: queue.Queue[int] = queue.Queue()
SIMPLE: queue.SimpleQueue[int] = queue.SimpleQueue()
CONTEXT = ssl.create_default_context()
PAIR = socket.socketpair()
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOGGER = logging.Logger("early")
HANDLER = SlowHandler()
LOGGER.addHandler(HANDLER)


def assert_excludes(lock: Any) -> None:
    """Three greens want it: one at a time has it, the others wait cooperatively."""
    inside, most = [0], [0]

    def hold() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            layer.sleep(0.1)
            inside[0] -= 1

    with turning():
        together(hold, hold, hold)
    assert most[0] == 1, f"{most[0]} were inside one lock"


def assert_wakes(wait: Callable[[], Any], wake: Callable[[], Any]) -> Any:
    """A green waits, cooperatively, until another wakes it."""
    with turning():
        waiter = spawn(wait)
        layer.sleep(0.2)
        wake()
        return result(waiter)


@scenario(1, late=True, timed=True)
def lock_made_early() -> None:
    """A Lock made before the patch excludes and wakes greens."""
    layer.patch()
    assert_excludes(LOCK)


@scenario(1, late=True, timed=True)
def rlock_made_early() -> None:
    """An RLock made before the patch excludes and wakes greens."""
    layer.patch()
    assert_excludes(RLOCK)


@scenario(1, late=True, timed=True)
def rlock_in_a_closure_made_early() -> None:
    """An RLock that only a closure holds excludes, though made before the patch."""
    layer.patch()
    assert_excludes(IN_CLOSURE())


@scenario(1, late=True, timed=True)
def rlock_in_a_tuple_made_early() -> None:
    """An RLock in a tuple excludes, though made before the patch."""
    layer.patch()
    assert_excludes(IN_TUPLE[0])


@scenario(1, late=True, timed=True)
def lock_in_a_slot_made_early() -> None:
    """A Lock in a slot excludes, though made before the patch."""
    layer.patch()
    assert_excludes(IN_SLOT.lock)


@scenario(1, late=True, timed=True)
def condition_made_early() -> None:
    """A Condition made before the patch wakes greens."""
    layer.patch()

    def wait() -> None:
        with CONDITION:
            assert CONDITION.wait(5)

    def wake() -> None:
        with CONDITION:
            CONDITION.notify()

    assert_wakes(wait, wake)


@scenario(1, late=True, timed=True)
def event_made_early() -> None:
    """An Event made before the patch wakes greens."""
    layer.patch()
    assert_wakes(lambda: EVENT.wait(5), EVENT.set)


@scenario(1, late=True, timed=True)
def queue_made_early() -> None:
    """A Queue made before the patch wakes greens."""
    layer.patch()
    assert assert_wakes(QUEUE.get, lambda: QUEUE.put(1)) == 1


@scenario(1, late=True, timed=True)
def simple_queue_made_early() -> None:
    """A SimpleQueue made before the patch wakes greens."""
    layer.patch()
    assert assert_wakes(SIMPLE.get, lambda: SIMPLE.put(1)) == 1


@scenario(1, late=True)
def ssl_context_made_early() -> None:
    """Options of an SSLContext made before the patch can be set: no recursion."""
    layer.patch()
    CONTEXT.options |= ssl.OP_NO_TICKET
    CONTEXT.minimum_version = ssl.TLSVersion.TLSv1_2
    CONTEXT.verify_mode = ssl.CERT_REQUIRED


@scenario(1, late=True, timed=True)
def socket_made_early() -> None:
    """A socket made before the patch wakes greens."""
    layer.patch()
    assert assert_wakes(lambda: PAIR[0].recv(1), lambda: PAIR[1].send(b"x")) == b"x"


@scenario(1, late=True, timed=True)
def session_made_early() -> None:
    """An opener of URLs made before the patch lets other greens run."""
    with stub("http") as port:
        layer.patch()

        def get() -> bytes:
            return OPENER.open(f"http://127.0.0.1:{port}/slow").read()

        began = time.monotonic()
        with turning():
            assert together(get, get, get) == [b"slow"] * 3
        assert time.monotonic() - began < 0.8, "one after the other"


@scenario(1, late=True, timed=True)
def logger_made_early() -> None:
    """A logger and its handler made before the patch write one line at a time."""
    layer.patch()
    with turning():
        together(*[lambda: LOGGER.warning("line")] * 3)
    assert (HANDLER.most, HANDLER.lines) == (1, 3), f"{HANDLER.most} were inside its lock"


@scenario(1, late=True, timed=True)
def function_taken_early() -> None:
    """`from time import sleep` before the patch is cooperative after it."""
    layer.patch()
    with turning():
        together(lambda: early_sleep(0.2), lambda: early_sleep(0.2))


@scenario(1, late=True)
def program_run_under_the_patch() -> None:
    """A command runs a program as it is, patched before anything is imported."""
    code = """
import threading, time
woken = []
def work():
    time.sleep(0.3)
    woken.append(time.monotonic())
threads = [threading.Thread(target=work) for _ in range(100)]
native = len(__import__("os").listdir("/proc/self/task"))
for each in threads: each.start()
natively = len(__import__("os").listdir("/proc/self/task")) - native
for each in threads: each.join()
print(max(woken) - min(woken) < 0.3, natively < 50)
"""
    with directory() as place:
        (place / "program.py").write_text(code)
        command = layer.program(str(place / "program.py"))
        done = subprocess.run(command, capture_output=True, text=True)
    assert succeeded(done) == "True True\n"


@scenario(1, late=True)
def early_imports_are_reported() -> None:
    """One can ask what was imported before the patch, and whether that matters."""
    layer.patch()
    report = layer.early_report()
    assert "ssl" in report, report
    assert "does not matter" in report, report


@scenario(1, late=True)
def import_alone_changes_nothing() -> None:
    """Importing the package leaves functions, classes and what they do alone."""
    code = """
import _socket, _thread, os, queue, select, signal, socket, ssl, subprocess, sys, threading, time
modules = [_socket, _thread, os, queue, select, signal, socket, ssl, subprocess, threading, time]
def all_there_is():
    for module in modules:
        for name, value in vars(module).items():
            yield f"{module.__name__}.{name}", id(value)
            if isinstance(value, type):
                for inner, its in vars(value).items(): yield f"{name}.{inner}", id(its)
before, switch = dict(all_there_is()), sys.getswitchinterval()
handlers = [signal.getsignal(n) for n in signal.valid_signals()]
import RUNTIME
after = dict(all_there_is())
print([n for n in before | after if before.get(n) != after.get(n) and "__" not in n])
assert handlers == [signal.getsignal(n) for n in signal.valid_signals()]
assert threading.active_count() == 1 and sys.getswitchinterval() == switch
"""
    command = [sys.executable, "-P", "-W", "ignore", "-c", code.replace("RUNTIME", layer.runtime)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert succeeded(done) == "[]\n", done.stdout


# --- 2


def pipe_wakes(wait: Callable[[int], Any]) -> None:
    reading, writing = os.pipe()
    got = assert_wakes(lambda: wait(reading), lambda: os.write(writing, b"x"))
    assert got, "it woke and had nothing to tell"


@scenario(2, timed=True)
def select_cooperates() -> None:
    """select.select() lets other greens run."""
    pipe_wakes(lambda fd: select.select([fd], [], [], 5)[0])


@scenario(2, timed=True)
def poll_stays_and_cooperates() -> None:
    """select.poll is there, and lets other greens run."""

    def wait(fd: int) -> Any:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return poll.poll(5000)

    pipe_wakes(wait)


@scenario(2, timed=True)
def epoll_stays_and_cooperates() -> None:
    """select.epoll is there, and lets other greens run."""

    def wait(fd: int) -> Any:
        with select.epoll() as epoll:
            epoll.register(fd, select.EPOLLIN)
            return epoll.poll(5)

    pipe_wakes(wait)


def selector_wakes(name: str) -> None:
    def wait(fd: int) -> Any:
        with getattr(selectors, name)() as selector:
            selector.register(fd, selectors.EVENT_READ)
            return selector.select(5)

    pipe_wakes(wait)


@scenario(2, timed=True)
def poll_selector_stays() -> None:
    """selectors.PollSelector is there, and lets other greens run."""
    selector_wakes("PollSelector")


@scenario(2, timed=True)
def epoll_selector_stays() -> None:
    """selectors.EpollSelector is there, and lets other greens run."""
    selector_wakes("EpollSelector")


@scenario(2, timed=True)
def default_selector_cooperates() -> None:
    """selectors.DefaultSelector lets other greens run."""
    selector_wakes("DefaultSelector")


# --- 3


def own_tests(name: str) -> None:
    """CPython's own tests of a module, of which all pass unpatched."""
    try:
        __import__(f"test.{name.partition('.')[0]}")
    except ModuleNotFoundError as error:
        raise Skip("this Python has no test package") from error
    module, *cases = name.split(".")
    names = ["x", *cases]
    done = unittest.main(module=f"test.{module}", argv=names, exit=False, verbosity=0).result
    assert done.testsRun
    failed = [str(each) for each, _ in done.failures + done.errors]
    assert not failed, f"{len(failed)} of {done.testsRun} fail: {failed[0]}"


@scenario(3)
def own_tests_of_epoll() -> None:
    """CPython's own tests of epoll pass under the patch (all tests: the suite cpython)."""
    own_tests("test_epoll")


@scenario(3)
def own_tests_of_simple_queue() -> None:
    """CPython's own tests of SimpleQueue pass under the patch."""
    own_tests("test_queue.CSimpleQueueTest")


@scenario(3)
def own_tests_of_thread_locals() -> None:
    """CPython's own tests of threading.local pass under the patch."""
    own_tests("test_threading_local")


@scenario(3, late=True)
def missing_internals_are_told() -> None:
    """Where a private thing of CPython is not as expected the patch says so, and goes on."""
    if layer.runtime != "green":
        raise layer.Missing("no self-check of what it relies on")
    code = "import warnings, green\nwarnings.simplefilter('error')\ngreen.monkey_patch()\n"
    environment = {**os.environ, "GREENWSGI_PATCH_REFUSE": "socket"}
    done = run_code(code, patched=False, env=environment)
    assert done.returncode == 1
    assert "RuntimeWarning: socket: " in done.stderr, done.stderr
