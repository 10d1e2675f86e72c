"""What a program may still do when it ends: in exit handlers before and after greens have ended, in
finalizers of the very end, and with threads that go on. Each in a process of its own."""

import os
import subprocess
import sys
import textwrap

import pytest
from sanitized import NO_LEAK_CHECK

SECONDS = 60.0


def run(program: str, *arguments: str) -> tuple[int, str, str]:
    """The status, output and errors of a program, which is patched or not."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, **NO_LEAK_CHECK},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


LATE = """
import atexit, sys

class Late:
    # `atexit` lets go of it after all handlers have run, and after green's own argument.
    def __del__(self):
        for name, call in calls.items():
            try:
                print(name, call())
            except BaseException as error:
                print(name, type(error).__name__, error)

import green, threading, time
atexit.register(lambda late: None, Late())
from green import debug
if "patched" in sys.argv:
    green.monkey_patch()

def stay():
    while True:
        try: green.sleep(100)
        except BaseException: pass  # It refuses to end, which is what is tried.

def hold():
    with lock:
        stay()

lock, semaphore, event = green.Lock(), green.Semaphore(0), green.Event()
queue, pool = green.Queue(), green.Pool(1)
ended, holder = green.spawn(int), green.spawn(hold)
pool.spawn(stay)
green.sleep(0)
"""


@pytest.mark.parametrize("patched", ["", "patched"])
def test_after_greens_have_ended_what_needs_them_is_refused_and_the_rest_works(
    patched: str,
) -> None:
    refused = {
        "spawn": "green.spawn(print)",
        "spawn_later": "green.spawn_later(1, print)",
        "join": "holder.join(1)",
        "get": "holder.get()",
        "kill": "holder.kill(block=True)",
        "Timeout": "green.Timeout(1)",
        "getcurrent": "green.getcurrent()",
        "statistics": "debug.statistics()",
        "lock": "lock.acquire()",
        "semaphore": "semaphore.acquire()",
        "event": "event.wait()",
        "queue": "queue.get()",
        "pool": "pool.spawn(print)",
        "apply": "pool.apply(print)",
    }
    works = {
        "sleep": "green.sleep(0.001)",
        "time.sleep": "time.sleep(0.001)",
        "join ended": "ended.join()",
        "get ended": "ended.get()",
        "lock timed": "lock.acquire(timeout=0.001)",
        "event timed": "event.wait(0.001)",
        "put": "queue.put(1)",
        "wait": "green.wait([event], timeout=0.001)",
        "native": "green.native.call(int)",
        "watch": "debug.watch_hub(1)",
        "patch": "green.monkey_patch()",
        "greens": "len(debug.greens())",
    }
    table = ", ".join(f"{name!r}: lambda: {call}" for name, call in (refused | works).items())
    status, output, errors = run(f"{LATE}\ncalls = {{{table}}}", patched)

    assert (status, errors) == (0, "")
    lines = output.splitlines()
    for name, line in zip(refused, lines, strict=False):
        assert line.startswith(f"{name} RuntimeError green threads have ended"), line
    results = [
        "None",
        "None",
        "None",
        "0",
        "False",
        "False",
        "None",
        "[]",
        "0",
        "None",
        "None",
        "3",
    ]
    expected = [f"{name} {result}" for name, result in zip(works, results, strict=True)]
    assert lines[len(refused) :] == expected


@pytest.mark.parametrize("patched", ["", "patched"])
@pytest.mark.parametrize("first", ["green", "atexit"])
def test_in_an_exit_handler_greens_run_whenever_it_was_registered(first: str, patched: str) -> None:
    program = f"""
    import {first}, atexit
    def late():
        items = queue.Queue() if "patched" in sys.argv else green.Queue()
        green.spawn(items.put, green.spawn(lambda: 5).get())
        to_work.put(items.get())
        print(worked.get())
    atexit.register(late)
    import queue, sys, green
    if "patched" in sys.argv: green.monkey_patch()

    to_work, worked = green.Queue(), green.Queue()
    def work():
        try:
            for item in to_work:
                worked.put(item + 1)
        finally:
            print("ended")
    green.spawn(work)
    green.sleep(0)
    """
    assert run(program, patched) == (0, "6\nended\n", "")


def test_a_thread_is_waited_for_before_exit_handlers_and_a_daemon_ends_after_them() -> None:
    program = """
    import atexit
    atexit.register(lambda: print("the first", daemon.is_alive(), thread.is_alive()))
    import threading, time, green
    green.monkey_patch()
    atexit.register(lambda: print("the second", daemon.is_alive(), thread.is_alive()))

    def stay(seconds):
        try: time.sleep(seconds)
        finally: print(threading.current_thread().name, "ends")

    thread = threading.Thread(target=stay, args=(0.02,), name="thread")
    daemon = threading.Thread(target=stay, args=(1000,), name="daemon", daemon=True)
    thread.start()
    daemon.start()
    time.sleep(0)
    """
    output = "thread ends\nthe second True False\nthe first True False\ndaemon ends\n"
    assert run(program) == (0, output, "")


def test_a_green_that_spawns_while_it_is_ended_is_refused_and_told() -> None:
    program = """
    import green
    def work():
        try: green.sleep(100)
        finally: green.spawn(print)
    green.spawn(work)
    green.sleep(0)
    """
    status, output, errors = run(program)

    assert (status, output) == (0, "")
    assert "RuntimeError: cannot spawn a green: the interpreter is shutting down" in errors


@pytest.mark.parametrize("patched", ["False", "True"])
def test_finalizers_of_the_very_end_use_primitives_and_are_refused_greens(patched: str) -> None:
    program = f"""
    import builtins, sys, threading, time, green
    if {patched}: green.monkey_patch()

    class AtTheEnd:
        def __init__(self, call): self.call = call
        def __del__(self):
            try: print(self.call())
            except RuntimeError as error: print(error)

    def use_queue():
        queue = green.Queue()
        queue.put(1)
        return queue.get()

    def use_lock():
        lock = threading.Lock()
        return lock.acquire() and lock.acquire(timeout=0.001)

    calls = [use_queue, use_lock, lambda: green.Event().wait(0.001), lambda: green.spawn(int),
             lambda: green.sleep(0.001), lambda: time.sleep(0.001),
             lambda: green.native.call(abs, -1)]
    builtins.kept = [AtTheEnd(call) for call in calls]
    green.sleep(0)
    """
    status, output, errors = run(program)

    said = "green threads have ended: the interpreter shuts down"
    assert (status, errors) == (0, "")
    assert sorted(output.splitlines()) == sorted(["1", "False", "False", "None", "None", "1", said])


@pytest.mark.parametrize("patched", ["False", "True"])
def test_native_daemons_that_use_greens_and_primitives_do_not_hinder_the_end(patched: str) -> None:
    program = f"""
    import threading, green
    if {patched}: green.monkey_patch()
    lock, semaphore, queue, event = green.Lock(), green.Semaphore(0), green.Queue(), green.Event()
    lock.acquire()

    def spin():
        while True:
            green.spawn(int).join()
            green.sleep(0.0001)

    def wait_for_many():
        green.joinall([green.spawn(green.sleep, 100) for _ in range(100)])

    work = [lock.acquire, semaphore.acquire, queue.get, event.wait, spin, spin, wait_for_many]
    with green.blocking():
        for each in work:
            threading.Thread(target=each, daemon=True).start()
    green.sleep(0.02)
    """
    assert run(program) == (0, "", "")


@pytest.mark.parametrize("patched", ["False", "True"])
def test_a_native_thread_that_waits_for_a_green_is_waited_for_while_greens_run(
    patched: str,
) -> None:
    program = f"""
    import concurrent.futures, sys
    import threading, green
    if {patched}: green.monkey_patch()
    queue, result = green.Queue(), green.AsyncResult()

    def feed():
        for feed_one in (lambda: queue.put("one"), lambda: result.set("two")):
            green.sleep(0.01)
            feed_one()

    def wait():
        print(queue.get(), result.get())
        if sys.version_info[:2] == (3, 12):  # Where no thread begins once the program ends.
            return print("three")
        threading.Thread(target=print, args=("three",)).start()

    with green.blocking():
        executor = concurrent.futures.ThreadPoolExecutor(1)  # Which nobody shuts down.
        executor.submit(int).result()
        threading.Thread(target=wait).start()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    green.spawn(feed)
    green.sleep(0)
    """
    assert run(program) == (0, "one two\nthree\n", "")


def test_a_native_call_that_goes_on_does_not_hinder_the_end() -> None:
    program = """
    import ctypes, green
    from green import _core
    green.spawn(green.native.call, ctypes.CDLL(None).sleep, 100)
    while _core.native_counts()["threads"] == 0:
        green.sleep(0.001)
    green.sleep(0.01)
    """
    assert run(program) == (0, "", "")


def test_the_status_of_a_green_that_exits_is_the_programs() -> None:
    program = """
    import sys, green
    green.spawn(sys.exit, 3)
    green.sleep(10)
    """
    assert run(program)[0] == 3
