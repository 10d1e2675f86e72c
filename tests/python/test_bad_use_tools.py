"""What looks inside does not disturb, whatever it is asked for. See docs/bad-use.md."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from greens import native, native_names, until
from nothing_left import nothing_left  # noqa: F401
from patched import isolated

import green
from green import backdoor, debug

SECONDS = 10.0  # Which no wait here comes near to.


def on_native_thread(function: Callable[[], Any]) -> Any:
    """What function() returns, or raises, on a native thread."""
    result = green.AsyncResult()

    def call() -> None:
        try:
            result.set(function())
        except BaseException as error:
            result.set_exception(error)

    native(call).join()
    return result.get(SECONDS)


# --- Traces


def test_a_second_trace_is_refused_and_leaves_the_file_of_the_first_whole(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with green.trace(path):
        for _ in range(3000):  # More than is held in memory.
            green.sleep(0)
        with pytest.raises(RuntimeError, match="a trace is being written already"):
            green.trace(path).start()
    events = json.loads(path.read_text())
    assert sum(each.get("name") == "ready" for each in events) >= 2999


def test_a_trace_replaces_what_was_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("x" * 100_000)
    with green.trace(os.fsencode(path)):
        green.sleep(0)
    assert json.loads(path.read_text())


def test_a_trace_may_go_into_a_pipe() -> None:
    read, write = os.pipe()
    with green.trace(f"/proc/self/fd/{write}"):
        green.sleep(0)
    os.close(write)
    with open(read) as stream:
        assert json.loads(stream.read())


@pytest.mark.parametrize(
    ("path", "error"),
    [("/nonesuch/trace.json", FileNotFoundError), ("/", IsADirectoryError), ("a\0b", ValueError)],
)
def test_where_a_trace_cannot_be_written_it_says_so_and_does_not_run(
    path: str, error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        green.trace(path).start()
    with green.trace(tmp_path / "another.json"):
        pass


def test_a_trace_that_was_not_started_or_was_stopped_is_stopped_in_vain(tmp_path: Path) -> None:
    running = green.trace(tmp_path / "one.json").start()
    green.trace(tmp_path / "two.json").stop()
    with pytest.raises(RuntimeError):
        running.start()
    running.stop()
    running.stop()
    assert not (tmp_path / "two.json").exists()


def test_a_native_thread_may_start_a_trace_and_another_stop_it(tmp_path: Path) -> None:
    trace = green.trace(tmp_path / "trace.json")
    on_native_thread(trace.start)
    green.sleep(0)
    on_native_thread(trace.stop)
    assert json.loads((tmp_path / "trace.json").read_text())


def test_a_trace_by_the_environment_that_cannot_be_written_names_the_variable() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import green"],
        env={**os.environ, "GREEN_TRACE": "/nonesuch/x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert "GREEN_TRACE=/nonesuch/x asks for a trace there" in done.stderr


# --- The console


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("/nonesuch/console", FileNotFoundError, "/nonesuch/console"),
        ("/", OSError, "Address already in use: '/'"),
        ("/etc/passwd", OSError, "Address already in use: '/etc/passwd'"),
        ("x" * 200, OSError, "path too long"),
        ("a\0b", ValueError, "null"),
        (5, TypeError, "expected str, bytes or os.PathLike object, not int"),
    ],
)
def test_where_a_console_cannot_listen_it_says_so_at_once(
    address: Any, error: type[Exception], said: str
) -> None:
    file = Path("/etc/passwd").stat().st_ino
    with pytest.raises(error, match=said):
        backdoor.serve(address)
    assert Path("/etc/passwd").stat().st_ino == file


@pytest.mark.parametrize("namespace", [1, "x", [1]])
def test_a_namespace_that_is_none_is_refused_before_anybody_connects(
    namespace: Any, tmp_path: Path
) -> None:
    with pytest.raises((TypeError, ValueError)):
        backdoor.serve(tmp_path / "console", namespace)
    assert not (tmp_path / "console").exists()


@pytest.mark.parametrize("kind", [os.fsencode, os.fsdecode, Path])
def test_the_socket_goes_with_the_console_however_its_path_was_given(
    kind: Callable[[Any], Any], tmp_path: Path
) -> None:
    path = tmp_path / "console"
    serving = green.spawn(backdoor.serve, kind(path))
    green.sleep(0)
    assert path.exists()
    serving.kill(block=True)
    assert not path.exists()


# --- Signals


@pytest.mark.parametrize("number", [0, -1, 99])
def test_a_number_that_is_no_signal_is_a_value_error(number: int) -> None:
    with pytest.raises(ValueError, match="signal number out of range"):
        debug.on_signal(number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_that_cannot_be_caught_is_an_os_error(number: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        debug.on_signal(number)


def test_a_signal_is_set_up_by_the_main_thread_only() -> None:
    with pytest.raises(ValueError, match="main thread"):
        on_native_thread(debug.on_signal)


@isolated
def test_a_program_whose_stderr_is_gone_is_not_disturbed_by_the_signal() -> None:
    debug.on_signal()
    read, write = os.pipe()
    os.close(read)
    for stderr in (None, write):
        os.close(2) if stderr is None else os.dup2(stderr, 2)
        os.kill(os.getpid(), signal.SIGUSR2)
        green.sleep(0)


# --- The watch, and figures


@isolated
def test_the_watch_may_be_stopped_when_there_is_none_and_started_again_and_again() -> None:
    debug.watch_hub(None)
    for seconds in (1, 0.01, float("inf")):
        debug.watch_hub(seconds)
    on_native_thread(lambda: debug.watch_hub(1))
    on_native_thread(lambda: debug.watch_hub(None))
    debug.watch_hub(None)
    until(lambda: "green-watchdog" not in native_names())


@pytest.mark.parametrize("report", [1, "print", []])
def test_a_report_that_cannot_be_called_is_refused_before_it_is_needed(report: Any) -> None:
    with pytest.raises(TypeError, match="a report must be callable"):
        debug.watch_hub(1, report)


def test_a_native_thread_without_a_hub_may_ask_for_everything() -> None:
    assert on_native_thread(lambda: debug.statistics().greens["running"]) == 1
    assert "main" in on_native_thread(debug.format_greens)
    assert on_native_thread(debug.deadlock) == []


# --- Modules


@pytest.mark.parametrize("call", [green.original, green.import_patched])
@pytest.mark.parametrize(("name", "kind"), [(os, "module"), (1, "int"), (None, "NoneType")])
def test_the_name_of_a_module_is_a_str(call: Callable[[Any], Any], name: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"the name of a module is a str, not {kind}"):
        call(name)
    assert not green.is_monkey_patched("time")
