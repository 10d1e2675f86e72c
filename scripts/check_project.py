"""The rules of the project that no compiler knows. Prints one line for each broken one.

Rooms: who may include whom, and who owns which third-party header. Sizes: lines of a file and of a
function, in C++ and Python, tests included. Mirrors: each source has its test or a stated reason,
and is named in its meson.build. The rules are the tables on top; docs/architecture.md explains
them.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cpp_functions import functions

# A room may include itself and what its row names, nothing else.
ROOMS: dict[str, set[str]] = {
    "base": set(),
    "hub": {"base"},
    "fiber": {"base", "hub"},
    "io": {"base", "hub", "fiber"},
    "http": {"base"},  # No descriptor, no fiber: that is what makes it fuzzable.
    "server": {"base", "hub", "fiber", "io", "http"},
    "py": {"base", "hub", "fiber", "io"},
    "patch": {"base", "hub", "fiber", "io", "py"},
    "wsgi": {"base", "hub", "fiber", "io", "http", "server", "py"},
    "module": {"base", "hub", "fiber", "io", "http", "server", "py", "patch", "wsgi"},
}
PYTHON_ROOMS = {"py", "patch", "wsgi", "module"}
# A third-party header belongs to one room, so that replacing the library means rewriting that room.
OWNERS = {
    "liburing": "hub",
    "sys/epoll.h": "hub",
    "boost/": "fiber",
    "llhttp": "http",
    "openssl/": "server",
    "Python.h": "py",
    "frameobject.h": "py",
    "internal/pycore": "py",
}
# Parts of the package, and which of the others they may import.
PACKAGE: dict[str, set[str]] = {
    "__init__": {
        "_at_end",
        "_blocking",
        "_core",
        "_version",
        "async_result",
        "event",
        "executor",
        "group",
        "lock",
        "native",
        "patch",
        "queue",
        "semaphore",
        "tracing",
        "waiting",
    },
    "_arguments": set(),
    "_async_exc": {"_core", "_on_import", "__init__"},
    "_at_end": {"_core", "__init__", "patch"},
    "_awaiting": {"linked"},
    "_blocking": {"_core", "__init__"},
    "_by_name": {"_core", "__init__"},
    "_thread_handle": set(),
    "_fallback": {"_core", "_by_name", "__init__"},
    "_grpc": {"_blocking", "_on_import"},
    "_on_import": set(),
    "_psycopg": {"_core", "_on_import", "__init__"},
    "_psycopg3": {"_core", "_on_import", "__init__"},
    "patch": {
        "_async_exc",
        "_core",
        "_fallback",
        "_grpc",
        "_psycopg",
        "_psycopg3",
        "_thread_handle",
        "__init__",
    },
    "__main__": {"_program", "cli", "__init__"},
    "_program": {"patch"},
    "_version": set(),
    "async_result": {"_awaiting", "_core", "event", "linked"},
    "backdoor": {"_core", "__init__", "debug"},
    "debug": {"_core", "__init__"},
    "event": {"_core", "linked"},
    "executor": {"_arguments", "_core", "__init__", "event", "linked"},
    "group": {"_arguments", "_core", "__init__", "waiting"},
    "linked": {"_core"},
    "lock": {"_arguments", "_core", "__init__"},
    "native": {"_core"},
    "queue": {"_core"},
    "semaphore": {"_core"},
    "tracing": {"_core", "__init__"},
    "waiting": {"_arguments", "_core", "__init__", "linked"},
    "cli": {"_core", "_version", "debug", "patch", "__init__"},
}
# Where versions of CPython differ: a green's state, and the private structs that hooks look into.
VERSION_TESTS = ("src/py/thread_state", "src/patch/layout")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100
# Sources without a test of their own name: a line each, `path: reason`.
UNTESTED = Path("scripts/untested.txt")

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]', re.MULTILINE)
OURS = re.compile(r"^(?:greenwsgi|src)/(\w+)/")

Rule = Callable[[Path, str], Iterator[str]]


def room_of(path: Path) -> str | None:
    match = re.match(r"(?:include/greenwsgi|src)/(\w+)/", path.as_posix())
    return match.group(1) if match else None


def includes(path: Path, text: str) -> Iterator[str]:
    room = room_of(path)
    if room is None or path.suffix not in (".hpp", ".cpp"):
        return
    if room not in ROOMS:
        yield f"'{room}' is no room: add it to ROOMS or move the file"
        return
    public = path.parts[0] == "include"
    for header in INCLUDE.findall(text):
        if ours := OURS.match(header):
            if ours.group(1) != room and ours.group(1) not in ROOMS[room]:
                yield f"{room} must not include {ours.group(1)} ({header})"
            if public and header.startswith("src/"):
                yield f"a public header must not include a private one ({header})"
        for prefix, owner in OWNERS.items():
            if header.startswith(prefix) and (public or room != owner):
                yield f"{header} belongs to the private headers of {owner}"


def version_tests(path: Path, text: str) -> Iterator[str]:
    if path.with_suffix("").as_posix() not in VERSION_TESTS and (
        re.search(r"#\s*(?:el)?if.*PY_VERSION_HEX", text)
    ):
        yield f"PY_VERSION_HEX belongs to {' and '.join(VERSION_TESTS)}"


def imports(path: Path, text: str) -> Iterator[str]:
    if path.parts[0] != "green" or path.suffix != ".py":
        return
    part = path.parts[1].removesuffix(".py")
    if part not in PACKAGE:
        yield f"'{part}' is no part of the package: add it to PACKAGE"
        return
    for node in ast.walk(ast.parse(text)):
        for name in _imported(node):
            target = name.split(".")[1] if "." in name else "__init__"
            if target != part and target not in PACKAGE[part]:
                yield f"{part} must not import {name}"


def _imported(node: ast.AST) -> Iterator[str]:
    """The modules of the package that an import statement names."""
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names if each.name.split(".")[0] == "green")
    if isinstance(node, ast.ImportFrom) and node.module == "green":
        for each in node.names:  # Either a module of the package or a name that it exports.
            yield f"green.{each.name}" if each.name in PACKAGE else "green"
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("green."):
        yield str(node.module)


def sizes(path: Path, text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > FILE_LINES_MAX:
        yield f"{len(lines)} lines, more than {FILE_LINES_MAX}"
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            yield f"line {number} has {len(line)} columns, more than {COLUMNS_MAX}"
    found = python_functions(text) if path.suffix == ".py" else functions(text)
    for name, first, last in found:
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield f"{name} has {last - first + 1} lines, more than {FUNCTION_LINES_MAX}"


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno, node.end_lineno or node.lineno


def heads(path: Path, text: str) -> Iterator[str]:
    """A header and a module begin with what they are."""
    if path.suffix == ".hpp" and not text.startswith(f"// {path.name} - "):
        yield f"does not begin with '// {path.name} - what it is'"
    if path.suffix == ".py" and path.parts[0] == "green" and not ast.get_docstring(ast.parse(text)):
        yield "has no docstring that says what it is"


def unfinished(path: Path, text: str) -> Iterator[str]:
    for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X"):
        if re.search(rf"\b{word}\b", text):
            yield f"{word}: finish it, or write it down in docs/"


def mirror(path: Path, text: str) -> Iterator[str]:
    test = test_of(path)
    if test is not None and not test.exists() and path.as_posix() not in untested():
        yield f"has no test {test}; write it, or say in {UNTESTED} why not"


@functools.cache
def untested() -> dict[str, str]:
    lines = [line for line in UNTESTED.read_text().splitlines() if line[:1] not in ("", "#")]
    return {path: reason.strip() for path, _, reason in (line.partition(":") for line in lines)}


def test_of(path: Path) -> Path | None:
    if path.suffix == ".cpp" and path.parts[0] == "src" and room_of(path) not in PYTHON_ROOMS:
        return Path("tests/unit", path.parts[1], f"{path.stem}_test.cpp")
    if path.suffix == ".py" and path.parts[:2] == ("green", "cli") and path.stem != "__init__":
        return Path("tests/python/cli", f"test_{path.name}")
    return None


def listed(path: Path, text: str) -> Iterator[str]:
    """A source that no meson.build names would never be compiled, tested or installed."""
    compiled = path.suffix == ".cpp" and path.parts[0] in ("src", "tests")
    if not compiled and path.parts[0] != "green":
        return
    if path.parts[:2] == ("tests", "fuzz"):
        return  # Built by clang, through tests/fuzz/run.
    if not any(re.search(rf"[/']{re.escape(path.name)}'", text) for text in builds(path.parts[0])):
        yield "is named in no meson.build"


@functools.cache
def builds(top: str) -> list[str]:
    return [path.read_text() for path in Path(top).rglob("meson.build")]


RULES: list[Rule] = [includes, version_tests, imports, sizes, heads, unfinished, mirror, listed]
FILES = ["include/**/*.hpp", "src/**/*.[ch]pp", "tests/**/*.[ch]pp", "bench/**/*.[ch]pp"]
FILES += ["green/**/*.py", "scripts/**/*.py", "tests/**/*.py", "bench/**/*.py", "examples/**/*.py"]
NOT_OURS = "bench/out/"  # The peers that the benchmarks build.


def main() -> int:
    found_files = (path for pattern in FILES for path in Path().glob(pattern))
    files = sorted(path for path in found_files if not path.as_posix().startswith(NOT_OURS))
    texts = {path: path.read_text() for path in files}
    found = [
        f"{path}: {complaint}"
        for path, text in texts.items()
        for rule in RULES
        for complaint in rule(path, text)
    ]
    for name, reason in untested().items():
        test = test_of(Path(name))
        if not Path(name).exists() or not reason or test is None or test.exists():
            found.append(f"{UNTESTED}: {name} needs no exemption, or states no reason")
    print("\n".join(found) or f"{len(files)} files keep to the rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
