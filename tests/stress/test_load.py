"""Forks, signals, native threads, collections and the end of the program, while much goes on."""

from __future__ import annotations

import functools
import gc
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from faults import assert_free
from greens import fork, until
from patched import start_natively
from stress import PATIENCE, Dice, how_to_repeat, run, stressed

import green
from green import debug, native

PARKED = 100_000
END = """
import os, random, sys
import green, queue, threading
green.monkey_patch()
chance = random.Random(int(sys.argv[1]))
lock, line, event = threading.Lock(), queue.Queue(), green.Event()
lock.acquire()
waits = [lambda: green.sleep(10_000), lock.acquire, line.get, event.wait, green.Queue().get]
begun, ended = [], []
def park(wait):
    begun.append(1)
    try:
        wait()
    finally:
        ended.append(1)
        if len(ended) == len(greens):
            os.write(1, b"ended %d\\n" % len(ended))
greens = []
for _ in range(int(sys.argv[2])):
    greens.append(green.spawn(park, chance.choice(waits)))
while len(begun) < len(greens):
    green.sleep(0)
"""


def echo(end: socket.socket) -> None:
    with end:
        while data := end.recv(65536):
            end.sendall(data)


def talk(chance: random.Random) -> None:
    """More than a socket takes at once, at times: both ends wait for room and for data."""
    one, two = socket.socketpair()
    echoing = green.spawn(echo, two)
    message = chance.randbytes(chance.choice([1, 1000, 500_000]))
    sending = green.spawn(one.sendall, message)
    heard = b""
    while len(heard) < len(message):
        heard += one.recv(65536)
    assert heard == message
    sending.get(timeout=PATIENCE)
    one.close()
    echoing.get(timeout=PATIENCE)


def use_a_pipe(chance: random.Random) -> None:
    reading, writing = os.pipe()
    message = chance.randbytes(chance.choice([1, 100_000]))
    sending = green.spawn(os.write, writing, message)
    heard = b""
    while len(heard) < len(message):
        heard += os.read(reading, 65536)
    assert heard == message
    assert sending.get(timeout=PATIENCE) == len(message)
    os.close(reading)
    os.close(writing)


def use_a_file(chance: random.Random) -> None:
    content = chance.randbytes(chance.choice([1, 200_000]))
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        assert file.read() == content


def call_natively(chance: random.Random) -> None:
    assert native.call(time.sleep, chance.random() * 0.001) is None


def run_a_program(chance: random.Random) -> None:
    status = chance.randrange(5)
    text = subprocess.run(["sh", "-c", f"cat; exit {status}"], input=b"in", stdout=-1, check=False)
    assert (text.returncode, text.stdout) == (status, b"in")


def sleep(chance: random.Random) -> None:
    before, seconds = time.monotonic(), chance.random() * 0.002
    time.sleep(seconds)
    assert time.monotonic() - before >= seconds * 0.9


MOVES: list[Callable[[random.Random], None]] = [
    talk, use_a_pipe, use_a_file, call_natively, sleep, run_a_program
]  # fmt: skip


def work(chance: random.Random, moves: int) -> None:
    for _ in range(moves):
        chance.choices(MOVES, [4, 4, 4, 2, 4, 1])[0](chance)


@contextmanager
def load(dice: Dice) -> Iterator[None]:
    """Greens that work, and native threads that compute and read, until the end of the scope."""
    tempfile.gettempdir()  # Looks for it once, under a lock that a forked child would find held.
    ending, errors = threading.Event(), []

    def go_on(name: str, number: int, moves: Callable[[random.Random], None]) -> None:
        chance = dice.of(name, number)
        try:
            while not ending.is_set():
                moves(chance)
        except BaseException as error:
            errors.append(error)

    greens = [green.spawn(go_on, "green", n, functools.partial(work, moves=1)) for n in range(8)]
    threads = [threading.Thread(target=go_on, args=("native", n, use_a_file)) for n in range(2)]
    start_natively(*threads)
    try:
        yield
    finally:
        ending.set()
        done = green.joinall(greens, timeout=PATIENCE)
        for thread in threads:
            thread.join(PATIENCE)
    assert not errors, errors
    assert len(done) == len(greens)
    assert not any(thread.is_alive() for thread in threads)


def fork_and_work(chance: random.Random, moves: int) -> int:
    """The number of a child, which works and says by its status whether that went well."""
    pid = fork()
    if pid == 0:
        status = 1
        try:
            greens = [green.spawn(work, random.Random(chance.random()), moves) for _ in range(3)]
            for each in greens:
                each.get(timeout=PATIENCE)
            assert native.call(abs, -1) == 1
            status = 0
        except BaseException as error:
            debug.print_greens()
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(status)
    return pid


@stressed
def test_forks_under_load_give_children_that_work(dice: Dice) -> None:
    chance = dice.of("forks")
    with load(dice):
        for _ in range(25):
            for _ in range(chance.randrange(4)):
                green.sleep(0.001)
            if chance.random() < 0.5:
                pid = fork_and_work(chance, 2)
            else:  # By a green, which is the root of the child.
                pid = green.spawn(fork_and_work, chance, 2).get()
            _, status = os.waitpid(pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0


class Rung(Exception):
    pass


@stressed
def test_signals_under_load_interrupt_no_work_and_none_is_lost(dice: Dice) -> None:
    """Handlers use locks and sockets, and raise where the main program expects it."""
    lock, one_two = threading.RLock(), socket.socketpair()
    handled, awaited = {signal.SIGALRM: 0, signal.SIGUSR1: 0}, [False]

    def handler(number: int, frame: object) -> None:
        with lock:
            one_two[0].send(b"x")
            assert one_two[1].recv(1) == b"x"
            handled[signal.Signals(number)] += 1
        if awaited[0]:
            awaited[0] = False
            raise Rung

    def storm() -> None:
        chance, here = dice.of("storm"), threading.get_ident()
        while not ending.is_set():
            # Here it interrupts this thread, there the one of the greens.
            signal.pthread_kill(chance.choice([here, main]), signal.SIGUSR1)
            time.sleep(chance.random() * 0.002)

    for number in handled:
        signal.signal(number, handler)
    main, ending = threading.get_ident(), threading.Event()
    storming = threading.Thread(target=storm)
    start_natively(storming)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0013)
    chance = dice.of("main")
    with load(dice):
        for _ in range(300):
            if chance.random() < 0.5:
                try:
                    awaited[0] = True
                    green.sleep(PATIENCE)
                    raise AssertionError("a signal woke nobody")
                except Rung:
                    pass
            else:
                chance.choice([talk, use_a_pipe, use_a_file, sleep])(chance)
    signal.setitimer(signal.ITIMER_REAL, 0)
    ending.set()
    storming.join()
    for number in handled:
        before = handled[number]
        os.kill(os.getpid(), number)
        with green.Timeout(PATIENCE):
            until(lambda number=number, before=before: handled[number] > before)
    assert min(handled.values()) > 10


@stressed
def test_native_threads_and_greens_share_locks_and_queues_under_collections(dice: Dice) -> None:
    locks: list[Any] = [threading.Lock(), threading.RLock(), green.Lock(), green.RLock()]
    semaphores: list[Any] = [threading.Semaphore(2), green.Semaphore(2)]
    queues: list[Any] = [queue.Queue(3), queue.SimpleQueue(), green.Queue(3), queue.LifoQueue()]
    totals, counts, done = [0] * len(locks), [], []

    def hammer(number: int) -> None:
        chance = dice.of("hammer", number)
        count = [0] * len(locks)
        for turn in range(400):
            at = chance.randrange(len(locks))
            with locks[at], chance.choice(semaphores):
                seen = totals[at]
                if chance.random() < 0.1:
                    time.sleep(0)
                totals[at] = seen + 1
            count[at] += 1
            place = chance.choice(queues)
            place.put((number, turn, cycle := [number]))
            cycle.append(cycle)
            assert len(place.get()) == 3
            if chance.random() < 0.01:
                gc.collect()
        counts.append(count)
        done.append(number)

    threads = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
    start_natively(*threads)
    greens = [green.spawn(hammer, number) for number in range(4, 12)]
    for each in greens:
        each.get(timeout=PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(done) == list(range(12))
    assert totals == [sum(of_one) for of_one in zip(*counts, strict=True)]
    assert all(place.empty() for place in queues)
    for lock in locks:
        assert_free(lock)
    for semaphore in semaphores:
        assert_free(semaphore, 2)


def test_the_end_of_a_program_ends_all_parked_greens(seed: int) -> None:
    output, status = run(["-c", END, str(seed), str(PARKED)])

    repeat = how_to_repeat("test_the_end_of_a_program_ends_all_parked_greens", seed)
    assert status == 0, f"{status}\n{output}\n{repeat}"
    assert output == f"ended {PARKED}\n", repeat
