"""The examples of the documentation run, and print what is written below them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# A block that is marked with `run`, and what it prints, when that follows.
EXAMPLE = re.compile(r"^```python run\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.M | re.S)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def examples() -> list[object]:
    found = []
    for path in sorted(DOCS.rglob("*.md")):
        for number, match in enumerate(EXAMPLE.finditer(path.read_text()), 1):
            name = f"{path.relative_to(DOCS)}-{number}"
            found.append(pytest.param(match[1], match[2] or "", id=name))
    return found


def test_there_are_examples() -> None:
    assert len(examples()) > 20


@pytest.mark.parametrize(("program", "printed"), examples())
def test_an_example_prints_what_is_written_below_it(program: str, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == (printed, "", 0)


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "README.md"]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).exists()
    ]

    assert broken == []
