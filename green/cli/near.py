"""What its user may have meant: near names, and objects that look like something else.

Answers are the end of a sentence, or empty. Nothing here imports a module or raises.
"""

from __future__ import annotations

import difflib
import inspect
import os
import pkgutil
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any


def one_of(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def file(path: str) -> str:
    directory, name = os.path.split(path)
    try:
        names = [each for each in os.listdir(directory or ".") if each.endswith(".py")]
    except OSError:
        return f"; there is no directory {directory!r} either"
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {os.path.join(directory, close[0])!r}?" if close else ""


def module(wanted: str, missing: str) -> str:
    """`missing` is the part of the dotted name `wanted` that was not found."""
    parent, _, last = missing.rpartition(".")
    if not parent:
        paths = [
            os.getcwd(),
            *sys.path[:2],
        ]  # Not all that is installed: there is always a near one.
        return one_of(last, {each.name for each in pkgutil.iter_modules(paths)})
    known = sys.modules.get(parent)
    if known is not None and not hasattr(known, "__path__"):
        tail = wanted.removeprefix(parent + ".")
        return f": {parent!r} is a module; did you mean '{parent}:{tail}'?"
    inside = pkgutil.iter_modules(getattr(known, "__path__", []))
    close = difflib.get_close_matches(last, [each.name for each in inside], n=1)
    return f"; did you mean '{parent}.{close[0]}'?" if close else ""


def attribute(owner: object, name: str) -> str:
    return one_of(name, (each for each in dir(owner) if not each.startswith("_")))


def application(owner: ModuleType) -> str:
    """The name in a module that is most likely its application or makes it."""
    for name in ("create_app", "make_app", "get_app", "get_wsgi_application"):
        if callable(getattr(owner, name, None)):
            return f"{name}()"
    for name, value in vars(owner).items():
        if name.startswith("_") or inspect.isclass(value) or not callable(value):
            continue
        if (
            getattr(value, "__module__", owner.__name__) == owner.__name__
            and _parameters(value) == 2
        ):
            return name
    return ""


def article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def is_asgi(app: object) -> bool:
    return inspect.iscoroutinefunction(app) or (
        hasattr(type(app), "__call__")  # noqa: B004 - it is the method that is looked at.
        and inspect.iscoroutinefunction(type(app).__call__)
    )


def takes_no_request(app: Any) -> bool:
    """True where the signature is known, and two arguments do not fit."""
    try:
        signature = inspect.signature(app)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(None, None)
    except TypeError:
        return True
    return False


def _parameters(value: Any) -> int:
    try:
        return len(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return -1
