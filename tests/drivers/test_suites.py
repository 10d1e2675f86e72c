"""Event loops and thread pools of others, by the tests that come with them: what passes unpatched
passes under the patch.

Some of their tests need a machine that is idle, so a few may be lost, as of CPython's own
(tests/cpython): one in two hundred. None may hang, and the interpreter may not crash.
"""

from __future__ import annotations

import concurrent.futures
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SECONDS = 400.0
LOST_MAX = 0.005

SUITES = {
    "tornado": ("tornado.test", "--verbose"),
    "twisted": (
        "twisted.trial",
        "--reporter=verbose",
        "twisted.internet.test.test_tcp",
        "twisted.internet.test.test_unix",
        "twisted.internet.test.test_threads",
        "twisted.internet.test.test_process",
        "twisted.test.test_tcp",
        "twisted.test.test_threadpool",
        "twisted.test.test_threads",
    ),
}
# unittest: "test_x (module.Class.test_x) ... ok"; trial, below its class: "test_x ...   [OK]".
PASSED = re.compile(r"^ *(test\w*.*?) \.\.\. +(?:ok|\[OK\])$", re.MULTILINE)


def passes_of(suite: tuple[str, ...], directory: Path, *options: str) -> Counter[str]:
    """The tests that pass, by name; trial's without their class, so some come several times."""
    directory.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", *options, "-m", *suite],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1), f"status {done.returncode}\n{done.stdout[-5000:]}"
    return Counter(PASSED.findall(done.stdout))


@pytest.mark.parametrize("name", SUITES)
def test_what_passes_unpatched_passes_patched(name: str, tmp_path: Path) -> None:
    suite = SUITES[name]
    with concurrent.futures.ThreadPoolExecutor() as both:
        unpatched = both.submit(passes_of, suite, tmp_path / "unpatched")
        patched = both.submit(passes_of, suite, tmp_path / "patched", "-m", "green")
    passed = unpatched.result()
    assert passed.total() > 1000
    lost = passed - patched.result()

    assert lost.total() <= LOST_MAX * passed.total(), lost
