from __future__ import annotations

import pytest

from green import __version__
from green.cli import main as command
from green.cli.options import flag_name, option_fields


def run(*arguments: str) -> int:
    return command.main(arguments)


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2

    assert "serve a WSGI application" in capsys.readouterr().out


def test_the_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("--version")

    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"greenwsgi {__version__}\n"


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("serve", "--help")

    assert exit_.value.code == 0
    text = capsys.readouterr().out
    for name, _ in option_fields():
        assert f"  {flag_name(name)} " in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["serve"], "name the application to serve"),
        (["serve", "a", "b"], "there is one argument too many: 'b'"),
        (["serve", "a", "--bnd", "80"], "there is no option --bnd; did you mean '--bind'?"),
        (["serve", "a", "--bnd=80"], "there is no option --bnd; did you mean '--bind'?"),
        (["serve", "a", "--bin", "80"], "there is no option --bin"),
        (["serve", "a", "--bind"], "argument --bind: expected one argument"),
        (["serve", "a", "--grace", "x"], "--grace needs a time such as"),
        (["sreve"], "argument COMMAND: invalid choice: 'sreve'"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run(*arguments) == 2

    said = capsys.readouterr().err
    assert said.startswith(f"greenwsgi: {sentence}")
    assert said.count("\n") == 1
