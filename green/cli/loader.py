"""From what was typed to the application: module:app, module:factory(), file.py:app, a project.

Two kinds of failure are kept apart. What was typed is wrong: one sentence, with what to do. The
application's own code fails: its traceback, without our frames, and one sentence. What serves the
application is not known here.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any

from green.cli import near
from green.cli.errors import StartError, UsageError

_DEFAULT_NAMES = ("app", "application")


@dataclass(frozen=True)
class Place:
    """Where an application is: a module, the directory it is found in, and a name in it."""

    module: str
    directory: str  # Goes on sys.path.
    file: str | None  # What the module must turn out to be, where a file was named.
    target: str | None  # None: one of _DEFAULT_NAMES.


class ApplicationFailed(StartError):
    """The application's own code raised."""

    def __init__(self, what: str, error: BaseException) -> None:
        frames = _without_our_frames(error.__traceback__)
        detail = "".join(traceback.format_exception(error.with_traceback(frames)))
        super().__init__(f"{what} failed with {type(error).__name__}, see above", detail=detail)


def load(spec: str) -> Any:
    """The application that `spec` names, imported and checked to be callable."""
    try:
        here = os.getcwd()
    except OSError as error:
        raise StartError(f"there is no working directory any more: {error.strerror}") from None
    place = locate(spec)
    _put_first_on_path(here)
    _put_first_on_path(place.directory)
    module = _import(place)
    if place.target is None:
        return _checked(*_default_of(module, place))
    return _checked(_evaluate(module, place), f"{place.module}:{place.target}")


def locate(spec: str) -> Place:
    """What `spec` means, without importing anything."""
    name, colon, target = spec.partition(":")
    if not name or (colon and not target):
        raise UsageError(f"{spec!r} names no application: write module:app or path/to/file.py:app")
    is_package = os.path.exists(os.path.join(name, "__init__.py")) and name.isidentifier()
    if os.path.isdir(name) and not is_package and not (colon and name.isidentifier()):
        name = _file_of_project(name)
    if name.endswith(".py") or "/" in name:
        return _locate_file(name, target or None)
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{name!r} is neither the name of a module nor a path to a file: write module:app or"
            " path/to/file.py:app"
        )
    return Place(name, os.getcwd(), None, target or None)


def _file_of_project(directory: str) -> str:
    """The module with the application in a Django project, or another directory with one."""
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise StartError(f"cannot look into {directory!r}: {error.strerror}") from None
    inner = [os.path.join(name, "wsgi.py") for name in names]
    outer = [name for name in ("wsgi.py", "app.py") if name in names]
    found = [os.path.join(directory, name) for name in inner + outer]
    found = [path for path in found if os.path.isfile(path)]
    if not found:
        raise UsageError(
            f"{directory!r} is a directory without a wsgi.py or app.py: name the file or module,"
            " such as path/to/file.py:app"
        )
    if len(found) > 1:
        raise UsageError(f"{directory!r} has {' and '.join(found)}: name the one that you mean")
    return found[0]


def _locate_file(path: str, target: str | None) -> Place:
    if not os.path.isfile(path):
        raise UsageError(f"there is no file {path!r}{near.file(path)}")
    if not path.endswith(".py"):
        raise UsageError(f"{path!r} is no Python file: its name must end in .py")
    directory, file_name = os.path.split(os.path.abspath(path))
    parts = [file_name.removesuffix(".py")]
    while os.path.exists(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        parts.insert(0, package)
    if "." in "".join(parts):
        raise UsageError(f"{path!r} cannot be imported: its name has a dot; rename it")
    return Place(".".join(parts), directory, os.path.abspath(path), target)


def _put_first_on_path(directory: str) -> None:
    if directory in sys.path:
        sys.path.remove(directory)
    sys.path.insert(0, directory)


def _import(place: Place) -> ModuleType:
    try:
        module = importlib.import_module(place.module)
    except ModuleNotFoundError as error:
        parents = place.module + "."
        ours = _without_our_frames(error.__traceback__) is None
        if ours and error.name and parents.startswith(error.name + "."):
            raise UsageError(
                f"there is no module {error.name!r} in {place.directory} or on Python's path"
                f"{near.module(place.module, error.name)}"
            ) from None
        raise ApplicationFailed(f"importing {place.module}", error) from None
    except (Exception, SystemExit) as error:
        raise ApplicationFailed(f"importing {place.module}", error) from None
    came_from = getattr(module, "__file__", None)
    if place.file and not (came_from and os.path.samefile(came_from, place.file)):
        raise UsageError(
            f"{place.file} cannot be imported: Python knows another module {place.module!r}"
            f" ({came_from or 'built in'}); rename the file"
        )
    return module


def _default_of(module: ModuleType, place: Place) -> tuple[Any, str]:
    for name in _DEFAULT_NAMES:
        if hasattr(module, name):
            return getattr(module, name), f"{place.module}:{name}"
    file = getattr(module, "__file__", None)  # Built-in modules have none.
    inner = os.path.join(os.path.dirname(file or ""), "wsgi.py")
    if hasattr(module, "__path__") and os.path.isfile(inner):  # A Django project's package.
        deeper = Place(f"{place.module}.wsgi", place.directory, None, None)
        return _default_of(_import(deeper), deeper)
    raise UsageError(
        f"{place.module} has neither {' nor '.join(_DEFAULT_NAMES)}: name the application, such as"
        f" {place.module}:{near.application(module) or 'name'}"
    )


def _evaluate(module: ModuleType, place: Place) -> Any:
    """The object that `name`, `name.name` or `name(literal, key=literal)` stands for."""
    assert place.target is not None
    wrong = UsageError(
        f"{place.target!r} is neither a name nor a call with literal arguments, such as app or"
        " create_app('production')"
    )
    try:
        tree = ast.parse(place.target.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        raise wrong from None
    call = tree if isinstance(tree, ast.Call) else None
    value: Any = module
    for name in _dotted_names(call.func if call else tree, wrong):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise UsageError(
                f"{place.module} has no {place.target!r}{near.attribute(value, name)}"
            ) from None
    if call is None:
        return value
    try:
        positional = [ast.literal_eval(each) for each in call.args]
        named = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
    except (ValueError, TypeError):
        raise wrong from None
    if len(named) != len(call.keywords):
        raise wrong
    try:
        return value(*positional, **named)
    except (Exception, SystemExit) as error:
        raise ApplicationFailed(f"calling {place.module}:{place.target}", error) from None


def _dotted_names(tree: ast.expr, wrong: UsageError) -> list[str]:
    names: list[str] = []
    while isinstance(tree, ast.Attribute):
        names.insert(0, tree.attr)
        tree = tree.value
    if not isinstance(tree, ast.Name):
        raise wrong
    return [tree.id, *names]


def _checked(app: Any, name: str) -> Any:
    if not callable(app):
        raise UsageError(f"{name} is no application: it is {near.article(app)}, not callable")
    if near.is_asgi(app):
        raise UsageError(f"{name} is an ASGI application, but greenwsgi serves WSGI ones")
    if near.takes_no_request(app):
        raise UsageError(
            f"{name} does not take (environ, start_response); if it makes the application, write"
            f" '{name}()'"
        )
    return app


def _without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """`trace` from the first frame that is the application's own."""
    ours = (__file__, importlib.__file__, "<frozen importlib")
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
        trace = trace.tb_next
    return trace
