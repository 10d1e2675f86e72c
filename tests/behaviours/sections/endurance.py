"""Time, errors, memory: behaviours 25 to 27."""

from __future__ import annotations

import contextlib
import gc
import queue
import socket
import threading
import time
import urllib.request
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import layer
from layer import join, result, spawn, spawn_later, together
from support import assert_flat, rss_bytes, run_code, scenario, size, stub, turning

# --- 25


@scenario(25)
def timeout_tells_whose_it_is() -> None:
    """Of two Timeouts, one within the other, the one that is over is what is raised."""
    for seconds in ((0.05, 10), (10, 0.05)):
        raised = None
        try:
            with layer.timeout(seconds[0]) as outer, layer.timeout(seconds[1]) as inner:
                layer.sleep(5)
        except layer.package.Timeout as error:
            raised = error
        assert raised is (outer if seconds[0] < seconds[1] else inner), raised


def ends_by_timeout(function: Any, *arguments: Any, **keywords: Any) -> None:
    try:
        with layer.timeout(0.02):
            function(*arguments, **keywords)
        raise AssertionError("it was not raised")
    except layer.package.Timeout:
        pass


@scenario(25)
def locks_after_a_timeout() -> None:
    """Locks, conditions, events and queues whose wait a Timeout has ended work as before."""
    lock, condition, event = threading.Lock(), threading.Condition(), threading.Event()
    items: queue.Queue[int] = queue.Queue()
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    lock.acquire()
    for wait in (lock.acquire, event.wait, items.get, simple.get):
        ends_by_timeout(wait)

    def wait_for_condition() -> None:
        with condition:
            condition.wait()

    ends_by_timeout(wait_for_condition)
    lock.release()
    assert lock.acquire(timeout=1)
    lock.release()
    items.put(1)
    simple.put(2)
    event.set()
    assert (items.get(timeout=1), simple.get(timeout=1), event.wait(1)) == (1, 2, True)
    waiter = spawn(wait_for_condition)
    layer.sleep(0.01)
    with condition:
        condition.notify()
    result(waiter)


@scenario(25)
def pools_after_a_timeout() -> None:
    """Pools whose result a Timeout has cut off go on to work."""
    with ThreadPoolExecutor(1) as pool:
        ends_by_timeout(lambda: pool.submit(time.sleep, 0.1).result())
        assert pool.submit(abs, -1).result(timeout=5) == 1
    ends_by_timeout(layer.in_pool, time.sleep, 1.0)
    assert layer.in_pool(abs, -1) == 1


@scenario(25)
def connections_after_a_timeout() -> None:
    """A socket whose read a Timeout has ended loses no bytes and can be read again."""
    here, there = socket.socketpair()
    ends_by_timeout(here.recv, 10)
    there.send(b"x")
    assert here.recv(10) == b"x"
    with here.makefile("rb") as file:
        ends_by_timeout(file.readline)
        there.send(b"line\n")
        assert file.readline() == b"line\n"


@scenario(25, timed=True)
def timeout_after_a_computation() -> None:
    """A Timeout that is set after half a second of computing counts from then."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    with layer.timeout(0.4):
        layer.sleep(0.05)

    def inside() -> None:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        with layer.timeout(0.4):
            layer.sleep(0.05)

    result(spawn(inside))


class Finalized:
    """Its finalizer waits: for a time, for a lock that another holds, for a socket."""

    done = 0

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.here, self.there = socket.socketpair()

    def __del__(self) -> None:
        with self.lock:
            time.sleep(0.01)
            self.there.send(b"x")
            self.here.recv(1)
        Finalized.done += 1


def finalize(argument: Finalized) -> None:
    layer.sleep(0.01)


@scenario(25)
def finalizer_that_waits() -> None:
    """A finalizer that waits works, wherever it runs: at a green's end, killed before it began."""
    lock = threading.Lock()
    for _ in range(5):
        spawn(finalize, Finalized(lock))
    for _ in range(5):
        layer.kill(spawn_later(10, finalize, Finalized(lock)))
    with lock:
        layer.sleep(0.1)
    circle: list[Any] = [Finalized(lock)]
    circle.append(circle)
    del circle
    gc.collect()
    for _ in range(100):
        layer.sleep(0.01)
        if Finalized.done == 11:
            break
    assert Finalized.done == 11, f"{Finalized.done} of 11 finalizers came to their end"


# --- 26

FAILS = """
import threading
def fails():
    layer.sleep(0.01)
    raise ValueError("the one and only")
ended = []
def goes_on():
    layer.sleep(0.1)
    ended.append(1)
"""


@scenario(26, late=True)
def exception_is_reported_once() -> None:
    """What ends a green, and nobody waits for, is printed once, with its traceback."""
    code = FAILS + "layer.spawn(fails)\nlayer.sleep(0.1)\nprint('fine')\n"
    done = run_code(code)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    assert done.stderr.count("the one and only") == 1, done.stderr or "nothing is printed"
    assert "in fails" in done.stderr, done.stderr


@scenario(26, late=True)
def exception_of_a_thread_is_reported_once() -> None:
    """What ends a thread goes to threading.excepthook, once."""
    code = FAILS + "seen = []\nthreading.excepthook = lambda args: seen.append(args.exc_value)\n"
    code += "thread = threading.Thread(target=fails)\nthread.start()\nthread.join()\n"
    code += "layer.sleep(0.01)\nprint(seen)\n"
    done = run_code(code)
    assert done.stdout == "[ValueError('the one and only')]\n", done.stdout
    assert "the one and only" not in done.stderr, done.stderr


@scenario(26, late=True)
def hooks_see_exceptions_of_greens() -> None:
    """A hook of sys (excepthook, unraisablehook) or threading that is set gets it, once."""
    code = (
        FAILS
        + """
seen = []
sys.excepthook = lambda kind, value, traceback: seen.append(value)
threading.excepthook = sys.unraisablehook = lambda args: seen.append(args.exc_value)
layer.spawn(fails)
layer.sleep(0.1)
print(seen)
"""
    )
    done = run_code(code)
    assert done.stdout == "[ValueError('the one and only')]\n", "no hook was called"
    assert "the one and only" not in done.stderr, done.stderr


@scenario(26, late=True)
def exception_is_not_fatal_to_the_hub() -> None:
    """Others go on when a green, a callback of it or a thread ends with an exception."""
    code = (
        FAILS
        + """
other = layer.spawn(goes_on)
greens = [layer.spawn(fails) for _ in range(3)]
greens[0].link(lambda green: 1 / 0)
class Bad:
    def __del__(self): raise OSError("in a finalizer")
layer.spawn(layer.sleep, 0.01), layer.spawn(lambda bad: None, Bad())
layer.result(other)
print(ended)
"""
    )
    done = run_code(code, timeout=10)
    assert done.stdout == "[1]\n", done.stderr


@scenario(26)
def exception_reaches_who_waits() -> None:
    """Who waits for a green gets its exception, with the traceback of where it was raised."""

    def fails() -> None:
        layer.sleep(0.01)
        raise ValueError("the one and only")

    with layer.quiet():
        green = spawn(fails)
        try:
            result(green)
            raise AssertionError("nothing was raised")
        except ValueError as error:
            names, traceback = [], error.__traceback__
            while traceback is not None:
                names.append(traceback.tb_frame.f_code.co_name)
                traceback = traceback.tb_next
            assert "fails" in names, names


# --- 27


def nothing() -> None:
    pass


def fails() -> None:
    raise ValueError("on purpose")


MANY = size(1_000_000, 20_000)
BATCH = 20


@scenario(27, seconds=60)
def memory_of_spawns() -> None:
    """Spawning and joining leaves the memory as it was."""
    assert_flat(lambda: together(*[nothing] * BATCH), MANY // BATCH)


@scenario(27, seconds=60)
def memory_of_exceptions() -> None:
    """Greens that end with an exception leave the memory as it was."""

    def cycle() -> None:
        for green in [spawn(fails) for _ in range(BATCH)]:
            with contextlib.suppress(ValueError):
                result(green)

    with layer.quiet():
        assert_flat(cycle, MANY // BATCH)


@scenario(27, seconds=60)
def memory_of_timeouts() -> None:
    """Timeouts that end a wait, and those that do not, leave the memory as it was."""

    def ends() -> None:
        try:
            with layer.timeout(60), layer.timeout(0):
                layer.sleep(10)
        except layer.package.Timeout:
            pass

    assert_flat(lambda: together(*[ends] * BATCH), MANY // BATCH)


@scenario(27, seconds=60)
def memory_of_kills() -> None:
    """Greens killed while they wait leave the memory as it was."""

    def cycle() -> None:
        greens = [spawn(layer.sleep, 10) for _ in range(BATCH)]
        layer.sleep(0)
        for each in greens:
            layer.kill(each)
        for each in greens:
            join(each)

    assert_flat(cycle, MANY // BATCH)


@scenario(27, seconds=60)
def memory_of_pools() -> None:
    """Pools of greens leave the memory as it was."""
    assert_flat(lambda: layer.pool_map(5, abs, range(BATCH)), MANY // BATCH)


@scenario(27, seconds=60, seconds_full=1200)
def memory_of_connections() -> None:
    """Connections made, used and closed leave the memory as it was."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(connection.recv(10))

    def connect() -> None:
        with socket.create_connection(address) as connection:
            connection.sendall(b"x")
            assert connection.recv(10) == b"x"
            connection.recv(10)

    spawn(serve)
    assert_flat(connect, size(1_000_000, 3_000))


@scenario(27, seconds=60, seconds_full=1200)
def memory_of_requests() -> None:
    """Requests by urllib leave the memory as it was."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with stub("http") as port:

        def get() -> None:
            with opener.open(f"http://127.0.0.1:{port}/") as answer:
                answer.read()

        assert_flat(lambda: together(*[get] * 5), size(100_000, 500) // 5)


@scenario(27)
def memory_of_a_parked_green() -> None:
    """A green that waits costs no more than 8 KiB of memory."""
    count = size(100_000, 10_000)
    together(*[nothing] * 100)
    before = rss_bytes()
    greens = [spawn(layer.sleep, 1000) for _ in range(count)]
    layer.sleep(0)
    each = (rss_bytes() - before) / count
    assert len(greens) == count
    assert each <= 8192, f"{each:.0f} bytes"


@scenario(27)
def finished_greens_keep_nothing_alive() -> None:
    """Arguments, results and exceptions of ended greens go with the last reference."""

    class Thing:
        pass

    def work(thing: Thing) -> Thing:
        layer.sleep(0.01)
        return thing

    def fail(thing: Thing) -> None:
        layer.sleep(0.01)
        raise ValueError(thing)

    things = [Thing() for _ in range(4)]
    seen = [weakref.ref(each) for each in things]
    with layer.quiet():
        greens = [spawn(work, things[0]), spawn(fail, things[1])]
        for each in greens:
            join(each)
        killed = spawn(work, things[2])
        layer.sleep(0)
        layer.kill(killed)
        join(killed)
        layer.kill(spawn_later(100, work, things[3]))
    del things, greens, killed, each
    with turning():
        gc.collect()
    left = [number for number, thing in enumerate(seen) if thing() is not None]
    assert not left, f"kept: {left}"
