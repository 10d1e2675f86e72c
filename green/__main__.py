"""`python -m green`: runs a program, patched, or a command of `greenwsgi`."""

import os
import sys

from green import _program


def main(arguments: list[str]) -> int:
    """The exit status, if this was no program; a program's end is the interpreter's affair."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(), end="")
        return 0 if arguments else 2
    if arguments[0] == "--version" or _is_command(arguments[0]):
        from green.cli.main import main as run_command

        return run_command(arguments)
    try:
        _program.run(arguments)
    except _program.UsageError as error:
        print(f"python -m green: {error}; see python -m green --help", file=sys.stderr)
        return 2
    return 0


def _is_command(word: str) -> bool:
    """A command, whatever files there are: ./serve is a file. Not asked of what must be one."""
    if word.startswith("-") or word.endswith(".py") or os.sep in word:
        return False
    from green.cli.main import summaries

    return word in summaries() or not os.path.exists(word)


def _help() -> str:
    from green.cli.main import summaries

    commands = "".join(f"  {name:10} {text}\n" for name, text in summaries().items())
    return f"""\
{_program.USAGE}       python -m green COMMAND ...

Runs a program as python does, but patched before anything else is imported: what blocks in the
standard library lets other greens run instead (green.monkey_patch).

options:
  --no-patch   leave the standard library alone
  -h, --help   show this
  --version    show the version

commands (also of `greenwsgi`; a file of such a name is ./NAME):
{commands}"""


if status := main(sys.argv[1:]):
    sys.exit(status)
