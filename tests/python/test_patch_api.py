"""green.monkey_patch and its kin: which keyword patches what, bad use, and what is reported."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from typing import Any

import pytest
from leaks import once
from patched import Ticker, isolated, together

import green
from green import _core

FILES = {"file", "buffered", "open", "close"}
LOCKS = {"lock", "rlock", "thread", "semlock", "ident", "trace"}
SIGNALS = {"signal", "sigwait", "mask"}
SOCKETS = {"socket", "close", "tls", "names"}
POLLS = {"select", "poll"}
ALL = set(_core.patch_groups())


def run_program(text: str, status: int = 0, **environment: str) -> str:
    """What a program prints that must end in time with that status, and complain of nothing."""
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", textwrap.dedent(text)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


# --- Keywords


@pytest.mark.parametrize(
    ("keywords", "groups"),
    [
        ({}, ALL),
        ({"all": True}, ALL),
        ({"all": False}, set()),
        ({"time": True}, {"sleep"}),
        ({"time": True, "select": True}, {"sleep"} | POLLS),
        ({"time": True, "select": False}, {"sleep"}),
        ({"time": False}, ALL - {"sleep"}),
        ({"all": True, "time": False}, ALL - {"sleep"}),
        ({"all": False, "time": True}, {"sleep"}),
        ({"thread": True}, LOCKS | SIGNALS | {"queue"}),
        ({"threading": True}, LOCKS | SIGNALS | {"queue"}),
        ({"thread": True, "queue": False}, LOCKS | SIGNALS),
        ({"thread": False}, ALL - LOCKS - SIGNALS - {"queue"}),
        ({"queue": True}, {"queue"}),
        ({"socket": True}, SOCKETS),
        ({"socket": True, "dns": False}, SOCKETS - {"names"}),
        ({"socket": False}, ALL - {"socket", "tls", "names"}),
        ({"ssl": True}, {"tls", "close"}),
        ({"os": True}, {"descriptor", "open", "close", "process", "device"}),
        ({"builtins": True}, FILES),
        ({"os": False}, ALL - {"descriptor", "device"}),
        ({"os": False, "subprocess": False}, ALL - {"descriptor", "process", "device"}),
        (
            {"subprocess": True},
            {"process", "descriptor", "device", "sleep"} | POLLS | FILES | LOCKS,
        ),
        ({"subprocess": True, "time": False, "os": False}, {"process"} | POLLS | FILES | LOCKS),
        ({"sys": False, "MySQLdb": False, "Event": False}, ALL),
        ({"psycopg": True}, set()),
    ],
)
def test_keywords_choose_groups(keywords: dict[str, bool], groups: set[str]) -> None:
    printed = run_program(
        f"""
        import json
        import green
        green.monkey_patch(**{keywords!r})
        print(json.dumps(list(green.patch_report().groups)))
        """
    )

    assert set(json.loads(printed)) == groups


def test_an_unknown_keyword_is_a_type_error_that_names_the_nearest() -> None:
    for wrong, near in {"sokcet": "socket", "threads": "thread", "psycopg2": "psycopg"}.items():
        with pytest.raises(TypeError, match=f"no keyword '{wrong}'; the nearest is '{near}'"):
            green.monkey_patch(time=True, **{wrong: True})

    assert green.patch_report().groups == {}


def test_the_unknown_group_is_a_value_error_and_nothing_is_patched() -> None:
    with pytest.raises(ValueError, match="no group of hooks 'sleeep'"):
        _core.patch(["sleep", "sleeep"])
    with pytest.raises(ValueError, match="no group of hooks 3"):
        _core.patch([3])  # type: ignore[list-item]

    assert _core.patch_report() == {}


@isolated
def test_what_there_is_nothing_to_turn_on_for_is_said() -> None:
    with pytest.warns(RuntimeWarning, match=r"monkey_patch\(sys=True\) patches nothing"):
        green.monkey_patch(sys=True)

    assert green.patch_report().groups == {}


@isolated
@once("a process is patched once")
def test_later_calls_add_and_a_second_time_changes_nothing() -> None:
    green.monkey_patch(time=True)
    green.monkey_patch(select=True)
    green.monkey_patch(select=True, time=False)

    assert set(green.patch_report().groups) == {"sleep"} | POLLS

    green.monkey_patch()
    before = green.patch_report()
    green.monkey_patch()

    assert green.patch_report() == before
    assert set(before.groups) == ALL


@isolated
def test_what_is_left_out_blocks_and_what_is_named_switches() -> None:
    green.monkey_patch(queue=True)
    box: queue.SimpleQueue[int] = queue.SimpleQueue()
    began = time.monotonic()

    assert together(box.get, lambda: box.put(1)) == [1, None]
    together(*[lambda: time.sleep(0.05)] * 2)

    assert time.monotonic() - began >= 0.1  # One after the other, as unpatched.


@isolated
def test_children_alone_do_all_that_a_popen_needs() -> None:
    green.monkey_patch(subprocess=True)
    shared = subprocess.Popen(["sleep", "0.3"])

    with Ticker() as ticker:
        assert together(shared.wait, shared.wait, lambda: shared.wait(timeout=5)) == [0, 0, 0]
        done = together(lambda: subprocess.run(["cat"], input=b"x", capture_output=True))[0]

    assert done.stdout == b"x"
    ticker.assert_kept_running()


# --- Asking


@isolated
@once("a process is patched once")
def test_is_monkey_patched_knows_keywords_and_modules() -> None:
    import _queue
    import selectors
    import socket

    assert not green.is_monkey_patched("socket")

    green.monkey_patch(socket=True, select=True)

    assert [green.is_monkey_patched(each) for each in ("socket", socket, "_socket", "ssl")] == (
        [True] * 4
    )
    assert green.is_monkey_patched(selectors)
    assert not any(
        green.is_monkey_patched(each)
        for each in ("thread", threading, "_thread", queue, _queue, "os", "psycopg", "sys", 5)
    )

    green.monkey_patch()

    assert all(green.is_monkey_patched(each) for each in (threading, queue, _queue, os, "psycopg"))
    assert green.is_monkey_patched("builtins")
    assert not green.is_monkey_patched("sys")


@isolated(GREENWSGI_PATCH_REFUSE="thread")
@once("a process is patched once")
def test_what_could_not_be_patched_is_not_called_patched() -> None:
    with pytest.warns(RuntimeWarning, match="thread: not patched"):
        green.monkey_patch()

    assert not green.is_monkey_patched("threading")
    assert green.is_monkey_patched("queue")


@isolated
@once("a process is patched once")
def test_the_report_says_that_in_place_nothing_was_imported_too_early() -> None:
    assert str(green.patch_report()) == "nothing is patched"

    green.monkey_patch()

    report = green.patch_report()
    assert [early.matters for early in report.early] == [False]
    assert "threading" in report.early[0].name
    assert "earlier than the patch: " in str(report)
    assert "sleep: in place" in str(report)


@isolated(GREENWSGI_PATCH_REFUSE="sleep")
@once("a process is patched once")
def test_the_report_names_who_took_a_name_that_was_only_replaced() -> None:
    import types

    module = types.ModuleType("taker")
    module.pause = time.sleep  # type: ignore[attr-defined]
    sys.modules["taker"] = module

    with pytest.warns(RuntimeWarning):
        green.monkey_patch()

    early = {each.name: each for each in green.patch_report().early}
    assert early["taker.pause"].matters
    assert "time.sleep" not in early


@isolated
def test_the_report_tells_of_threads_and_greens_that_had_begun() -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    begun = green.spawn(green.sleep, 10)
    green.sleep(0)

    green.monkey_patch()

    found = {each.name: each.matters for each in green.patch_report().early}
    assert found["1 threads"] is False
    assert found["1 greens that have begun"] is True
    ended.set()
    thread.join()
    begun.kill(block=True)


# --- Where and when


@isolated
@once("a process is patched once")
def test_patching_from_a_green_works_and_what_it_holds_stays_its_own() -> None:
    lock = threading.RLock()
    told: list[int] = []

    def patcher() -> None:
        with lock:
            before = threading.get_ident()
            green.monkey_patch()
            assert threading.get_ident() == before == _core.thread_ident()
            time.sleep(0.01)  # Switches.
        told.append(1)

    def waiter() -> bool:  # Begins after the patch.
        assert threading.get_ident() != _core.thread_ident()
        free = lock.acquire(blocking=False)
        time.sleep(0)
        with lock:
            told.append(2)
        return free

    patching = green.spawn(patcher)
    waiting = green.spawn(waiter)

    assert waiting.get() is False
    patching.get()
    assert told == [1, 2]


@isolated
@once("a process is patched once")
def test_patching_inside_an_import_in_a_green_ends_the_import_well() -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "patches_itself.py").write_text("import green\ngreen.monkey_patch()\nX = 1\n")
        sys.path.insert(0, folder)

        def load() -> Any:
            import patches_itself  # type: ignore[import-not-found]

            return patches_itself.X

        assert together(load, load) == [1, 1]


@isolated
def test_patching_from_a_native_thread_patches_the_process() -> None:
    thread = threading.Thread(target=green.monkey_patch)
    thread.start()
    thread.join()
    began = time.monotonic()

    together(*[lambda: time.sleep(0.1)] * 40)

    assert time.monotonic() - began < 2


@isolated(GREENWSGI_PATCH_REFUSE="sleep,queue,names")
@once("a process is patched once")
def test_of_many_threads_and_greens_that_patch_at_once_one_does_it() -> None:
    from green.patch import install

    messages: list[str] = []
    threads = [threading.Thread(target=lambda: messages.extend(install())) for _ in range(20)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for each in threads:
        each.start()
    together(*[lambda: messages.extend(install())] * 8)
    for each in threads:
        each.join()
    sys.setswitchinterval(interval)

    assert sorted(each.split(":")[0] for each in messages) == ["names", "queue", "sleep"]
    assert set(green.patch_report().groups) == ALL


def test_a_subinterpreter_is_refused() -> None:
    printed = run_program(
        """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        other = interpreters.create()
        wrong = interpreters.run_string(other, '''if True:
            try:
                import green
            except ImportError as error:
                print(error, flush=True)
        ''')
        assert wrong is None, wrong
        interpreters.destroy(other)
        """
    )

    assert "main interpreter" in printed or "subinterpreter" in printed


def test_a_free_threaded_build_is_refused_in_a_sentence() -> None:
    printed = run_program(
        """
        import sys
        sys.abiflags = "t"
        try:
            import green
        except ImportError as error:
            print(error)
        print("green._core" in sys.modules)
        """
    )

    sentence, loaded = printed.splitlines()
    assert "free-threaded" in sentence
    assert loaded == "False"


def test_the_child_of_a_fork_may_patch_and_one_that_was_patched_stays_so() -> None:
    printed = run_program(
        """
        import os, time
        import green

        def child(expected):
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
                return
            assert sorted(green.patch_report().groups) == sorted(expected)
            green.monkey_patch()
            began = time.monotonic()
            greens = [green.spawn(time.sleep, 0.1) for _ in range(40)]
            for each in greens:
                each.join()
            assert time.monotonic() - began < 2
            os._exit(0)

        child([])
        green.monkey_patch(time=True)
        green.spawn(time.sleep, 0).join()
        child(["sleep"])
        print("ended")
        """
    )

    assert printed == "ended\n"


def test_patching_while_the_interpreter_ends_changes_nothing_for_the_worse() -> None:
    printed = run_program(
        """
        import atexit, time, threading
        import green

        def late():
            green.monkey_patch()
            time.sleep(0.001)
            with threading.RLock(), threading.Lock():
                print("patched", len(green.patch_report().groups) > 5)

        class Late:
            def __del__(self, patch=green.monkey_patch):
                patch()

        keep = Late()
        keep.itself = keep
        atexit.register(late)  # Runs before the runtime is closed.
        green.spawn(lambda: None).join()
        import green._core
        """
    )

    assert printed == "patched True\n"


def test_patching_after_the_runtime_was_closed_blocks_as_unpatched() -> None:
    printed = run_program(
        """
        import atexit, time
        import green

        class Late:  # Let go of after green's own.
            def __del__(self):
                green.monkey_patch()
                time.sleep(0.001)
                try:
                    green.spawn(print)
                except RuntimeError as error:
                    print(error)

        atexit.register(lambda late: None, Late())
        green.spawn(lambda: None).join()
        """
    )

    assert printed == "green threads have ended: the interpreter shuts down\n"


@isolated
def test_import_patched_patches_the_process_and_imports() -> None:
    module = green.import_patched("queue")

    assert module is queue
    assert green.is_monkey_patched("time")
    with pytest.raises(ImportError):
        green.import_patched("there_is_no_such_module")


def test_importing_green_patches_nothing() -> None:
    assert run_program("import green, green.patch; print(green.patch_report().groups)") == "{}\n"


@isolated
@once("a process is patched once")
def test_a_fallback_warns_at_the_caller() -> None:
    os.environ["GREENWSGI_PATCH_REFUSE"] = "sleep"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        green.monkey_patch()

    assert [one.filename for one in caught] == [__file__]
