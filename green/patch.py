"""Patching the standard library: which keyword means what, and what has been patched.

Importing this module patches nothing. The hooks are the extension module's, in groups; a keyword of
monkey_patch() is a name for some of them, as eventlet and gevent have named them. What has been
patched stays so.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

from green import _async_exc, _core, _fallback, _grpc, _psycopg, _psycopg3, _thread_handle

# Keywords and their groups of hooks. Locks, their owners and the end of threads belong together:
# without one of them a lock excludes wrongly or a join blocks. close() goes with whatever waits for
# descriptors, or a wait would never hear of it.
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "os": ("descriptor", "open", "close", "process", "device"),
    "builtins": ("file", "buffered", "open", "close"),
    "select": ("select", "poll"),
    "socket": ("socket", "close"),
    "ssl": ("tls", "close"),
    "dns": ("names",),
    "thread": ("lock", "rlock", "thread", "semlock", "ident", "trace"),
    "queue": ("queue",),
    "signal": ("signal", "sigwait", "mask"),
    "time": ("sleep",),
    "subprocess": ("process",),
    "psycopg": (),  # No hooks: green._psycopg and _psycopg3.
}
# What follows another keyword while it is not given itself.
_PART_OF = {"ssl": "socket", "dns": "socket", "queue": "thread", "signal": "thread"}
# What it takes to do without blocking: a Popen polls, reads pipes, sleeps and holds a lock.
_NEEDS = {"subprocess": ("builtins", "os", "select", "thread", "time")}
_ALIASES = {"threading": "thread"}
# Known to eventlet or gevent; here there is nothing that they could turn on (docs/patching.md).
_WITHOUT_EFFECT = frozenset({"MySQLdb", "Event", "aggressive", "contextvars", "sys"})
# Modules that are not called as their keyword.
_MODULES = {
    "_io": "builtins",
    "_queue": "queue",
    "_signal": "signal",
    "_socket": "socket",
    "_ssl": "ssl",
    "_thread": "thread",
    "io": "builtins",
    "posix": "os",
    "psycopg2": "psycopg",
    "selectors": "select",
    "threading": "thread",
}


def monkey_patch(**keywords: bool) -> None:
    """Make blocking calls of the standard library switch to other greens instead.

    Without keywords: all of it. `socket=True`: only that, and what else is True. `socket=False`:
    all but that, and what else is False. `all=True` or `all=False` says what holds for those not
    named. The keywords are eventlet's and gevent's (docs/patching.md has the table).

    May be called at any time, from any green or native thread, also after everything is imported;
    later calls add to earlier ones, and nothing is ever unpatched. Never switches. TypeError:
    unknown keyword, and then nothing has been patched. What cannot be hooked in place on this
    interpreter is replaced by name, which is told by a RuntimeWarning.
    """
    for message in install(**keywords):
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def install(**keywords: bool) -> list[str]:
    """monkey_patch(), but what it would warn of is returned."""
    chosen = _chosen(keywords)
    messages = []
    if not chosen and any(keywords.values()):
        named = ", ".join(f"{name}=True" for name, value in keywords.items() if value)
        messages.append(f"monkey_patch({named}) patches nothing: there is nothing to turn on")
    with _turn:
        if (
            groups := {each for name in chosen for each in _GROUPS[name]}
            - _core.patch_report().keys()
        ):
            messages += _patch(groups)
        if "thread" in chosen:
            _async_exc.cooperate()
            _grpc.cooperate()
            _thread_handle.cooperate_with_fork()
        if "psycopg" in chosen:
            _psycopg.cooperate()
            _psycopg3.cooperate()
    return messages


_turn = _core.Semaphore(1)


def _patch(groups: set[str]) -> list[str]:
    if not _core.patch_report():
        _early.extend(_imported_early())
    if "rlock" in groups:
        _early.extend(_running_early())
    messages = _core.patch(groups)
    for group in groups & _fallback.taken_before.keys():
        _early.extend(_taken_early(group))
    return messages


def _chosen(given: Mapping[str, bool]) -> set[str]:
    """The keywords that are on."""
    named: dict[str, bool] = {}
    for name, value in given.items():
        _check_keyword(name)
        named[_ALIASES.get(name, name)] = bool(value)
    default = named.pop("all", not any(named.values()))
    chosen = {
        name for name in _GROUPS if named.get(name, named.get(_PART_OF.get(name, ""), default))
    }
    for name, others in _NEEDS.items():
        if named.get(name):
            chosen.update(each for each in others if each not in named)
    return chosen


def _check_keyword(name: str) -> None:
    known = {"all", *_GROUPS, *_ALIASES, *_WITHOUT_EFFECT}
    if name in known:
        return
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
    raise TypeError(f"monkey_patch() has no keyword {name!r}; the nearest is {near!r}")


def is_monkey_patched(name: str | ModuleType | object) -> bool:
    """Has what this module, or keyword of monkey_patch(), stands for been patched?

    False for what is no such thing. Never switches.
    """
    wanted = str(getattr(name, "__name__", name))
    keyword = _ALIASES.get(wanted, _MODULES.get(wanted, wanted))
    if keyword == "psycopg":
        return _psycopg.is_prepared()
    report = _core.patch_report()
    return keyword in _GROUPS and not any(
        report.get(group, "not patched").startswith("not patched")
        for group in _GROUPS[keyword]
        if group != "close"  # Which none of them is about.
    )


def import_patched(name: str) -> Any:
    """monkey_patch(), then the module `name`, imported as always.

    With eventlet the module alone is a patched copy of its own; here the process is patched, and
    the module is everybody's. ImportError as of import.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a module is a str, not {type(name).__name__}")
    monkey_patch()
    return importlib.import_module(name)


class Early(NamedTuple):
    """Something that was there before the patch."""

    name: str
    matters: bool
    why: str


class PatchReport(NamedTuple):
    """What has been patched and how; str() of it is for people."""

    groups: dict[str, str]
    """{group of functions: "in place", or how it fell back and why}, of those patched."""
    early: tuple[Early, ...]
    """What was imported, made or started before, and whether that matters."""

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if not self.groups:
            yield "nothing is patched"
        for group, text in self.groups.items():
            yield f"{group}: {text}"
        for early in self.early:
            verdict = "matters" if early.matters else "does not matter"
            yield f"earlier than the patch: {early.name}: {verdict}, {early.why}"


def patch_report() -> PatchReport:
    """What has been patched, how, and what was there before that. Never switches."""
    return PatchReport(_core.patch_report(), tuple(_early))


_early: list[Early] = []


def _imported_early() -> Iterator[Early]:
    modules = sorted({*_GROUPS, *_MODULES, "asyncio", "logging"} & sys.modules.keys())
    why = "hooks are where the functions are defined, and reach who has taken them before"
    yield Early(", ".join(modules), False, why)


def _running_early() -> Iterator[Early]:
    threads = threading.active_count() - 1
    if threads > 0:
        yield Early(f"{threads} threads", False, "threads are native, and stay so")
    greens = _core.debug_counts().get("greens", 0)
    if greens > 0:
        why = "until they end get_ident() and RLock take them all for this thread's main program"
        yield Early(f"{greens} greens that have begun", True, why)


def _taken_early(group: str) -> Iterable[Early]:
    why = f"{group} is replaced by name, and this means the function or class that blocks"
    return [Early(name, True, why) for name in _fallback.taken_before[group]]
