"""Tracers, profilers and debuggers see greens as they see threads.

What sys.settrace() and sys.setprofile() set is the green's that set it; a new green begins with
what threading.settrace() and setprofile() hold ready. Each test runs in a process of its own, since
it changes what the test runner itself may use.
"""

import sys
import threading
from types import CodeType, FrameType
from typing import Any

import pytest
from leaks import once
from patched import isolated

import green


def ping(log: list[str], name: str, turns: int) -> None:
    for _ in range(turns):
        log.append(name)
        green.sleep(0)


class Calls:
    """A trace or profile function that notes which functions are called."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.lines: list[str] = []

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "Calls":
        if frame.f_code.co_filename == __file__:
            if event == "call":
                self.names.append(frame.f_code.co_name)
            if event == "line":
                self.lines.append(frame.f_code.co_name)
        return self


@isolated
def test_a_trace_function_sees_every_line_of_its_green_across_its_switches() -> None:
    calls = Calls()
    log: list[str] = []

    def traced() -> None:
        sys.settrace(calls)
        ping(log, "a", 5)

    other = green.spawn(ping, log, "b", 5)
    green.spawn(traced).join()
    other.join()

    assert log == list("ba") * 5
    assert calls.names == ["ping"]
    assert calls.lines.count("ping") >= 3 * 5


@isolated
def test_the_main_program_s_trace_function_goes_on_after_a_wait_and_sees_no_green() -> None:
    calls = Calls()
    seen_by_green: list[Any] = []

    def after() -> None:
        pass

    sys.settrace(calls)
    greens = [
        green.spawn(ping, [], "a", 3),
        green.spawn(lambda: seen_by_green.append(sys.gettrace())),
    ]
    for each in greens:
        each.join()
    kept = sys.gettrace()
    after()
    sys.settrace(None)

    assert kept is calls
    assert calls.names == ["after"]
    assert seen_by_green == [None]


@isolated
def test_a_profile_function_is_its_green_s_alone() -> None:
    seen: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename == __file__:
            seen.append(frame.f_code.co_name)

    def here() -> None:
        green.sleep(0)

    def profiled() -> None:
        sys.setprofile(profile)
        here()
        here()

    other = green.spawn(ping, [], "a", 5)
    green.spawn(profiled).join()
    other.join()

    assert sys.getprofile() is None
    assert seen == ["here", "here"]


@isolated
def test_threading_settrace_reaches_every_line_of_greens_that_alternate() -> None:
    calls = Calls()
    log: list[str] = []
    threading.settrace(calls)
    greens = [green.spawn(ping, log, name, 4) for name in "abc"]
    for each in greens:
        each.join()
    threading.settrace(None)  # type: ignore[arg-type]

    alone = Calls()
    sys.settrace(alone)
    ping([], "d", 4)
    sys.settrace(None)

    assert log == list("abc") * 4
    assert calls.names.count("ping") == 3
    assert calls.lines.count("ping") == 3 * alone.lines.count("ping")


@isolated
def test_what_a_green_sets_ends_when_it_takes_it_back() -> None:
    calls = Calls()

    def traced() -> None:
        sys.settrace(calls)
        ping([], "a", 2)
        sys.settrace(None)

    green.spawn(traced).join()
    ping([], "b", 2)

    assert sys.gettrace() is None
    assert calls.names == ["ping"]


@isolated
def test_a_trace_function_may_switch_and_others_are_traced_meanwhile() -> None:
    seen: list[str] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name in ("ping", "other"):
            seen.append(frame.f_code.co_name)
            green.sleep(0)
        return tracer

    def other() -> None:
        green.sleep(0)

    threading.settrace(tracer)
    greens = [green.spawn(ping, [], "a", 2), green.spawn(other)]
    for each in greens:
        each.join()
    threading.settrace(None)  # type: ignore[arg-type]

    assert seen[:4] == ["ping", "other"] * 2
    assert seen.count("other") == 3  # Its call, line and return.
    assert seen.count("ping") >= 6


@isolated
def test_a_trace_function_goes_with_the_green_that_ends_or_is_killed() -> None:
    import gc
    import weakref

    def end_by(how: str) -> weakref.ref[Any]:
        calls = Calls()

        def traced() -> None:
            calls_of_its_own = Calls()
            sys.settrace(calls_of_its_own)
            sys.setprofile(calls)
            if how != "end":
                green.sleep(60)

        it = green.spawn(traced)
        green.sleep(0)
        if how == "kill":
            it.kill()
        it.join()
        return weakref.ref(calls)

    for how in ("end", "kill"):
        there = end_by(how)
        gc.collect()
        assert there() is None, how
        assert green.spawn(sys.gettrace).get() is None
        assert green.spawn(sys.getprofile).get() is None
    green.spawn(lambda: sys.settrace(Calls())).kill()  # It never runs.


@isolated
def test_a_traced_green_ends_while_others_are_traced() -> None:
    """On CPython 3.12 and 3.13 that looks at a frame, and the green has none left."""
    calls = Calls()

    def traced(turns: int) -> None:
        sys.settrace(calls)
        ping([], "a", turns)

    sys.settrace(Calls())
    greens = [green.spawn(traced, turns) for turns in range(4)]
    for each in greens:
        each.join()
    sys.settrace(None)

    assert calls.names.count("ping") == 4


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no counts of tracing threads")
@isolated
def test_code_is_instrumented_only_while_a_green_traces() -> None:
    """CPython counts those that trace; nobody else can see the count but by what it does."""
    import dis

    def probe() -> None:
        pass

    def instrumented() -> bool:
        probe()
        return any(
            "INSTRUMENTED" in each.opname for each in dis.get_instructions(probe, adaptive=True)
        )

    def traced(turns: int) -> None:
        sys.settrace(Calls())
        sys.setprofile(Calls())
        ping([], "a", turns)

    before = instrumented()
    greens = [green.spawn(traced, turns) for turns in (1, 3, 60)]
    green.sleep(0)
    during = instrumented()
    greens.pop().kill()
    for each in greens:
        each.join()

    assert (before, during, instrumented()) == (False, True, False)


@isolated
def test_a_profile_function_sees_calls_and_returns_in_pairs_for_each_green() -> None:
    depth: dict[object, int] = {}

    def profiler(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_name == "ping":
            me = frame
            depth.setdefault(me, 0)
            depth[me] += {"call": 1, "return": -1}.get(event, 0)

    threading.setprofile(profiler)
    greens = [green.spawn(ping, [], name, 3) for name in "ab"]
    for each in greens:
        each.join()
    threading.setprofile(None)  # type: ignore[arg-type]

    assert list(depth.values()) == [0, 0]


@isolated
def test_threading_knows_a_green_that_begins_traced_or_debuggers_would_pass_it_by() -> None:
    green.monkey_patch()
    known: list[bool] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        known.append(threading.get_ident() in threading._active)  # type: ignore[attr-defined]

    threading.settrace(tracer)
    green.spawn(ping, [], "a", 1).join()
    threading.settrace(None)  # type: ignore[arg-type]

    assert known == [True]


@isolated
def test_a_thread_s_green_is_traced_from_where_a_thread_is() -> None:
    green.monkey_patch()
    seen: list[str] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        seen.append(frame.f_code.co_name)

    threading.settrace(tracer)
    thread = threading.Thread(target=ping, args=([], "a", 2))
    thread.start()
    thread.join()
    threading.settrace(None)  # type: ignore[arg-type]

    assert "ping" in seen
    assert "run" in seen
    assert not {"_bootstrap", "_bootstrap_inner"} & set(seen)


@isolated
def test_threading_settrace_reaches_the_greens_of_threads_started_later() -> None:
    calls = Calls()
    threading.settrace(calls)
    log: list[str] = []
    thread = threading.Thread(target=lambda: green.spawn(ping, log, "a", 2).join())
    thread.start()
    thread.join()
    threading.settrace(None)  # type: ignore[arg-type]
    ping(log, "b", 1)

    assert calls.names.count("ping") == 1


@isolated
def test_a_trace_function_of_one_thread_does_not_see_the_greens_of_another() -> None:
    calls = Calls()
    ready, go_on = threading.Event(), threading.Event()

    def run() -> None:
        ready.set()
        go_on.wait()
        green.spawn(ping, [], "there", 2).join()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    sys.settrace(calls)
    go_on.set()
    thread.join()
    green.spawn(ping, [], "here", 2).join()
    sys.settrace(None)

    assert calls.names == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="3.12's")
@isolated
def test_settrace_all_threads_reaches_its_caller_what_runs_elsewhere_and_whoever_begins() -> None:
    calls, log = Calls(), []
    ready, go_on = threading.Event(), threading.Event()

    def main_of_thread() -> None:
        green.sleep(0)  # It has a hub: the trace function is set while that sleeps.
        hub_waits = green.spawn(green.native.call, lambda: (ready.set(), go_on.wait()))
        hub_waits.join()
        log.append(sys.gettrace())

    thread = threading.Thread(target=main_of_thread)
    thread.start()
    ready.wait()
    parked = green.spawn(lambda: (green.sleep(0), log.append(sys.gettrace())))
    green.sleep(0)
    threading.settrace_all_threads(calls)  # type: ignore[attr-defined]
    mine = sys.gettrace()
    parked.join()
    later = green.spawn(sys.gettrace).get()
    go_on.set()
    thread.join()
    threading.settrace_all_threads(None)  # type: ignore[attr-defined]

    assert mine is calls
    assert later is calls
    assert log == [None, calls]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="listens to the whole process from 3.12 on")
@isolated
def test_cprofile_follows_the_green_that_enabled_it() -> None:
    import cProfile
    import pstats

    def inner() -> None:
        green.sleep(0)

    def outer(turns: int) -> None:
        for _ in range(turns):
            inner()

    def profiled() -> None:
        profile.enable()
        outer(4)
        profile.disable()

    profile = cProfile.Profile()
    others = [green.spawn(outer, 10), green.spawn(ping, [], "a", 10)]
    green.spawn(profiled).join()
    for each in others:
        each.join()

    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    found = {key[2]: value for key, value in stats.items()}
    assert "ping" not in found
    assert found["inner"][:2] == (4, 4)
    assert found["outer"][:2] == (1, 1)
    # Inclusive times nest: nobody else's calls stand between the two.
    assert found["outer"][3] >= found["inner"][3]


@isolated
def test_pdb_steps_through_a_green_while_others_run() -> None:
    import io
    import pdb

    log: list[str] = []

    def debugged() -> None:
        debugger = pdb.Pdb(stdin=io.StringIO("next\nnext\nnext\ncontinue\n"), stdout=output)
        debugger.set_trace()
        first = 1
        green.sleep(0)
        second = first + 1
        log.append(f"second {second}")

    output = io.StringIO()
    other = green.spawn(ping, log, "other", 3)
    green.spawn(debugged).join()
    other.join()

    text = output.getvalue()
    assert "green.sleep(0)" in text
    assert "second = first + 1" in text
    assert log.count("other") == 3
    assert "second 2" in log


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is 3.12's")
@isolated
def test_sys_monitoring_sees_the_greens_of_the_process() -> None:
    monitoring = sys.monitoring  # type: ignore[attr-defined]
    seen: list[str] = []

    def started(code: CodeType, offset: int) -> None:
        if code.co_filename == __file__:
            seen.append(code.co_name)

    monitoring.use_tool_id(3, "test")
    monitoring.register_callback(3, monitoring.events.PY_START, started)
    monitoring.set_events(3, monitoring.events.PY_START)
    greens = [green.spawn(ping, [], name, 3) for name in "ab"]
    for each in greens:
        each.join()
    monitoring.set_events(3, 0)
    monitoring.free_tool_id(3)

    assert seen.count("ping") == 2


@isolated
@once("coverage keeps what it has measured")
def test_coverage_sees_the_lines_of_every_green() -> None:
    import coverage

    measured = coverage.Coverage(data_file=None, include=[__file__])
    measured.start()
    greens = [green.spawn(ping, [], name, 2) for name in "ab"]
    for each in greens:
        each.join()
    measured.stop()

    first = ping.__code__.co_firstlineno
    assert {first + 1, first + 2, first + 3} <= set(measured.get_data().lines(__file__))


@isolated
def test_faulthandler_prints_the_stack_of_the_green_that_runs() -> None:
    import faulthandler
    import tempfile

    with tempfile.TemporaryFile("w+") as file:

        def dump() -> None:
            faulthandler.dump_traceback(file, all_threads=False)

        green.spawn(dump).join()
        file.seek(0)
        text = file.read()

    assert "in dump" in text
    assert "test_faulthandler" not in text  # The main program's stack is another.


@isolated
def test_current_frames_shows_the_green_that_runs() -> None:
    def look() -> list[str]:
        frame: FrameType | None = sys._current_frames()[threading.main_thread().ident]
        names = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        return names

    assert green.spawn(look).get() == ["look"]
