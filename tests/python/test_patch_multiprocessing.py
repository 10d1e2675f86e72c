"""multiprocessing under the patch: its pools at the end of a program, and threads that stay."""

from __future__ import annotations

import pytest
from patched import run_program
from sanitized import NO_LEAK_CHECK

USE = """
import green
green.monkey_patch()
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_sharer
context = multiprocessing.get_context("fork")
here, _ = context.Pipe()
resource_sharer.DupFd(here.fileno()).detach()
pool = context.Pool(2)
print(pool.map(abs, [1, -2]))
manager = context.Manager()
print(manager.list([1, 2]))
executor = ProcessPoolExecutor(2, mp_context=context)
print(executor.submit(abs, -3).result(), flush=True)
"""


@pytest.mark.parametrize("before", ["", "import multiprocessing.util\n"])
def test_pools_that_nobody_closed_end_with_the_program_whatever_was_imported_first(
    before: str,
) -> None:
    printed = run_program(before + USE, "-W", "ignore", **NO_LEAK_CHECK)

    assert printed == "[1, 2]\n[1, 2]\n3\n"


def test_a_daemon_that_heeds_no_exception_is_left_behind_at_the_end() -> None:
    printed = run_program(
        """
        import os, threading, time
        import green
        green.monkey_patch()
        read, write = os.pipe()
        file = open(read, "rb")

        def ignore(wait):
            while True:
                try:
                    wait()
                except BaseException:
                    pass

        waits = [lambda: time.sleep(60), file.readline]
        for wait in waits:
            threading.Thread(target=ignore, args=(wait,), daemon=True).start()
        green.sleep(0)
        print("the end")
        """,
        **NO_LEAK_CHECK,
    )

    assert printed == "the end\n"


@pytest.mark.parametrize("cleans_up", [False, True])
def test_a_daemon_that_goes_on_costs_the_end_less_than_one_that_cleans_up_may_take(
    cleans_up: bool,
) -> None:
    printed = run_program(
        f"""
        import atexit, threading, time
        import green
        green.monkey_patch()

        class Late:  # `atexit` lets go of it after greens have ended.
            def __del__(self):
                print("few" if ticks < 15 else "many")

        atexit.register(lambda late: None, Late())
        ticks = 0

        def go_on():
            global ticks
            while True:
                try:
                    while True:
                        time.sleep(0.01)
                        ticks += 1
                except BaseException:
                    ticks = 0  # From here on.

        def clean_up():
            try:
                time.sleep(60)
            finally:
                time.sleep(0.5)
                print("clean")

        for work in [go_on] + [clean_up] * {cleans_up}:
            threading.Thread(target=work, daemon=True).start()
        green.sleep(0)
        """,
        **NO_LEAK_CHECK,
    )

    assert printed == ("clean\nmany\n" if cleans_up else "few\n")
