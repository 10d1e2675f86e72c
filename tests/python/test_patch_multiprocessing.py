"""multiprocessing under the patch: its pools at the end of a program, and threads that stay."""

from __future__ import annotations

import pytest
from patched import run_program

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
    assert run_program(before + USE, "-W", "ignore") == "[1, 2]\n[1, 2]\n3\n"


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
        """
    )

    assert printed == "the end\n"
