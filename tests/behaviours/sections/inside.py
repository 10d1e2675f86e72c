"""Seeing inside: behaviours 20 to 23."""

from __future__ import annotations

import contextvars
import cProfile
import faulthandler
import os
import pstats
import re
import subprocess
import sys
import tempfile
import threading
import time
from types import FrameType
from typing import Any

import layer
from layer import result, spawn, together
from support import Skip, child, code_command, directory, run_code, scenario

# --- 20

MANY = """
import os, signal, socket
def waits_for_a_socket():
    PAIR[0].recv(1)
def waits_for_a_time():
    layer.sleep(100)
PAIR = socket.socketpair()
greens = [layer.spawn(waits_for_a_socket), layer.spawn(waits_for_a_time)]
layer.sleep(0.1)
"""


def dumped() -> str:
    code = MANY + "layer.dump_on_signal(signal.SIGUSR1)\n"
    code += "os.kill(os.getpid(), signal.SIGUSR1)\nlayer.sleep(0.2)\n"
    done = run_code(code, timeout=10)
    assert done.returncode == 0, done.stderr
    return done.stderr


def must_dump() -> None:
    if layer.runtime == "eventlet":
        raise layer.Missing("no list of green threads")


@scenario(20, late=True)
def signal_prints_every_green() -> None:
    """At a signal each green is printed with its stack."""
    must_dump()
    text = dumped()
    for name in ("waits_for_a_socket", "waits_for_a_time"):
        assert name in text, f"{name} is not there: {text}"


@scenario(20, late=True)
def signal_prints_what_greens_wait_for() -> None:
    """At a signal each green is printed with its state, its age and what it waits for."""
    must_dump()
    text = dumped()
    for words in (
        "waiting|parked|blocked|suspended|Running",
        "recv|read",
        "sleep",
        r"age \d",
    ):
        assert re.search(words, text), f"no {words}: {text}"


@scenario(20)
def faulthandler_sees_the_one_that_runs() -> None:
    """faulthandler prints the stack of the green that runs, and no other's."""

    def runs() -> str:
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=False)
            file.seek(0)
            return file.read()

    def waits() -> None:
        layer.sleep(0.1)

    waiter = spawn(waits)
    layer.sleep(0.01)
    text = result(spawn(runs))
    assert "in runs" in text, text
    assert "in waits" not in text, text
    result(waiter)


@scenario(20)
def current_frames_sees_the_one_that_runs() -> None:
    """sys._current_frames() has the frame of the green that runs."""

    def runs() -> bool:
        return sys._getframe() in sys._current_frames().values()

    assert result(spawn(runs))


@scenario(20)
def parked_greens_are_reachable() -> None:
    """The stack of a green that waits can be had from Python."""

    def waits() -> None:
        local_of_the_green = 7
        layer.sleep(0.1)
        assert local_of_the_green

    green = spawn(waits)
    layer.sleep(0.01)
    frame: FrameType | None = layer.frame_of(green)
    names = {}
    while frame is not None:
        names[frame.f_code.co_name] = dict(frame.f_locals)
        frame = frame.f_back
    assert names["waits"]["local_of_the_green"] == 7
    result(green)


@scenario(20, late=True)
def py_spy_sees_the_one_that_runs() -> None:
    """py-spy shows the stack of the green that runs."""
    program = os.path.join(os.path.dirname(sys.executable), "py-spy")
    if not os.path.exists(program):
        raise Skip("py-spy is not installed")
    code = "def burns():\n    print('go', flush=True)\n    while True: pass\n"
    code += "layer.result(layer.spawn(burns))\n"
    with child(code_command(code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        command = [program, "dump", "--pid", str(process.pid)]
        done = subprocess.run(command, capture_output=True, text=True)
    if "Permission" in done.stderr:
        raise Skip("py-spy may not look into processes here")
    assert "burns" in done.stdout, done.stdout + done.stderr


# --- 21


def traced_step() -> None:
    layer.sleep(0)


def other_step() -> None:
    layer.sleep(0)


def alternate(begin: Any, end: Any) -> None:
    """One green calls traced_step() between begin() and end(); another calls other_step()."""

    def traced() -> None:
        begin()
        for _ in range(5):
            traced_step()
        end()

    def other() -> None:
        for _ in range(5):
            other_step()

    together(traced, other)


@scenario(21)
def settrace_follows_its_green() -> None:
    """A tracer that a green sets sees the calls of that green, and of none else."""
    seen = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        seen.append(frame.f_code.co_name)
        return tracer

    alternate(lambda: sys.settrace(tracer), lambda: sys.settrace(None))
    assert seen.count("traced_step") >= 5, f"its own calls: {seen.count('traced_step')}"
    assert "other_step" not in seen, "another's calls were traced"


@scenario(21)
def setprofile_follows_its_green() -> None:
    """A profiler that a green sets sees the calls of that green, and of none else."""
    seen = []

    def profiler(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            seen.append(frame.f_code.co_name)

    alternate(lambda: sys.setprofile(profiler), lambda: sys.setprofile(None))
    assert seen.count("traced_step") == 5, f"its own calls: {seen.count('traced_step')}"
    assert "other_step" not in seen, "another's calls were profiled"


@scenario(21)
def threading_settrace_reaches_new_threads() -> None:
    """threading.settrace() reaches threads that start afterwards."""
    seen = []
    threading.settrace(lambda frame, event, argument: seen.append(frame.f_code.co_name))
    thread = threading.Thread(target=traced_step)
    thread.start()
    thread.join()
    threading.settrace(None)  # type: ignore[arg-type]
    assert "traced_step" in seen


@scenario(21)
def monitoring_sees_greens() -> None:
    """sys.monitoring counts the calls of all greens."""
    if sys.version_info < (3, 12):
        raise Skip("sys.monitoring is there from Python 3.12 on")
    monitoring, seen = sys.monitoring, []
    monitoring.use_tool_id(3, "behaviours")
    monitoring.register_callback(
        3, monitoring.events.PY_START, lambda code, offset: seen.append(code.co_name)
    )
    monitoring.set_events(3, monitoring.events.PY_START)
    alternate(lambda: None, lambda: None)
    monitoring.set_events(3, 0)
    assert (seen.count("traced_step"), seen.count("other_step")) == (5, 5)


@scenario(21)
def profile_of_a_green() -> None:
    """cProfile in a green counts that green's calls, and times them, others' not."""
    profile = cProfile.Profile()

    def profiled() -> None:
        profile.enable()
        for _ in range(5):
            traced_step()
        profile.disable()

    def burns() -> None:
        for _ in range(5):
            end = time.perf_counter() + 0.05
            while time.perf_counter() < end:
                pass
            other_step()

    together(profiled, burns)
    found: Any = pstats.Stats(profile)
    calls = {name: row for (_, _, name), row in found.stats.items()}
    assert calls["traced_step"][:2] == (5, 5), calls["traced_step"]
    assert "other_step" not in calls, "another's calls were counted"


PROGRAM = """
def inner(number):
    layer.sleep(0)
    return number + 1
def work():
    total = 0
    for number in range(3):
        total = inner(total)
    return total
greens = [layer.spawn(work) for _ in range(2)]
"""


@scenario(21)
def coverage_sees_greens() -> None:
    """coverage measures lines of greens, across their switches."""
    try:
        import coverage
    except ImportError as error:
        raise Skip("coverage is not installed") from error
    with directory() as place:
        path = place / "program.py"
        path.write_text("import layer\n" + PROGRAM + "for each in greens: layer.result(each)\n")
        kind = "thread" if layer.runtime == "green" else layer.runtime
        measure = coverage.Coverage(data_file=None, concurrency=kind, include=[str(path)])
        measure.start()
        exec(compile(path.read_text(), str(path), "exec"), {})
        measure.stop()
        lines = set(measure.get_data().lines(str(path)) or [])
    assert lines >= {4, 5, 7, 8, 9, 10}, sorted(lines)


@scenario(21, late=True)
def pdb_stays_in_its_green() -> None:
    """pdb: `next` over a call that switches stops in the same green."""
    with directory() as place:
        (place / "steps.py").write_text(
            "import layer\ndef nap(name):\n    layer.sleep(0.01)\n"
            "def work(name):\n    if name == 'a':\n        import pdb; pdb.set_trace()\n"
            "    nap(name)\n    nap(name)\n    nap(name)\n    return name\n"
        )
        code = f"sys.path.insert(0, {str(place)!r})\nfrom steps import work\n"
        code += "print([layer.result(e) for e in [layer.spawn(work, n) for n in 'ab']])\n"
        done = run_code(
            code, input="next\np name\nnext\np name\nnext\np name\ncontinue\n", timeout=10
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("'a'") == 4, done.stdout  # Three times asked, and in the result.
    assert "> " in done.stdout
    assert "['a', 'b']" in done.stdout


# --- 22

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@scenario(22)
def spawn_copies_the_context() -> None:
    """A green sees the values that its spawner had set."""
    variable.set("the spawner's")
    green = spawn(variable.get)
    variable.set("later")
    assert result(green) == "the spawner's", result(green)


@scenario(22)
def sets_do_not_leak() -> None:
    """What a green sets, neither its spawner nor others see."""

    def work(number: int) -> str:
        variable.set(str(number))
        layer.sleep(0.01)
        return variable.get()

    assert together(*[lambda each=each: work(each) for each in range(5)]) == list("01234")
    assert variable.get() == "unset"


@scenario(22)
def token_is_good_after_a_timeout() -> None:
    """Token.reset() works in the green that has set it, also after a Timeout."""

    def work() -> str:
        token = variable.set("inside")
        try:
            with layer.timeout(0.02):
                layer.sleep(1)
        except layer.package.Timeout:
            pass
        variable.reset(token)
        return variable.get()

    assert together(work, work) == ["unset"] * 2


# --- 23


@scenario(23)
def locals_are_per_green() -> None:
    """threading.local keeps values apart and is emptied with the green."""
    values, gone = threading.local(), []

    class Value:
        def __del__(self) -> None:
            gone.append(self)

    def work(number: int) -> bool:
        values.number = number
        values.last = Value()
        layer.sleep(0.01)
        return bool(values.number == number)

    assert all(together(*[lambda each=each: work(each) for each in range(5)]))
    layer.sleep(0.01)
    assert len(gone) == 5, f"{5 - len(gone)} outlived their green"


@scenario(23)
def identities_are_per_green() -> None:
    """threading.get_ident() differs in greens that live at the same time, and stays the same."""

    def work() -> int:
        before = threading.get_ident()
        layer.sleep(0.02)
        assert threading.get_ident() == before
        return before

    assert len({threading.get_ident(), *together(*[work] * 5)}) == 6


@scenario(23)
def current_thread_is_per_green() -> None:
    """threading.current_thread() differs in greens, and stays the same in each."""

    def work() -> int:
        before = threading.current_thread()
        layer.sleep(0.02)
        assert threading.current_thread() is before
        return id(before)

    assert len({id(threading.current_thread()), *together(*[work] * 5)}) == 6


@scenario(23)
def threads_are_enumerated() -> None:
    """threading.enumerate() has the threads that run, by their names, and no others."""
    threads = [threading.Thread(target=layer.sleep, args=(0.1,), name=f"t{n}") for n in range(3)]
    for each in threads:
        each.start()
    layer.sleep(0.02)
    names = {each.name for each in threading.enumerate()}
    assert {"MainThread", "t0", "t1", "t2"} <= names, names
    for each in threads:
        each.join()
    assert not any(each.is_alive() for each in threads)
    assert threading.active_count() == 1, threading.enumerate()


@scenario(23)
def names_are_per_green() -> None:
    """The name of the current thread is the green's own, after switches too."""
    names = []

    def work() -> None:
        layer.sleep(0.02)
        names.append(threading.current_thread().name)

    threads = [threading.Thread(target=work, name=f"t{n}") for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(names) == ["t0", "t1", "t2"], names


@scenario(23)
def finished_greens_are_not_enumerated() -> None:
    """A green that asked for its current_thread() is not in enumerate() after its end."""
    together(*[threading.current_thread] * 5)
    layer.sleep(0.02)
    assert len(threading.enumerate()) == 1, threading.enumerate()
