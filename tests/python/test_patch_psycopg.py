"""psycopg2's wait callback, with a stand-in for psycopg2 that has what the callback needs."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from leaks import once
from patched import Ticker, isolated, start_natively, together

import green

EXTENSIONS = '''
"""A stand-in: a query is a byte that comes back, and the callback is called as libpq's is."""
import socket
import psycopg2

POLL_OK, POLL_READ, POLL_WRITE, POLL_ERROR = range(4)
_callback = None


def set_wait_callback(function):
    global _callback
    _callback = function


def get_wait_callback():
    return _callback


class Connection:
    def __init__(self, wrong=None):
        self.near, self.far = socket.socketpair()
        self.states = [POLL_WRITE, POLL_READ]
        self.wrong = wrong

    def fileno(self):
        return self.near.fileno()

    def poll(self):
        if self.wrong is not None:
            return self.wrong
        return self.states.pop(0) if self.states else POLL_OK

    def execute(self):
        _callback(self)
        return self.near.recv(1)
'''


def install_stand_in() -> None:
    folder = tempfile.mkdtemp()
    package = Path(folder, "psycopg2")
    package.mkdir()
    (package / "extensions.py").write_text(EXTENSIONS)
    (package / "__init__.py").write_text(
        "class OperationalError(Exception): pass\nfrom psycopg2 import extensions\n"
    )
    sys.path.insert(0, folder)


def remove_stand_in() -> None:
    import shutil

    shutil.rmtree(sys.path.pop(0))


def a_query_lets_others_run() -> None:
    from psycopg2.extensions import Connection  # type: ignore[import-not-found]

    connection = Connection()

    def answer() -> None:
        ticker.have_turns()
        connection.far.send(b"x")

    with Ticker() as ticker:
        assert together(connection.execute, answer)[0] == b"x"
    ticker.assert_kept_running()


@isolated
@once("a module is imported once")
def test_psycopg2_imported_after_the_patch_waits_cooperatively() -> None:
    install_stand_in()
    finders = list(sys.meta_path)
    green.monkey_patch()
    assert green.is_monkey_patched("psycopg")

    a_query_lets_others_run()

    import psycopg2.extensions  # type: ignore[import-not-found]

    assert sys.meta_path[-len(finders) :] == finders
    assert "psycopg2.extensions" not in repr(sys.meta_path)  # Others wait for their modules.
    loader: Any = psycopg2.extensions.__loader__
    assert psycopg2.extensions.__spec__.loader is loader
    assert loader.get_source("psycopg2.extensions") == EXTENSIONS
    remove_stand_in()


@isolated
def test_psycopg2_imported_before_the_patch_waits_cooperatively() -> None:
    install_stand_in()
    importlib.import_module("psycopg2")
    green.monkey_patch(psycopg=True, time=True)

    a_query_lets_others_run()
    assert "psycopg2.extensions" in sys.modules
    remove_stand_in()


@isolated
def test_a_native_thread_without_a_hub_waits_as_always() -> None:
    install_stand_in()
    green.monkey_patch(psycopg=True)
    from psycopg2.extensions import Connection

    connection = Connection()
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(connection.execute()))
    start_natively(thread)
    connection.far.send(b"x")
    thread.join()

    assert got == [b"x"]
    remove_stand_in()


@isolated
def test_the_user_s_own_callback_stays() -> None:
    install_stand_in()
    from psycopg2 import extensions

    extensions.set_wait_callback(print)
    green.monkey_patch(psycopg=True)

    assert extensions.get_wait_callback() is print
    remove_stand_in()


@isolated
def test_without_the_keyword_psycopg2_is_left_alone() -> None:
    install_stand_in()
    green.monkey_patch(psycopg=False)
    from psycopg2 import extensions

    assert extensions.get_wait_callback() is None
    assert not green.is_monkey_patched("psycopg")
    remove_stand_in()


@isolated
def test_a_connection_in_an_unknown_state_is_an_operational_error() -> None:
    install_stand_in()
    green.monkey_patch(psycopg=True)
    import psycopg2

    with pytest.raises(psycopg2.OperationalError, match="gave 3"):
        psycopg2.extensions.Connection(wrong=3).execute()
    remove_stand_in()


@isolated
def test_a_green_killed_in_its_query_ends_there() -> None:
    install_stand_in()
    green.monkey_patch(psycopg=True)
    from psycopg2.extensions import Connection

    connection = Connection()
    waiting = green.spawn(connection.execute)
    green.sleep(0)

    waiting.kill(block=True)

    assert isinstance(waiting.value, green.GreenExit)
    connection.far.send(b"y")
    assert together(Connection.execute.__get__(connection)) == [b"y"]
    remove_stand_in()


@isolated
def test_a_program_that_never_imports_psycopg2_is_not_disturbed() -> None:
    sys.modules["psycopg2"] = None  # type: ignore[assignment]  # As where it is not installed.
    green.monkey_patch()

    with pytest.raises(ImportError):
        importlib.import_module("psycopg2.extensions")
    assert os.path.basename(os.__file__) == "os.py"
    import colorsys

    assert colorsys.__spec__ is not None
