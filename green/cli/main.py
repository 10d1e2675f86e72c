"""The command `greenwsgi`: its sub-commands, its help, and how it says no.

A sub-command is a row of _COMMANDS: its parser, and the function that runs it. Refusals become one
sentence and an exit status here and nowhere else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from green import __version__
from green.cli import near
from green.cli.errors import Refusal, UsageError
from green.cli.options import Option, flag_name, option_fields, resolve


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front of it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


@dataclass(frozen=True)
class Command:
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    usage: str
    epilog: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    try:
        parser, commands = _parsers()
        typed, unknown = parser.parse_known_args(arguments)
        if not hasattr(typed, "run"):
            parser.print_help()
            return 2
        if unknown:
            raise UsageError(_unknown(unknown[0], commands[typed.command]))
        status: int = typed.run(typed)
        return status
    except Refusal as refusal:
        sys.stderr.write(refusal.detail)
        print(f"greenwsgi: {refusal}", file=sys.stderr)
        return refusal.status
    except KeyboardInterrupt:
        return 130


def summaries() -> dict[str, str]:
    """{name of a command: what it does}."""
    return {name: command.summary for name, command in _COMMANDS.items()}


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="greenwsgi",
        description="A WSGI server: every call in its own green thread, on io_uring.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"greenwsgi {__version__}")
    choices = parser.add_subparsers(metavar="COMMAND", dest="command", title="commands")
    commands: dict[str, Parser] = {}
    for name, command in _COMMANDS.items():
        commands[name] = choices.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            usage=command.usage,
            epilog=command.epilog,
            allow_abbrev=False,
            formatter_class=_formatter,
        )
        command.add_arguments(commands[name])
        commands[name].set_defaults(run=command.run)
    return parser, commands


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=32)


def _unknown(argument: str, command: Parser) -> str:
    typed = argument.split("=")[0]
    if typed.startswith("-"):
        hint = near.one_of(typed, (flag_name(name) for name, _ in option_fields()))
        return f"there is no option {typed}{hint or f'; see {command.prog} --help'}"
    return f"there is one argument too many: {argument!r}; see {command.prog} --help"


def _add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", nargs="?", metavar="APP", help="see below")
    groups: dict[str, argparse._ArgumentGroup] = {}
    for name, option in option_fields():
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        _add_option(groups[option.group], name, option)


def _add_option(group: argparse._ArgumentGroup, name: str, option: Option) -> None:
    text = option.help + (f" (default: {option.default})" if option.default else "")
    if option.flag:
        group.add_argument(flag_name(name), action="store_const", const="1", help=text)
    elif option.repeatable:
        group.add_argument(flag_name(name), action="append", metavar=option.metavar, help=text)
    else:
        group.add_argument(flag_name(name), metavar=option.metavar, help=text)


def _serve(typed: argparse.Namespace) -> int:
    options = resolve(vars(typed), os.environ)
    from green.cli.serve import serve  # Not before: a wrong option needs no extension module.

    return serve(options)


_COMMANDS = {
    "serve": Command(
        summary="serve a WSGI application",
        add_arguments=_add_serve_arguments,
        run=_serve,
        usage="greenwsgi serve [options] APP",
        epilog="""\
APP is one of
  module:app                  a name in a module
  module:factory('x', n=1)    what a call returns; its arguments are literals
  path/to/file.py:app         a file instead of a module
  module, path/to/file.py     `app` in it, else `application`
  directory                   a Django project, or a directory with a wsgi.py or app.py

Every option is also an environment variable: --keep-alive-timeout is
GREENWSGI_KEEP_ALIVE_TIMEOUT. $WEB_CONCURRENCY is the default of --workers, $PORT of --bind.
GREENWSGI_HUB=uring or epoll chooses how to wait for the kernel.

  greenwsgi serve mysite.wsgi
  greenwsgi serve app:app --bind :8080 --workers auto --access-log combined
  greenwsgi serve 'shop:create_app("production")' --bind unix:/run/shop.sock
""",
    )
}
