"""Running a program as `python program` would, but patched first.

The program gets a __main__, sys.argv and sys.path[0] of its own and runs on the main thread's own
stack, as the main green. What it does not get to see is this module: neither in __main__ nor in a
traceback. How it ends (threads waited for, atexit, status, signal) is left to the interpreter.
"""

from __future__ import annotations

import builtins
import io
import linecache
import os
import pkgutil
import runpy
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from typing import Any

from green.patch import monkey_patch

_run_module_as_main = runpy._run_module_as_main  # type: ignore[attr-defined]

USAGE = """\
usage: python -m green [--no-patch] program.py [arguments]
       python -m green [--no-patch] -m module [arguments]
       python -m green [--no-patch] -c code [arguments]
       python -m green [--no-patch] - [arguments]          (the program comes from stdin)
"""


class UsageError(Exception):
    """What was typed cannot be meant; the sentence says why."""


def run(arguments: Sequence[str]) -> None:
    """Runs what `python -m green` was told to; raises what ends the program.

    UsageError: the options are wrong, or name no program.
    """
    patches = list(arguments[:1]) != ["--no-patch"]
    start = _starter(list(arguments if patches else arguments[1:]))
    if patches:
        monkey_patch()
    try:
        start()
    except SystemExit:
        raise
    except BaseException:
        _hide_this_module()
        raise


def _starter(rest: list[str]) -> Callable[[], None]:
    """Looks at what comes behind our own options; what it returns runs the program."""
    if not rest:
        raise UsageError("name a program")
    first = rest[0]
    for option, way in (("-m", _run_module), ("-c", _run_code)):
        if first == option and len(rest) == 1:
            raise UsageError(f"{option} needs an argument")
        if first == option:
            return lambda: way(rest[1], rest[2:])
        if first.startswith(option):  # -mmodule, as python has it.
            return lambda: way(first[2:], rest[1:])
    if first == "-":
        return lambda: _run_stdin(rest[1:])
    if first == "--" and len(rest) > 1:
        return lambda: _run_path(rest[1], rest[2:])
    if first.startswith("-"):
        raise UsageError(f"there is no option {first}")
    return lambda: _run_path(first, rest[1:])


# --- The ways to name a program. Each makes __main__, sys.argv and sys.path[0] what python does.


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-m", *arguments]  # While it is searched for; then the file's name.
    _new_main()
    _run_module_as_main(name)


def _run_code(code: str, arguments: list[str]) -> None:
    sys.argv[:] = ["-c", *arguments]
    _set_first_path("")
    compiled = _compiled(code + "\n", "<string>")
    if sys.version_info >= (3, 13):  # Which shows its lines in tracebacks.
        linecache.cache["<string>"] = (len(code), None, code.splitlines(True), "<string>")
    _execute(compiled, _new_main(__loader__=BuiltinImporter))


def _run_stdin(arguments: list[str]) -> None:
    sys.argv[:] = ["-", *arguments]
    _set_first_path("")
    compiled = _compiled(sys.stdin.buffer.read(), "<stdin>")
    _execute(compiled, _new_main(__loader__=BuiltinImporter, __file__="<stdin>", __cached__=None))


def _run_path(path: str, arguments: list[str]) -> None:
    sys.argv[:] = [path, *arguments]
    full = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(full) is not None:
        _run_directory(full)
        return
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    try:
        code = _code_in(full)
    except OSError as error:
        # The words, and the status, of python.
        why = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {full!r}: {why}", file=sys.stderr)
        raise SystemExit(2) from None
    _execute(code, _new_file_main(full))


def _run_directory(path: str) -> None:
    """A directory, or a zip file, with a __main__.py in it."""
    if sys.flags.safe_path:
        sys.path.insert(0, path)
    _set_first_path(path)
    _new_main()
    _run_module_as_main("__main__", alter_argv=False)


def _code_in(path: str) -> types.CodeType:
    with io.open_code(path) as file:
        content = file.read()
    code: types.CodeType | None = pkgutil.read_code(io.BytesIO(content))
    return code if code is not None else _compiled(content, path)


def _compiled(text: str | bytes, name: str) -> types.CodeType:
    code: types.CodeType = compile(text, name, "exec", dont_inherit=True)
    return code


def _execute(code: types.CodeType, main: types.ModuleType) -> None:
    exec(code, main.__dict__)


def _set_first_path(path: str) -> None:
    if not sys.flags.safe_path:
        sys.path[0] = path


def _new_file_main(path: str) -> types.ModuleType:
    loader = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
    return _new_main(__loader__=loader("__main__", path), __file__=path, __cached__=None)


def _new_main(**attributes: Any) -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, **attributes)
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    sys.modules["__main__"] = main
    return main


# --- Tracebacks


def _hide_this_module() -> None:
    """The exception that ends the program is shown without the frames that led to it."""
    hook = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        sys.excepthook = hook
        error.__traceback__ = sys.last_traceback = _behind_this_module(trace)
        hook(kind, error, error.__traceback__)

    sys.excepthook = show


def _behind_this_module(trace: types.TracebackType | None) -> types.TracebackType | None:
    behind = at = trace
    while at is not None:
        if at.tb_frame.f_code.co_filename == __file__:
            behind = at.tb_next
        at = at.tb_next
    return behind
