"""Time, errors, memory: behaviours 28 to 30, deep recursion, exit and free-threaded builds."""

from __future__ import annotations

import ast
import contextlib
import glob
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layer
from layer import result, spawn
from support import Skip, run_code, scenario, size, succeeded

DEPTH = 100_000


def in_a_green(function: Callable[[], Any]) -> None:
    """It completes or ends in RecursionError; afterwards the green, and others, go on as before."""

    def attempt() -> str:
        with contextlib.suppress(RecursionError, MemoryError):  # The latter is ast's.
            function()
        layer.sleep(0)
        return "goes on"

    for _ in range(2):
        assert result(spawn(attempt)) == "goes on"


def nested_list(depth: int = DEPTH) -> list[Any]:
    nested: list[Any] = []
    for _ in range(depth):
        nested = [nested]
    return nested


@scenario(28)
def recursion_in_python() -> None:
    """A function that calls itself for ever ends in RecursionError."""

    def again(number: int) -> int:
        return again(number + 1) + 1

    in_a_green(lambda: again(0))


@scenario(28)
def recursion_through_c() -> None:
    """Python that calls itself through C (map, sorted, a key function) ends in RecursionError."""

    def again(number: int) -> Any:
        return sorted([number], key=lambda each: list(map(again, [each + 1])))

    in_a_green(lambda: again(0))


@scenario(28)
def repr_of_nested_lists() -> None:
    """repr() of deeply nested lists ends in RecursionError."""
    nested = nested_list()
    in_a_green(lambda: repr(nested))


@scenario(28)
def comparison_of_nested_lists() -> None:
    """Comparing of deeply nested lists ends in RecursionError."""
    one, other = nested_list(), nested_list()
    in_a_green(lambda: one == other)


@scenario(28)
def hash_of_nested_tuples() -> None:
    """hash() of 20,000 nested tuples, which no version of CPython limits, completes."""
    one: Any = ()
    for _ in range(20_000):
        one = (one,)
    in_a_green(lambda: hash(one))


@scenario(28)
def json_of_nested_lists() -> None:
    """json of deeply nested text and lists ends in RecursionError."""
    nested = nested_list()
    in_a_green(lambda: json.loads("[" * DEPTH))
    in_a_green(lambda: json.loads('{"a":' * DEPTH))
    in_a_green(lambda: json.dumps(nested))


@scenario(28)
def ast_of_nested_text() -> None:
    """Parsing and compiling of deeply nested text ends in an error."""

    def parse(text: str) -> None:
        with contextlib.suppress(SyntaxError):  # Too many nested parentheses.
            compile(ast.parse(text), "text", "exec")

    for text in ("(" * 5000, "-" * 50_000 + "1", "+".join(["x"] * 20_000), "a" + ".b" * 20_000):
        in_a_green(lambda text=text: parse(text))
    in_a_green(lambda: ast.literal_eval("-" * 50_000 + "1"))


@scenario(28)
def regular_expressions() -> None:
    """A pattern nested deeply, and one that goes back far, end well or in RecursionError."""
    in_a_green(lambda: re.compile("(" * 5000 + ")" * 5000))
    in_a_green(lambda: re.match("(?:a|b)*?c", "ab" * 100_000))
    in_a_green(lambda: re.match("(x+x+)+y", "x" * 15))


@scenario(28)
def pickle_of_nested_lists() -> None:
    """Pickling of deeply nested lists ends in RecursionError, with the C and the Python pickler."""
    nested = nested_list()
    in_a_green(lambda: pickle.dumps(nested))
    in_a_green(lambda: pickle._dumps(nested))  # type: ignore[attr-defined]


@scenario(28)
def deallocation_of_deep_structures() -> None:
    """Deep chains of lists, dicts, objects and generators are freed."""

    class Link:
        def __init__(self, to: Any) -> None:
            self.to = to

    def free() -> None:
        for make in (lambda x: [x], lambda x: {1: x}, lambda x: (x,), Link, lambda x: iter([x])):
            chain: Any = None
            for _ in range(DEPTH):
                chain = make(chain)
            del chain

    in_a_green(free)


@scenario(28)
def many_layered_getattr() -> None:
    """__getattr__ that asks a further object, 10,000 times over, ends in RecursionError."""

    class Layer:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.__dict__["inner"], name)

    outermost: Any = Layer(7)
    for _ in range(10_000):
        outermost = Layer(outermost)
    in_a_green(lambda: outermost.no_such_name)


@scenario(28)
def deep_stacks_of_many_greens() -> None:
    """50 greens that wait, each 500 calls deep, keep their stacks."""

    def deep(number: int) -> int:
        if number == 0:
            layer.sleep(0.01)
            return 0
        return deep(number - 1) + 1

    assert [result(each) for each in [spawn(deep, 500) for _ in range(50)]] == [500] * 50


# --- 29

PARKED = size(100_000, 10_000)


@scenario(29, late=True, seconds=30)
def exit_with_parked_greens() -> None:
    """A program ends although thousands of greens wait: at once, with 0, and says nothing."""
    code = f"""
def waits():
    try: layer.sleep(1000)
    finally: pass
greens = [layer.spawn(waits) for _ in range({PARKED})]
layer.sleep(0)
print("end of the program")
"""
    done = run_code(code, timeout=20 if PARKED < 100_000 else 120)
    assert succeeded(done) == "end of the program\n"


@scenario(29, late=True)
def exit_with_greens_nobody_holds() -> None:
    """The same when nobody has a reference to the greens, and they wait for sockets and locks."""
    code = """
import socket, threading
lock = threading.Lock()
lock.acquire()
pairs = [socket.socketpair() for _ in range(100)]
for here, there in pairs: layer.spawn(here.recv, 1)
for _ in range(100): layer.spawn(lock.acquire)
layer.sleep(0)
print("end of the program")
"""
    assert succeeded(run_code(code, timeout=15)) == "end of the program\n"


@scenario(29, late=True)
def threads_at_exit() -> None:
    """Threads are waited for at exit, their `finally` runs; daemons are not waited for."""
    code = """
import threading, time
def work():
    try: time.sleep(0.3)
    finally: print("finally", flush=True)
def daemon():
    time.sleep(1000)
threading.Thread(target=work).start()
threading.Thread(target=daemon, daemon=True).start()
print("end of the program", flush=True)
"""
    assert succeeded(run_code(code, timeout=15)) == "end of the program\nfinally\n"


@scenario(29, late=True)
def exit_from_a_green() -> None:
    """sys.exit() in the main program ends it with its status while greens wait."""
    code = "for _ in range(10): layer.spawn(layer.sleep, 1000)\nlayer.sleep(0.01)\nsys.exit(3)\n"
    done = run_code(code, timeout=15)
    assert (done.returncode, done.stderr) == (3, "")


@scenario(29, late=True, timed=True)
def functions_at_exit_may_wait() -> None:
    """atexit's functions may wait, and other greens run meanwhile."""
    code = """
import atexit, time
ticks = []
def ticker():
    while True:
        layer.sleep(0.01)
        ticks.append(1)
def last():
    before = len(ticks)
    time.sleep(0.2)
    print(len(ticks) - before > 3)
atexit.register(last)
layer.spawn(ticker)
"""
    assert succeeded(run_code(code, timeout=15)) == "True\n"


# --- 30


def free_threaded() -> str:
    named = [shutil.which(f"python3.{minor}t") for minor in (13, 14)]
    home = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    named += glob.glob(f"{home}/versions/3.1?.*t/bin/python")
    for each in named:
        if each is not None:
            return each
    raise Skip("no free-threaded Python here")


@scenario(30, late=True)
def free_threaded_build() -> None:
    """On a free-threaded Python it works, or its import is refused; the GIL stays off."""
    package = Path(layer.package.__file__).parent.parent
    code = f"""
import sys
sys.path.insert(0, {str(package)!r})
try: import {layer.runtime}
except ImportError as error: print("refused:", error)
print("GIL:", sys._is_gil_enabled())
"""
    done = subprocess.run([free_threaded(), "-c", code], capture_output=True, text=True)
    told = succeeded(done)
    assert "GIL: False" in told, told
    assert "free-threaded" in told or "refused" not in told, told


@scenario(30, late=True)
def free_threaded_build_is_refused_first() -> None:
    """The refusal comes before anything of C is imported, as the name of the build tells."""
    if layer.runtime != "green":
        raise layer.Missing("no refusal by the name of the build")
    code = f"""
import sys
sys.abiflags = "t"
sys.path[:0] = {[p for p in sys.path if p]!r}
try: import green
except ImportError as error: print(error)
print([name for name in sys.modules if name.startswith("green.")])
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    told = succeeded(done)
    assert "free-threaded" in told, told
    assert told.endswith("[]\n"), told
