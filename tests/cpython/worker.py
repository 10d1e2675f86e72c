"""Runs one of CPython's test modules: `worker.py MODULE WAY FILE [TEST LEFT OUT]...`.

WAY is plain, patched, or green (patched, and all of it inside a green thread). FILE gets a line of
JSON when a test begins and when it has ended, so that a crash or a hang loses only the test that
caused it. What a failure says goes to standard error.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import unittest
from typing import TextIO

# network also means loopback. Not urlfetch, gui, largefile, walltime: they take minutes and prove
# nothing here.
RESOURCES = ["network", "cpu", "subprocess"]

# Its peer would be the machine's hypervisor: whether it ends depends on that.
LEFT_OUT = ("test.test_socket.ThreadedVSOCKSocketStreamTest.",)


class Recorder(unittest.TestResult):
    """Writes outcomes as they come. A test with a failed part has failed."""

    def __init__(self, out: TextIO) -> None:
        super().__init__()
        self._out = out
        self._process = os.getpid()
        self._outcome = "ok"
        self._why = ""

    def _write(self, test: unittest.TestCase, outcome: str, why: str = "") -> None:
        self._out.write(json.dumps({"test": test.id(), "outcome": outcome, "why": why}) + "\n")

    def startTest(self, test: unittest.TestCase) -> None:
        if os.getpid() != self._process:
            os._exit(1)  # A child that a test has let escape.
        super().startTest(test)
        self._outcome, self._why = "ok", ""
        self._write(test, "begun")

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self._write(test, self._outcome, self._why)

    def _failed(self, test: unittest.TestCase, error: object, kind: str) -> None:
        text = self._exc_info_to_string(error, test)
        print(f"{kind}: {test.id()}\n{text}", file=sys.stderr, flush=True)
        self._outcome, self._why = "failed", text.strip().rpartition("\n")[2]
        if not isinstance(test, unittest.TestCase):  # setUpClass, tearDownModule.
            self._write(test, self._outcome, self._why)

    def addError(self, test: unittest.TestCase, err: object) -> None:
        self._failed(test, err, "ERROR")

    def addFailure(self, test: unittest.TestCase, err: object) -> None:
        self._failed(test, err, "FAILURE")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: object) -> None:
        if err is not None:
            self._failed(subtest, err, "PART")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._outcome, self._why = "skipped", reason
        if not isinstance(test, unittest.TestCase):
            self._write(test, self._outcome, reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: object) -> None:
        self._outcome = "expected failure"

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._outcome, self._why = "failed", "unexpected success"


def without(left_out: tuple[str, ...], suite: unittest.TestSuite) -> unittest.TestSuite:
    """The suite, its nested ones kept for what their classes set up."""
    kept = type(suite)()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            kept.addTest(without(left_out, test))
        elif not test.id().startswith(left_out):
            kept.addTest(test)
    return kept


def run(module: str, out: TextIO, left_out: tuple[str, ...]) -> None:
    from test import support

    support.use_resources = RESOURCES
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
    recorder = Recorder(out)
    without(LEFT_OUT + left_out, suite).run(recorder)
    out.write(json.dumps({"count": recorder.testsRun}) + "\n")


def main() -> None:
    module, way, path, *names = sys.argv[1:]
    left_out = tuple(names)
    faulthandler.enable()
    with open(path, "w", buffering=1) as out:
        if way == "plain":
            run(module, out, left_out)
            return
        import green

        green.monkey_patch()
        green.sleep(0)  # From here on the main program is a green as well: its waits are the hub's.
        if way == "green":
            green.spawn(run, module, out, left_out).get()
        else:
            run(module, out, left_out)


if __name__ == "__main__":
    main()
