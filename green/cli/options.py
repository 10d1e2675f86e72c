"""The options of `greenwsgi serve`: one table, the class ServeOptions.

A field is the option --its-name and the environment variable GREENWSGI_ITS_NAME; its default is a
text in the same syntax, which the help shows. The command line beats the environment. What an
option does is not known here.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from green.cli import units
from green.cli.binding import Address, parse_address
from green.cli.errors import UsageError


@dataclass(frozen=True)
class Option:
    """How one option is typed, converted and explained."""

    parse: Callable[[str], Any]
    metavar: str
    default: str | None
    group: str
    help: str
    repeatable: bool = False
    flag: bool = False


def option(
    parse: Callable[[str], Any],
    metavar: str,
    default: str | None,
    group: str,
    help: str,  # noqa: A002
) -> Any:
    return field(metadata={"option": Option(parse, metavar, default, group, help)})


def repeatable(
    parse: Callable[[str], Any],
    metavar: str,
    group: str,
    help: str,  # noqa: A002
) -> Any:
    made = Option(parse, metavar, None, group, help, repeatable=True)
    return field(metadata={"option": made})


def flag(group: str, help: str) -> Any:  # noqa: A002
    made = Option(parse_flag, "", None, group, help, flag=True)
    return field(metadata={"option": made})


def parse_flag(text: str) -> bool:
    known = {
        "1": True,
        "yes": True,
        "true": True,
        "0": False,
        "no": False,
        "false": False,
        "": False,
    }
    if text.lower() not in known:
        raise ValueError(f"needs 1 or 0, not {text!r}")
    return known[text.lower()]


def parse_assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"needs KEY=VALUE, not {text!r}")
    return name, value


def parse_mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise ValueError(f"needs file permissions such as 660, not {text!r}")
    return mode


def parse_workers(text: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    known = text.isdecimal() and len(text) <= len(str(WORKERS_MAX))
    if not known or not 0 < int(text) <= WORKERS_MAX:
        raise ValueError(f"needs a number of processes (up to {WORKERS_MAX}) or auto, not {text!r}")
    return int(text)


def parse_stack_size(text: str) -> int:
    size = units.parse_bytes(text)
    if size < STACK_BYTES_MIN:
        raise ValueError(f"needs at least {STACK_BYTES_MIN // 1024}k, not {text!r}")
    return size


def parse_watchdog(text: str) -> float:
    seconds = units.parse_seconds(text)
    if 0 < seconds < WATCHDOG_SECONDS_MIN:
        raise ValueError(f"needs 0 or at least 10ms, not {text!r}")
    return seconds


def parse_server_header(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError("needs printable ASCII characters")
    return text


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is one of {', '.join(choices)}, not {text!r}")
        return text

    return parse


_APPLICATION = "application"
_ADDRESSES = "addresses"
_PROCESSES = "processes"
_LOGS = "logs"
_LIMITS = "limits (sizes take k, M, G)"
_TIMES = "time-outs (ms, s, m, h; seconds without a unit)"
_RESPONSES = "requests and responses"

WATCHDOG_SECONDS_MIN = 0.01
WORKERS_MAX = 1024
STACK_BYTES_MIN = 64 * 1024
ACCESS_LOGS = ("off", "common", "combined", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What `greenwsgi serve` was asked to do, every value converted and checked."""

    app: str
    chdir: str | None = option(
        str, "DIR", None, _APPLICATION, "work in this directory; other paths are relative to it"
    )
    env: tuple[tuple[str, str], ...] = repeatable(
        parse_assignment, "KEY=VALUE", _APPLICATION, "set an environment variable; repeatable"
    )
    no_patch: bool = flag(
        _APPLICATION, "leave the standard library as it is: what blocks there stops every call"
    )

    bind: tuple[Address, ...] = repeatable(
        parse_address,
        "ADDRESS",
        _ADDRESSES,
        "HOST:PORT, [IPV6]:PORT, PORT (on 127.0.0.1), :PORT (on every interface), unix:PATH or"
        " fd:N; repeatable (default: 127.0.0.1:8000, or every interface at $PORT)",
    )
    unix_mode: int = option(parse_mode, "MODE", "666", _ADDRESSES, "permissions of a Unix socket")
    backlog: int = option(
        units.parse_positive_count,
        "N",
        "2048",
        _ADDRESSES,
        "connections that may wait in the kernel",
    )
    ready_fd: int | None = option(
        units.parse_count,
        "N",
        None,
        _ADDRESSES,
        "write the line `ready ADDRESS...` to this descriptor when serving, and close it",
    )

    workers: int = option(
        parse_workers, "N", "1", _PROCESSES, "processes that share the addresses; auto: one a core"
    )
    grace: float = option(
        units.parse_seconds,
        "TIME",
        "30s",
        _PROCESSES,
        "how long SIGTERM and SIGINT let calls finish; a second signal cuts them",
    )
    stack_size: int = option(
        parse_stack_size, "SIZE", "1M", _PROCESSES, "address space of a green's C stack"
    )

    access_log: str | None = option(
        one_of(*ACCESS_LOGS),
        "FORMAT",
        None,
        _LOGS,
        f"a line a request: {', '.join(ACCESS_LOGS)}"
        " (default: off, or combined with --access-log-file)",
    )
    access_log_file: str | None = option(
        str, "PATH", None, _LOGS, "where they go, appended; - is the standard output (default: -)"
    )
    error_log_file: str = option(
        str, "PATH", "-", _LOGS, "where all else goes, appended; - is the standard error"
    )
    log_level: str = option(
        one_of(*LOG_LEVELS), "LEVEL", "info", _LOGS, f"the least to log: {', '.join(LOG_LEVELS)}"
    )

    watchdog: float = option(
        parse_watchdog,
        "TIME",
        "0",
        _LOGS,
        "log what holds up all other calls for so long, with its stack; 0: do not watch",
    )

    request_line_bytes: int = option(
        units.parse_positive_bytes, "SIZE", "8k", _LIMITS, "request line; more: 414"
    )
    header_count: int = option(
        units.parse_positive_count, "N", "100", _LIMITS, "header fields of a request; more: 431"
    )
    header_bytes: int = option(
        units.parse_positive_bytes,
        "SIZE",
        "32k",
        _LIMITS,
        "their names and values together; more: 431",
    )
    body_bytes: int = option(
        units.parse_bytes, "SIZE", "1G", _LIMITS, "body of a request; more: 413; 0: no limit"
    )
    connections_max: int = option(
        units.parse_positive_count, "N", "20000", _LIMITS, "connections of a worker; more: 503"
    )
    requests_per_connection: int = option(
        units.parse_count, "N", "0", _LIMITS, "then it is closed; 0: no limit"
    )

    header_timeout: float = option(
        units.parse_positive_seconds, "TIME", "30s", _TIMES, "for a whole request head; more: 408"
    )
    body_timeout: float = option(
        units.parse_positive_seconds,
        "TIME",
        "30s",
        _TIMES,
        "between two pieces of a request's body",
    )
    keep_alive_timeout: float = option(
        units.parse_seconds, "TIME", "75s", _TIMES, "between two requests; 0: close after each"
    )
    write_timeout: float = option(
        units.parse_positive_seconds, "TIME", "30s", _TIMES, "for a client that takes nothing"
    )

    url_scheme: str = option(
        one_of("http", "https"), "SCHEME", "http", _RESPONSES, "wsgi.url_scheme: http or https"
    )
    server_header: str = option(
        parse_server_header,
        "TEXT",
        "greenwsgi",
        _RESPONSES,
        "value of the Server field; empty: none",
    )


def option_fields() -> list[tuple[str, Option]]:
    """Every option's field name and description, in the order of the help."""
    found: list[tuple[str, Option]] = []
    each: Field[Any]
    for each in fields(ServeOptions):
        if "option" in each.metadata:
            found.append((each.name, each.metadata["option"]))
    return found


def flag_name(name: str) -> str:
    return "--" + name.replace("_", "-")


def resolve(typed: Mapping[str, Any], environ: Mapping[str, str]) -> ServeOptions:
    """Options from what was typed (texts, by field name; lists where repeatable), else from the
    environment, else the defaults."""
    app = typed.get("app") or environ.get("GREENWSGI_APP")
    if not app:
        raise UsageError(
            "name the application to serve, such as module:app or path/to/file.py:app; see"
            " greenwsgi serve --help"
        )
    values: dict[str, Any] = {"app": app}
    for name, spec in option_fields():
        source, given = _source(name, spec, typed, environ)
        try:
            parsed = [spec.parse(text) for text in _texts(spec, given)]
        except ValueError as error:
            raise UsageError(f"{source} {error}") from None
        if spec.repeatable:
            values[name] = tuple(parsed)
        else:
            values[name] = parsed[-1] if parsed else (False if spec.flag else None)
    return ServeOptions(**values)


def _source(
    name: str, spec: Option, typed: Mapping[str, Any], environ: Mapping[str, str]
) -> tuple[str, str | list[str] | None]:
    """Where the option's value comes from, as errors name it, and its text or texts."""
    variable = "GREENWSGI_" + name.upper()
    if (given := typed.get(name)) is not None:
        return flag_name(name), given
    text = environ.get(variable)
    if text is not None and (text or not spec.repeatable):
        return variable, text
    if name == "workers" and (text := environ.get("WEB_CONCURRENCY")):
        return "WEB_CONCURRENCY", text
    if name == "bind":
        port = environ.get("PORT")
        return ("PORT", f":{port}") if port else (variable, "127.0.0.1:8000")
    return variable, spec.default


def _texts(spec: Option, given: str | list[str] | None) -> list[str]:
    if given is None or isinstance(given, list):
        return given or []
    return shlex.split(given) if spec.repeatable else [given]
