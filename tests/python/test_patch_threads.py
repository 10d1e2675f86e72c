"""Threads of the standard library, which are greens under the patch."""

from __future__ import annotations

import _thread
import concurrent.futures
import contextvars
import ctypes
import errno
import os
import queue
import resource
import signal
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from leaks import once
from patched import Ticker, isolated, leaves_behind, outcome, patch, run_patched, together

import green

THREADS = 200


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))


@isolated
def test_threads_are_greens_of_the_main_program_before_its_first_green() -> None:
    patch()
    seen: list[tuple[int, str, bool]] = []

    goes_on = threading.Event()

    def work() -> None:
        goes_on.wait()
        me = threading.current_thread()
        seen.append((threading.get_ident(), me.name, me.is_alive()))

    threads = [threading.Thread(target=work, name=f"worker {n}") for n in range(THREADS)]
    for thread in threads:
        thread.start()
    assert native_threads() < THREADS / 2
    assert threading.active_count() == THREADS + 1
    assert [thread.is_alive() for thread in threads] == [True] * THREADS
    assert _thread._count() == THREADS
    goes_on.set()
    for thread in threads:
        thread.join()

    assert [thread.is_alive() for thread in threads] == [False] * THREADS
    assert sorted(seen) == sorted((t.ident, t.name, True) for t in threads)
    assert threading.active_count() == 1
    assert _thread._count() == 0


@isolated
@once("its thread is the first one of its name")
def test_a_thread_is_joined_with_a_time_out_by_greens_and_itself_not_at_all() -> None:
    patch()
    goes_on = threading.Event()
    errors: list[Any] = []

    def work() -> None:
        errors.append(outcome(threading.current_thread().join))
        goes_on.wait()

    thread = threading.Thread(target=work)
    before = [outcome(thread.join), repr(thread).split(",")[-1]]
    thread.start()
    began = time.monotonic()
    thread.join(0.02)
    assert time.monotonic() - began >= 0.02
    assert thread.is_alive()
    assert repr(thread).startswith("<Thread(Thread-1 (work), started ")

    together(thread.join, thread.join, goes_on.set)

    assert not thread.is_alive()
    assert before == [(RuntimeError, "cannot join thread before it is started"), " initial)>"]
    assert [(kind, text.lower()) for kind, text in errors] == [
        (RuntimeError, "cannot join current thread")
    ]
    assert outcome(thread.start) == (RuntimeError, "threads can only be started once")


@isolated
def test_a_thread_has_a_context_and_local_values_of_its_own() -> None:
    patch()
    variable = contextvars.ContextVar("variable", default="none")
    local = threading.local()
    token = variable.set("main")
    local.value = "main"
    seen: list[Any] = []
    both = threading.Barrier(2)

    def work(text: str) -> None:
        seen.append((variable.get(), getattr(local, "value", None)))
        variable.set(text)
        local.value = text
        both.wait()
        seen.append((variable.get(), local.value))

    threads = [threading.Thread(target=work, args=[text]) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen[:2] == [("none", None)] * 2
    assert sorted(seen[2:]) == [("a", "a"), ("b", "b")]
    assert (variable.get(), local.value) == ("main", "main")
    variable.reset(token)


@isolated
def test_pools_timers_barriers_and_queues_of_threads_work() -> None:
    patch()
    barrier = threading.Barrier(3, timeout=30)
    fired: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Ticker() as ticker:
        timer = threading.Timer(0.01, fired.put, ["timer"])
        timer.start()
        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            began = time.monotonic()
            assert list(pool.map(lambda n: time.sleep(0.1) or n, range(50))) == list(range(50))
            assert time.monotonic() - began < 4  # One after another they take 5 s.
            assert sorted(pool.map(lambda _: barrier.wait(), range(3))) == [0, 1, 2]
        assert fired.get() == "timer"
        timer.join()

    ticker.assert_kept_running()
    assert native_threads() < 20


@isolated
def test_a_thread_that_polls_under_a_lock_lets_the_others_go_on() -> None:
    patch()
    for lock in threading.Lock(), threading.RLock():
        done = threading.Event()

        def poll(lock: Any = lock, done: threading.Event = done) -> None:
            while True:
                with lock:
                    if done.is_set():
                        return

        poller, other = threading.Thread(target=poll), threading.Thread(target=done.set)
        poller.start()
        other.start()
        poller.join()
        other.join()


@isolated
def test_a_thread_that_feeds_its_own_queue_lets_the_others_go_on() -> None:
    patch()
    done = threading.Event()
    tasks: queue.SimpleQueue[int] = queue.SimpleQueue()
    tasks.put(0)

    def work() -> None:
        while not done.is_set():
            tasks.put(tasks.get() + 1)

    worker, other = threading.Thread(target=work), threading.Thread(target=done.set)
    worker.start()
    other.start()
    worker.join()

    assert tasks.get() > 0


@isolated
def test_what_ends_a_low_level_thread_is_told_as_unpatched() -> None:
    told: list[tuple[str, str]] = []

    def hook(unraisable: Any) -> None:
        told.append((str(unraisable.exc_value), unraisable.err_msg))

    sys.unraisablehook = hook

    def fail() -> None:
        raise ValueError("bad")

    def run_all() -> list[Any]:
        told.clear()
        ended: queue.Queue[int] = queue.Queue()
        answers = [
            outcome(_thread.start_new_thread, *arguments)
            for arguments in [(1, ()), (fail, []), (fail, (), []), (fail,)]
        ]
        for function in (fail, _thread.exit):
            _thread.start_new_thread(function, ())
        _thread.start_new_thread(lambda *, value: ended.put(value), (), {"value": 7})
        answers.append(ended.get())
        while _thread._count() > 0 or not told:
            time.sleep(0.001)
        return [*answers, list(told)]

    before = run_all()
    patch()

    assert run_all() == before
    assert len(told) == 1


def test_the_programs_end_waits_for_threads_but_not_for_daemons() -> None:
    done = run_patched(
        "def work():\n    time.sleep(0.05); print('worker')\n"
        "def daemon():\n    time.sleep(60); print('daemon')\n"
        "threading.Thread(target=work).start()\n"
        "threading.Thread(target=daemon, daemon=True).start()\n"
        "print('main')\n"
    )

    assert (done.stdout, done.stderr, done.returncode) == ("main\nworker\n", "", 0)


def test_an_exception_of_a_thread_goes_to_its_hook_and_ends_nobody_else() -> None:
    done = run_patched(
        "def work():\n    raise ValueError('bad')\n"
        "def leave():\n    sys.exit(3)\n"
        "for function in (work, leave):\n"
        "    thread = threading.Thread(target=function); thread.start(); thread.join()\n"
        "print('main')\n"
    )

    assert (done.stdout, done.returncode) == ("main\n", 0)
    assert done.stderr.startswith("Exception in thread Thread-1 (work):\nTraceback")
    assert done.stderr.endswith("ValueError: bad\n")


@isolated
def test_a_thread_that_is_a_green_does_not_name_the_thread_of_all() -> None:
    patch()
    comm = Path("/proc/self/comm")
    before = comm.read_text()
    seen = []

    thread = threading.Thread(target=lambda: seen.append(comm.read_text()), name="one two")
    thread.start()
    thread.join()

    assert seen == [before]
    assert comm.read_text() == before


def test_a_thread_that_forks_is_the_main_thread_of_the_child() -> None:
    done = run_patched(
        "lock = threading.RLock()\n"
        "def work():\n"
        "    lock.acquire()\n"
        "    ident = threading.get_ident()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        same = threading.get_ident() == ident and threading.main_thread() is thread\n"
        "        lock.acquire(); lock.release(); lock.release()\n"
        "        other = threading.Thread(target=time.sleep, args=[0.01])\n"
        "        other.start(); other.join()\n"
        "        print(same, threading.active_count(), waiting.is_alive(), flush=True)\n"
        "        return\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "reaped = threading.Event()\n"
        "waiting = threading.Thread(target=reaped.wait); waiting.start()\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "print(threading.active_count())\n"
        "reaped.set()\n"
    )

    assert (done.stdout, done.stderr) == ("True 1 False\n0\n2\n", "")


def test_a_green_of_no_thread_that_forks_is_the_main_thread_of_the_child() -> None:
    done = run_patched(
        "def fork():\n"
        "    if pid := os.fork():\n"
        "        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "    main = threading.main_thread()\n"
        "    alive = [main.is_alive(), *green.wait([green.spawn(main.is_alive)])]\n"
        "    print(main is threading.current_thread(), alive[0], alive[1].get(), flush=True)\n"
        "    if pid := os.fork():\n"
        "        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "    print(threading.main_thread().is_alive(), threading.active_count())\n"
        "print(green.spawn(fork).get())\n"
    )

    assert (done.stdout, done.stderr) == ("True True True\nTrue 1\n0\n", "")


@isolated
@leaves_behind
def test_locks_that_processes_share_exclude_greens_and_wait() -> None:
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    locks = [context.Lock(), context.RLock()]
    patch()
    order: list[int] = []

    def hold(lock: Any, number: int) -> None:
        with lock:
            order.append(number)
            time.sleep(0.01)
            order.append(number)

    for lock in locks:
        order.clear()
        with Ticker() as ticker:
            together(*[lambda n=n: hold(lock, n) for n in range(5)])  # noqa: B023
        assert order[::2] == order[1::2]  # Nobody was between the two of another.
        assert sorted(order[::2]) == [0, 1, 2, 3, 4]
        ticker.assert_kept_running()
    plain, recursive = locks
    recursive.acquire()
    recursive.acquire()
    assert together(lambda: recursive.acquire(timeout=0.01)) == [False]
    assert together(lambda: outcome(recursive.release)[0]) == [AssertionError]
    recursive.release()
    recursive.release()
    plain.acquire()
    with Ticker() as ticker:
        assert together(lambda: plain.acquire(True, Fraction(1, 10))) == [False]
    ticker.assert_kept_running()
    assert together(plain.release, lambda: plain.acquire(timeout=5)) == [None, True]


@isolated
def test_a_pool_of_processes_works_with_threads_that_are_greens() -> None:
    import multiprocessing

    patch()
    with multiprocessing.get_context("fork").Pool(2) as pool, Ticker() as ticker:
        assert pool.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
        assert pool.apply_async(pow, (2, 10)).get(30) == 1024

    assert ticker.turns > 0


@isolated
def test_the_threads_of_grpcio_stay_native() -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        package = Path(place, "grpc", "_cython")
        package.mkdir(parents=True)
        for init in (package.parent, package):
            (init / "__init__.py").touch()
        (package / "cygrpc.py").write_text(
            "import threading\n"
            "class ForkManagedThread:\n"
            "    def __init__(self, target):\n"
            "        self._thread = threading.Thread(target=target)\n"
            "    def start(self):\n"
            "        self._thread.start()\n"
            "    def join(self):\n"
            "        self._thread.join()\n"
        )
        sys.path.insert(0, place)
        patch()
        import green

        green.monkey_patch()
        from grpc._cython import cygrpc  # type: ignore[import-untyped]

        idents: list[int] = []
        thread = cygrpc.ForkManagedThread(lambda: idents.append(threading.get_native_id()))
        thread.start()
        thread.join()
        sys.path.remove(place)

    assert idents != [threading.get_native_id()]


@isolated
def test_who_starts_a_thread_is_told_its_identity() -> None:
    patch()
    told: queue.Queue[int] = queue.Queue()

    ident = _thread.start_new_thread(lambda: told.put(threading.get_ident()), ())

    assert told.get() == ident
    if hasattr(_thread, "start_joinable_thread"):
        handle = _thread.start_joinable_thread(lambda: told.put(threading.get_ident()))
        assert told.get() == handle.ident
        handle.join()


@isolated
def test_an_identity_may_be_given_to_functions_that_take_a_pthread() -> None:
    patch()
    name_thread = ctypes.CDLL(None).pthread_setname_np
    name_thread.argtypes = [ctypes.c_ulong, ctypes.c_char_p]
    idents: list[int] = []

    def name() -> int:
        idents.append(threading.get_ident())
        return int(name_thread(threading.get_ident(), b"mine"))

    assert together(name, name) == [errno.ENOENT, errno.ENOENT]
    assert len(set(idents)) == 2
    with open("/proc/self/comm") as comm:
        assert comm.read() != "mine\n"


@isolated
def test_where_address_space_is_short_identities_are_small_numbers() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 30), resource.RLIM_INFINITY))
    patch()
    idents = together(threading.get_ident, threading.get_ident)

    assert len(set(idents)) == 2
    assert all(ident < 1000 for ident in idents)
    assert together(lambda: signal.pthread_kill(threading.get_ident(), 0)) == [None]


class Closing:
    """Says so when it is closed, after a wait, by whom."""

    def __init__(self, closed: list[str]) -> None:
        self.closed = closed

    def __del__(self) -> None:
        time.sleep(0.001)
        also.value = 1  # A threading.local, as logging uses one.
        self.closed.append(threading.current_thread().name)


also = threading.local()


@isolated
def test_whoever_joins_a_thread_finds_what_was_local_to_it_closed() -> None:
    patch()
    closed: list[str] = []
    local = threading.local()
    variable: contextvars.ContextVar[Closing] = contextvars.ContextVar("variable")

    def work() -> None:
        local.value = Closing(closed)
        variable.set(Closing(closed))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(closed) >= 1
    del thread  # Which keeps its context from Python 3.14 on.
    assert len(closed) == 2

    green.spawn(work).join()
    assert len(closed) == 4


@isolated
@once("an audit hook is for ever")
def test_the_start_of_a_thread_raises_the_audit_event_of_this_python() -> None:
    patch()
    events: list[tuple[str, object]] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith("_thread.start"):
            events.append((event, arguments[1]))

    sys.addaudithook(hook)
    thread = threading.Thread(target=int, daemon=True)
    thread.start()
    thread.join()

    joinable = sys.version_info >= (3, 13)
    assert events == [
        ("_thread.start_joinable_thread", True) if joinable else ("_thread.start_new_thread", ())
    ]
