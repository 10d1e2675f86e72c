"""Finds the functions of a C++ file by its braces, well enough for files in our format.

Knows namespaces, classes and `extern "C"` as containers; the first other brace in them that follows
a parameter list opens a function, which ends at the matching brace. Lambdas belong to the function
around them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_NOISE = re.compile(
    r"""
      //[^\n]* | /\*.*?\*/                          # comments
    | R"(\w*)\(.*?\)\1" | "(?:\\.|[^"\\\n])*"     # strings
    | '(?:\\.|[^'\\\n])'                          # characters
    | ^\s*\#(?:[^\n]*\\\n)*[^\n]*                # directives
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)
_CONTAINER = re.compile(r"\b(?:namespace|class|struct|union|extern)\b[^()=]*$|\bextern\s+S\s*$")
_NAME = re.compile(r"([\w:~]+)\s*\(")


def _blank(match: re.Match[str]) -> str:
    """A string becomes S, so that it stays a token; comments and directives become nothing."""
    kept = "S" if match.group().startswith(('"', "R")) else ""
    return kept + "\n" * match.group().count("\n")


def functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, first and last line of each function."""
    code = _NOISE.sub(_blank, text)
    line = 1
    head = ""  # What stands before the brace that may come.
    head_line = 1
    depth_in_body = 0
    name = ""
    for token in re.findall(r"[{};\n]|[^{};\n]+", code):
        if token == "\n":
            line += 1
            head += " "
        elif depth_in_body:
            depth_in_body += {"{": 1, "}": -1}.get(token, 0)
            if depth_in_body == 0:
                if name:
                    yield name, head_line, line
                head = ""
        elif token == "{":
            if _CONTAINER.search(head) and ")" not in head.rpartition(">")[2]:
                head = ""
            else:
                named = _NAME.search(head) if "=" not in head.split("(")[0] else None
                name = named.group(1) if named else ""
                depth_in_body = 1
        elif token in ";}":
            head = ""
        else:
            if not head.strip():
                head_line = line
            head += token
