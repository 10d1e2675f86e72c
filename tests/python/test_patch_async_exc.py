"""PyThreadState_SetAsyncExc by ctypes, under the patch: threads that are greens have no state of
their own that it could find."""

import concurrent.futures
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from greens import fork
from patched import isolated, run_patched, start_natively

import green

early = ctypes.pythonapi.PyThreadState_SetAsyncExc
early.argtypes = ctypes.c_ulong, ctypes.py_object  # As who is to keep them.


class Stop(Exception):
    pass


def raise_in(ident: int, exception: Any = Stop) -> int:
    return ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, exception)


def stopped(function: Callable[[], Any], stop: Callable[[threading.Thread], int]) -> bool:
    """Was Stop raised in a thread with this function when stop(thread) was called?"""
    seen = []
    begun = threading.Event()

    def work() -> None:
        begun.set()
        try:
            function()
        except Stop as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    assert stop(thread) == 1
    thread.join(10)
    return len(seen) == 1


@isolated
def test_an_exception_is_raised_in_a_thread_where_it_waits() -> None:
    green.monkey_patch()
    lock = threading.Lock()
    with lock:
        for wait in (lambda: time.sleep(100), queue.Queue[int]().get, lock.acquire):
            assert stopped(wait, lambda thread: raise_in(thread.ident or 0))
    assert not lock.locked()


@isolated
def test_it_is_raised_in_whoever_runs_and_asks_for_it() -> None:
    green.monkey_patch()

    def work() -> None:
        raise_in(threading.get_ident())
        while True:
            pass

    assert stopped(work, lambda thread: 1)
    with pytest.raises(Stop):
        raise_in(threading.get_ident())


@isolated
def test_the_main_program_gets_it_where_it_waits_and_not_who_runs_meanwhile() -> None:
    green.monkey_patch()
    main = threading.get_ident()
    hit: list[int] = []

    def work() -> None:
        hit.append(raise_in(main))
        time.sleep(0)
        hit.append(0)

    thread = threading.Thread(target=work)
    thread.start()
    with pytest.raises(Stop):
        time.sleep(100)
    thread.join()
    assert hit == [1, 0]


def test_a_green_may_be_thrown_at_until_its_very_end() -> None:
    done = run_patched(
        "import ctypes\n"
        "import green\n"
        "class Stop(BaseException): pass\n"
        "wanted = thrown = ident = turns = 0\n"
        "ended = False\n"
        "def natively():\n"
        "    global thrown\n"
        "    while thrown < 2:\n"
        "        if thrown < wanted:\n"
        "            raise_in(ctypes.c_ulong(ident), ctypes.py_object(Stop))\n"
        "            thrown += 1\n"
        "raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc\n"
        "def throw():\n"
        "    global wanted\n"
        "    wanted += 1\n"
        "    while thrown < wanted: pass\n"  # Nobody else runs: the message is on its way.
        "def work():\n"
        "    global ident, ended\n"
        "    ident = threading.get_ident()\n"
        "    try:\n"
        "        while True: green.sleep(0)\n"
        "    except Stop: pass\n"
        "    ended = True\n"
        "def busy():\n"
        "    global turns\n"
        "    while not ident: green.sleep(0)\n"
        "    throw()\n"
        "    while turns < 4:\n"
        "        turns += ended\n"
        "        if turns == 1 and wanted == 1: throw()\n"
        "        green.sleep(0)\n"
        "native = green.spawn(green.native.call, natively)\n"
        "thrower = green.spawn(busy)\n"
        "green.sleep(0.01)\n"
        "victim = green.spawn(work)\n"
        "green.joinall([native, thrower, victim])\n"
        "print(wanted, ended)\n"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "2 True\n", "")


@isolated
def test_threads_that_have_ended_and_numbers_of_none_are_not_found() -> None:
    green.monkey_patch()
    thread = threading.Thread(target=int)
    thread.start()
    ident = thread.ident or 0
    thread.join()

    assert raise_in(ident) == 0
    assert raise_in(2**64 - 1) == 0


@isolated
def test_native_threads_are_found_as_ever() -> None:
    green.monkey_patch()
    begun = threading.Event()
    seen = []

    def work() -> None:
        try:
            begun.set()
            while True:
                pass
        except Stop as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    start_natively(thread)
    begun.wait()

    assert raise_in(thread.ident or 0) == 1
    thread.join()
    assert len(seen) == 1


@isolated
def test_what_is_no_exception_class_is_refused() -> None:
    green.monkey_patch()
    thread = threading.Thread(target=time.sleep, args=(100,), daemon=True)
    thread.start()
    time.sleep(0)
    with pytest.raises(TypeError, match="an exception class is needed, not int"):
        raise_in(thread.ident or 0, 3)
    raise_in(thread.ident or 0)
    thread.join()


@isolated
def test_what_the_program_has_said_of_its_arguments_is_kept() -> None:
    green.monkey_patch()
    now = ctypes.pythonapi.PyThreadState_SetAsyncExc

    assert now is not early
    assert now.argtypes == early.argtypes


@isolated
def test_who_has_forked_is_found_in_the_child_by_the_number_it_keeps() -> None:
    green.monkey_patch()

    def work() -> None:
        ident = threading.get_ident()
        with pytest.raises(Stop):
            raise_in(ident)
        thread = threading.Thread(target=lambda: raise_in(ident))
        thread.start()
        with pytest.raises(Stop):
            time.sleep(100)
        thread.join()

    def fork_and_work() -> None:
        pid = fork()
        if pid != 0:
            assert os.waitpid(pid, 0)[1] == 0
            return
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)

    with concurrent.futures.ThreadPoolExecutor() as executor:
        executor.submit(fork_and_work).result()


def test_ctypes_may_be_imported_after_the_patch() -> None:
    done = run_patched(
        """
import sys, threading, time
assert "ctypes" not in sys.modules
thread = threading.Thread(target=time.sleep, args=(100,))
thread.start()
import ctypes
ident, error = ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
print(ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, None))
print(ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error))
thread.join()
"""
    )
    assert (done.stdout, done.stderr, done.returncode) == ("1\n1\n", "", 0)
