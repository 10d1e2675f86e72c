"""Tracers, profilers and debuggers see greens.

sys.settrace() and its kin belong to the thread: all greens of a thread share what one of them has
set, as they share the thread state, and a frame's own trace function stays with its frame. Each
test runs in a process of its own, since it changes what the test runner itself may use.
"""

import sys
import threading
from types import CodeType, FrameType
from typing import Any

import pytest
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
def test_a_trace_function_sees_every_line_of_a_green_across_its_switches() -> None:
    calls = Calls()
    log: list[str] = []
    sys.settrace(calls)
    green.spawn(ping, log, "a", 5).join()
    sys.settrace(None)

    assert calls.names.count("ping") == 1
    assert calls.lines.count("ping") >= 3 * 5


@isolated
def test_lines_are_seen_also_when_greens_alternate() -> None:
    calls = Calls()
    log: list[str] = []
    sys.settrace(calls)
    greens = [green.spawn(ping, log, name, 4) for name in "abc"]
    for each in greens:
        each.join()
    sys.settrace(None)

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
def test_a_trace_function_may_switch_and_the_others_are_traced_meanwhile() -> None:
    seen: list[str] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_name in ("ping", "other"):
            seen.append(frame.f_code.co_name)
            green.sleep(0)
        return tracer

    def other() -> None:
        green.sleep(0)

    sys.settrace(tracer)
    greens = [green.spawn(ping, [], "a", 2), green.spawn(other)]
    for each in greens:
        each.join()
    sys.settrace(None)

    assert seen.count("other") >= 2
    assert seen.count("ping") >= 6


@isolated
def test_a_profile_function_sees_calls_and_returns_in_pairs_for_each_green() -> None:
    depth: dict[object, int] = {}

    def profiler(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_name == "ping":
            me = frame
            depth.setdefault(me, 0)
            depth[me] += {"call": 1, "return": -1}.get(event, 0)

    sys.setprofile(profiler)
    greens = [green.spawn(ping, [], name, 3) for name in "ab"]
    for each in greens:
        each.join()
    sys.setprofile(None)

    assert list(depth.values()) == [0, 0]


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

    assert calls.names.count("ping") == 1


@isolated
def test_cprofile_counts_the_calls_of_all_greens() -> None:
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.enable()
    greens = [green.spawn(ping, [], name, 3) for name in "abc"]
    for each in greens:
        each.join()
    profile.disable()

    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    (found,) = [value for key, value in stats.items() if key[2] == "ping"]
    assert found[1] == 3  # Its one stack takes interleaved greens for recursion: times are mixed.


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
