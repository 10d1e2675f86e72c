"""Threads, locks and fork: behaviours 5 to 7."""

from __future__ import annotations

import gc
import io
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import layer
from layer import NativeThread, result, spawn, together
from support import forked, nap, run_code, scenario, size, succeeded, turning

GO = threading.Semaphore(0)
BACK: queue.Queue[int] = queue.Queue()
HANDOVERS = size(100_000, 2_000)

Action = Callable[[], Any]


def hand_over(give: Action, take: Action, give_back: Action, take_back: Action) -> None:
    """A green and a native thread, in turn: `give` wakes `take`, `give_back` wakes `take_back`."""

    def natively() -> None:
        for _ in range(HANDOVERS):
            take()
            give_back()

    def green() -> None:
        for _ in range(HANDOVERS):
            give()
            take_back()

    thread = NativeThread(natively)
    with turning():
        result(spawn(green))
        thread.join()


@scenario(5, timed=True)
def lock_between_threads_and_greens() -> None:
    """A Lock goes to and fro between a green and a native thread."""
    there, back = threading.Lock(), threading.Lock()
    there.acquire()
    back.acquire()
    hand_over(there.release, there.acquire, back.release, back.acquire)


@scenario(5, timed=True)
def semaphore_between_threads_and_greens() -> None:
    """A Semaphore goes to and fro between a green and a native thread."""
    there, back = threading.Semaphore(0), threading.Semaphore(0)
    hand_over(there.release, there.acquire, back.release, back.acquire)


@scenario(5, timed=True)
def queue_between_threads_and_greens() -> None:
    """Items of a Queue go to and fro between a green and a native thread."""
    there: queue.Queue[int] = queue.Queue()
    back: queue.Queue[int] = queue.Queue()
    hand_over(lambda: there.put(1), there.get, lambda: back.put(1), back.get)


@scenario(5, timed=True)
def simple_queue_between_threads_and_greens() -> None:
    """Items of a SimpleQueue go to and fro between a green and a native thread."""
    there: queue.SimpleQueue[int] = queue.SimpleQueue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()
    hand_over(lambda: there.put(1), there.get, lambda: back.put(1), back.get)


@scenario(5, timed=True)
def event_between_threads_and_greens() -> None:
    """Events wake a green and a native thread in turn."""
    there, back = threading.Event(), threading.Event()

    def take(event: threading.Event) -> None:
        assert event.wait(10), "nobody has set it"
        event.clear()

    hand_over(there.set, lambda: take(there), back.set, lambda: take(back))


@scenario(5, timed=True)
def condition_between_threads_and_greens() -> None:
    """A Condition wakes a green and a native thread in turn."""
    condition, turn = threading.Condition(), ["green"]

    def give(whose: str) -> None:
        with condition:
            turn[0] = whose
            condition.notify()

    def take(whose: str) -> None:
        with condition:
            while turn[0] != whose:
                assert condition.wait(10), "nobody has notified it"

    hand_over(
        lambda: give("thread"), lambda: take("thread"), lambda: give("green"), lambda: take("green")
    )


@scenario(5, timed=True)
def rlock_between_threads_and_greens() -> None:
    """An RLock that greens and native threads want excludes all but one."""
    lock, inside, count = threading.RLock(), [0], [0]

    def work(pause: Callable[[float], None]) -> None:
        for number in range(HANDOVERS // 4):
            with lock, lock:
                assert inside[0] == 0, "two are inside"
                inside[0] = 1
                if number % 16 == 0:
                    pause(0)
                inside[0] = 0
                count[0] += 1

    threads = [NativeThread(work, layer.native_sleep) for _ in range(2)]
    with turning():
        together(lambda: work(layer.sleep), lambda: work(layer.sleep))
        for each in threads:
            each.join()
    assert count[0] == HANDOVERS // 4 * 4


@scenario(5, late=True, timed=True)
def threads_started_before_the_patch() -> None:
    """A thread that waits since before the patch and greens wake each other."""

    def natively() -> None:
        for number in range(HANDOVERS):
            GO.acquire()
            BACK.put(number)

    threading.Thread(target=natively, daemon=True).start()
    layer.patch()

    def green() -> None:
        for number in range(HANDOVERS):
            GO.release()
            assert BACK.get(timeout=10) == number

    with turning():
        result(spawn(green))


@scenario(5)
def pool_threads_share_locks_with_greens() -> None:
    """Native threads of the runtime's pool and greens count under one lock."""
    lock, count = threading.Lock(), [0]

    def work() -> None:
        for _ in range(500):
            with lock:
                count[0] += 1

    together(*[lambda: layer.in_pool(work)] * 4, work, work)
    assert count[0] == 3000


@scenario(5, timed=True)
def native_wake_ups_are_prompt() -> None:
    """A native thread wakes a green, and a green a native thread, within 5 ms."""
    woken: queue.Queue[float] = queue.Queue()
    delays = []

    def natively() -> None:
        for _ in range(50):
            layer.native_sleep(0.005)
            woken.put(time.monotonic())

    thread = NativeThread(natively)
    for _ in range(50):
        sent = woken.get(timeout=10)
        delays.append(time.monotonic() - sent)
    thread.join()
    # The median: a machine that is busy holds up some.
    assert sorted(delays)[25] < 0.005, f"{sorted(delays)[25] * 1000:.1f} ms"


@scenario(5, seconds=60)
def logging_from_threads_and_greens() -> None:
    """100 greens and 8 native threads log, while garbage is collected all the time."""
    stream = io.StringIO()
    logger = logging.Logger("both")
    logger.addHandler(logging.StreamHandler(stream))
    lines = size(200, 20)

    def write(name: str) -> None:
        for number in range(lines):
            logger.info("%s %d", name, number)
            if number % 5 == 0:
                gc.collect(0)

    gc.set_threshold(10)
    threads = [NativeThread(write, f"thread {each}") for each in range(8)]
    together(*[lambda each=each: write(f"green {each}") for each in range(100)])
    for thread in threads:
        thread.join()
    assert len(stream.getvalue().splitlines()) == 108 * lines


# --- 6


@scenario(6)
def wait_that_only_a_signal_ends() -> None:
    """The main program waits for an Event that only a signal handler sets."""
    event = threading.Event()
    signal.signal(signal.SIGALRM, lambda number, frame: event.set())
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    event.wait()


@scenario(6)
def wait_that_only_a_thread_ends() -> None:
    """The main program waits for an Event that only a native thread sets."""
    event = threading.Event()

    def natively() -> None:
        layer.native_sleep(0.2)
        event.set()

    thread = NativeThread(natively)
    event.wait()
    thread.join()


@scenario(6)
def deadlock_is_named() -> None:
    """A deadlock is told with each green, its stack and what it waits for."""
    first, second = threading.Lock(), threading.Lock()

    def locks_first_and_second() -> None:
        with first:
            layer.sleep(0.05)
            second.acquire()

    def locks_second_and_first() -> None:
        with second:
            layer.sleep(0.05)
            first.acquire()

    greens = [spawn(locks_first_and_second), spawn(locks_second_and_first)]
    layer.sleep(0.2)
    text = layer.deadlock()
    assert len(greens) == 2
    for name in ("locks_first_and_second", "locks_second_and_first"):
        assert name in text, f"{name!r} is not told of: {text}"
        assert "second.acquire()" in text, f"the line that waits is not told: {text}"


# --- 7


@scenario(7)
def child_of_a_fork_has_a_hub() -> None:
    """The child of a fork in a green sleeps, spawns and uses sockets."""

    def life() -> None:
        time.sleep(0.05)
        one, other = socket.socketpair()
        reader = spawn(one.recv, 1)
        layer.sleep(0.01)
        other.send(b"x")
        assert result(reader) == b"x"

    result(spawn(lambda: forked(life)))
    forked(life)


@scenario(7)
def greens_stay_with_the_parent() -> None:
    """None of the parent's greens runs in the child."""
    reading, writing = os.pipe()

    def tell() -> None:
        while True:
            os.write(writing, f"{os.getpid()}\n".encode())
            layer.sleep(0.01)

    greens = [spawn(tell), spawn(tell)]
    layer.sleep(0.03)
    forked(lambda: layer.sleep(0.2))
    for each in greens:
        layer.kill(each)
    pids = {int(line) for line in os.read(reading, 65536).split()}
    assert pids == {os.getpid()}, "one of them ran in the child"


@scenario(7)
def names_in_the_child_of_a_fork() -> None:
    """Names are looked up in the child, also when the parent is just at it."""

    def look() -> None:
        assert socket.getaddrinfo("localhost", 80)

    look()
    greens = [spawn(look) for _ in range(20)]
    forked(look)
    for each in greens:
        result(each)


@scenario(7)
def pools_in_the_child_of_a_fork() -> None:
    """Pools of threads, native and not, work in the child after the parent has used them."""

    def work() -> None:
        assert layer.in_pool(nap, 0.01) == 0.01
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(nap, [0.01, 0.02])) == [0.01, 0.02]

    work()
    forked(work)
    work()


@scenario(7)
def fork_hooks_use_sockets() -> None:
    """Functions of os.register_at_fork() may wait for sockets."""
    here, there = socket.socketpair()
    log = []

    def answer() -> None:
        there.send(there.recv(1))

    def ask() -> None:
        here.send(b"?")
        log.append(here.recv(1))

    greens = [spawn(answer) for _ in range(2)]
    os.register_at_fork(before=ask, after_in_parent=ask)
    forked(lambda: None)
    for each in greens:
        result(each)
    assert log == [b"?"] * 2


@scenario(7, late=True)
def forks_leave_no_traceback() -> None:
    """Forks beside greens, threads and children print nothing and exit with 0."""
    code = """
import os, socket, subprocess, threading, time
from layer import spawn, result
def fork(number):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.01)
        sys.exit(number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number
thread = threading.Thread(target=time.sleep, args=(0.3,))
thread.start()
for each in [spawn(fork, n) for n in range(5)]: result(each)
fork(7)
subprocess.run(["true"], check=True, preexec_fn=os.getpid)
thread.join()
"""
    succeeded(run_code(code, timeout=15))
