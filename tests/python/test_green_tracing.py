"""green.trace: the file is what Perfetto reads, and tells what each green did."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import green
from green import _core

Event = dict[str, Any]


def events_of(path: Path, *, complete: bool = True) -> list[Event]:
    text = path.read_text()
    if not complete:  # What is missing at a killed process's end, by the format's own rule; and
        text = text[: text.rindex("\n")] + "]"  # the kill may have come while a line was written.
    events: list[Event] = json.loads(text)
    return events


def tracks_of(events: list[Event]) -> dict[str, list[Event]]:
    """The slices of each track by its last name. They must be disjoint or nested."""
    names: dict[int, str] = {}
    slices: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["tid"]].append(event)
        elif event["name"] == "thread_name":
            names[event["tid"]] = event["args"]["name"]
    for track in slices.values():
        expect_nesting(track)
    return {names[track]: events for track, events in slices.items()}


def expect_nesting(track: list[Event]) -> None:
    def span(event: Event) -> tuple[int, int]:
        start = round(event["ts"] * 1000)  # In nanoseconds there is nothing to round.
        return start, start + round(event["dur"] * 1000)

    open_spans: list[tuple[int, int]] = []
    for start, end in sorted(
        (span(event) for event in track), key=lambda each: (each[0], -each[1])
    ):
        while open_spans and open_spans[-1][1] <= start:
            open_spans.pop()
        assert not open_spans or end <= open_spans[-1][1], (start, end, open_spans)
        open_spans.append((start, end))


def what(track: list[Event]) -> list[str]:
    return [event["name"] for event in track]


def test_a_green_runs_and_waits_in_turn_each_with_its_reason(tmp_path: Path) -> None:
    def work() -> None:
        green.sleep(0.01)
        green.sleep(0)
        green.spawn(lambda: None).join()

    with green.trace(tmp_path / "trace"):
        each = green.spawn(work)
        each.name = "worker"
        each.join()

    tracks = tracks_of(events_of(tmp_path / "trace"))
    assert what(tracks["worker"]) == [
        *("running", "sleep", "running", "ready", "running", "join", "running")
    ]
    slept = tracks["worker"][1]
    assert slept["dur"] >= 10_000
    assert what(tracks["main"])[:3] == ["running", "join", "running"]


def test_slices_follow_each_other_without_gaps(tmp_path: Path) -> None:
    with green.trace(tmp_path / "trace"):
        each = green.spawn(lambda: [green.sleep(0) for _ in range(20)])
        each.join()

    track = tracks_of(events_of(tmp_path / "trace"))[each.name]
    for one, following in itertools.pairwise(track):
        assert round(1000 * (one["ts"] + one["dur"])) == round(1000 * following["ts"])


def test_the_hub_has_a_track_and_sleeps_inside_its_turns(tmp_path: Path) -> None:
    with green.trace(tmp_path / "trace"):
        green.sleep(0.01)

    (hub,) = [
        track
        for name, track in tracks_of(events_of(tmp_path / "trace")).items()
        if name.startswith("hub of thread")
    ]
    assert {"hub", "sleep"} == set(what(hub))
    turns, sleeps = ([event for event in hub if event["name"] == name] for name in ("hub", "sleep"))
    for sleep in sleeps:
        assert any(
            turn["ts"] <= sleep["ts"] and sleep["ts"] + sleep["dur"] <= turn["ts"] + turn["dur"]
            for turn in turns
        )


def test_a_wait_for_a_descriptor_tells_which(tmp_path: Path) -> None:
    here, there = socket.socketpair()
    with here, there, green.trace(tmp_path / "trace"):
        each = green.spawn(_core.wait_fd, here.fileno(), 1, None)
        green.sleep(0)
        there.send(b"x")
        each.join()
        track = here.fileno()

    waits = tracks_of(events_of(tmp_path / "trace"))[each.name]
    assert [event.get("args") for event in waits if event["name"] == "poll"] == [
        {"descriptor": track}
    ]


def test_what_goes_on_at_the_beginning_and_at_the_end_is_cut_there(tmp_path: Path) -> None:
    early = green.spawn(green.sleep, 100)
    green.sleep(0)

    with green.trace(tmp_path / "trace"):
        green.sleep(0.001)

    early.kill(block=True)
    tracks = tracks_of(events_of(tmp_path / "trace"))
    assert what(tracks[early.name]) == ["sleep"]
    assert what(tracks["main"])[-1] == "running"
    assert tracks["main"][0]["ts"] == tracks[early.name][0]["ts"]


def test_greens_of_all_threads_are_traced_also_of_threads_that_begin_later(tmp_path: Path) -> None:
    def run() -> None:
        green.spawn(green.sleep, 0.001).join()

    with green.trace(tmp_path / "trace"):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    hubs = [name for name in tracks_of(events_of(tmp_path / "trace")) if name.startswith("hub")]
    assert f"hub of thread {thread.native_id}" in hubs


def test_there_is_one_trace_at_a_time_and_another_after_it(tmp_path: Path) -> None:
    with green.trace(tmp_path / "one"):
        with pytest.raises(RuntimeError, match="already"):
            green.trace(tmp_path / "two").start()
        green.sleep(0)
    with green.trace(tmp_path / "two") as second:
        green.sleep(0)
    second.stop()

    for name in ("one", "two"):
        assert "main" in tracks_of(events_of(tmp_path / name))


def test_a_file_that_cannot_be_written_is_an_error_and_no_trace(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        green.trace(tmp_path / "nowhere" / "trace").start()
    with green.trace(tmp_path / "trace"):
        pass


def test_names_with_quotes_and_strange_characters_are_written(tmp_path: Path) -> None:
    names = ['a "name"\\', "Grüße\n", "\udc80"]
    with green.trace(tmp_path / "trace"):
        greens = [green.spawn(green.sleep, 0) for _ in names]
        for each, name in zip(greens, names, strict=True):
            each.name = name
        for each in greens:
            each.join()

    tracks = tracks_of(events_of(tmp_path / "trace"))
    assert names[0] in tracks
    assert names[1] in tracks
    assert f"green-{greens[2].number}" in tracks


PROGRAM = """
import os, sys, green
def work():
    for _ in range(int(sys.argv[1])):
        green.sleep(0)
greens = [green.spawn(work) for _ in range(5)]
for each in greens:
    each.join()
"""


def run(program: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
    )


def run_to_end(program: str, *arguments: str, **environment: str) -> None:
    with run(program, *arguments, **environment) as process:
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_the_environment_traces_a_program_to_its_end(tmp_path: Path) -> None:
    run_to_end(PROGRAM, "3", GREEN_TRACE=str(tmp_path / "trace"))

    tracks = tracks_of(events_of(tmp_path / "trace"))
    assert [name for name in tracks if name.startswith("green-")] == [
        f"green-{number}" for number in range(2, 7)
    ]
    assert what(tracks["green-2"]) == ["running", "ready"] * 3 + ["running"]


def test_a_process_that_is_killed_leaves_a_file_that_lacks_only_its_end(tmp_path: Path) -> None:
    program = PROGRAM + "\nprint('here', flush=True)\ngreen.spawn(green.sleep, 1000).join()\n"
    process = run(program, "500", GREEN_TRACE=str(tmp_path / "trace"))
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    while (tmp_path / "trace").read_bytes().count(b"\n") <= 510:
        assert process.poll() is None  # What is written is a thread's affair.

    process.send_signal(signal.SIGKILL)
    process.wait(60)
    process.stdout.close()

    events = events_of(tmp_path / "trace", complete=False)
    assert len(events) > 500
    assert "green-2" in tracks_of(events)


FORKS = """
import os, green
def work():
    pid = os.fork()
    if pid == 0:
        green.spawn(green.sleep, 0.001).join()
        raise SystemExit(0)
    assert os.waitpid(pid, 0)[1] == 0
green.spawn(work).join()
"""


def test_a_forked_child_leaves_the_parents_file_alone(tmp_path: Path) -> None:
    run_to_end(FORKS, GREEN_TRACE=str(tmp_path / "trace"))

    assert len({event["pid"] for event in events_of(tmp_path / "trace")}) == 1


def test_a_forked_child_goes_on_in_a_file_of_its_own_where_the_path_has_one(tmp_path: Path) -> None:
    run_to_end(FORKS, GREEN_TRACE=str(tmp_path / "trace-%p"))

    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for file in files:
        events = events_of(file)
        assert {str(event["pid"]) for event in events} == {file.name.removeprefix("trace-")}
        assert "main" in tracks_of(events)


def test_children_of_children_go_on_with_a_trace_of_their_own(tmp_path: Path) -> None:
    code = (
        "import os, green\n"
        "def fork(left):\n"
        "    if left == 0: return\n"
        "    if os.fork() == 0: fork(left - 1); os._exit(0)\n"
        "    os.wait()\n"
        f"with green.trace({str(tmp_path / 'trace.%p')!r}): fork(2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stderr == ""
    assert len(list(tmp_path.iterdir())) == 3
