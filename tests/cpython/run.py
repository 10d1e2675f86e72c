#!/usr/bin/env python3
"""Runs CPython's own tests as they are and under our patch: `run.py [MODULE...] [--jobs 2]`.

Each module runs in a process of its own, once a way (worker.py). What passes as it is must pass
under the patch: 99.5 % of it, and each exception stands in exceptions.txt with its reason. A test
that a crash or a hang keeps from ending has not passed. A module that has lost others runs once
more, as in CPython's own runner: what then passes is not lost. Results stay in --out, one file and
one log for each module and way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BAR = 0.995
PLAIN_SECONDS = 600.0  # The longest takes three minutes.
LEAST_SECONDS = 120.0

TRACERS = [
    "test_sys_settrace",
    "test_sys_setprofile",
    "test_monitoring",
    "test_bdb",
    "test_pdb",
    "test_trace",
    "test_cprofile",
    "test_profile",
]
PATCHED = [
    "test_socket",
    "test_ssl",
    "test_select",
    "test_selectors",
    "test_poll",
    "test_epoll",
    "test_socketserver",
    "test_httpservers",
    "test_httplib",
    "test_urllib2_localnet",
    "test_wsgiref",
    "test_ftplib",
    "test_smtplib",
    "test_poplib",
    "test_imaplib",
    "test_xmlrpc",
    "test_queue",
    "test_threading",
    "test_threading_local",
    "test_thread",
    "test_threadsignals",
    "test_subprocess",
    "test_signal",
    "test_os",
    "test_io",
    "test_file",
    "test_fileio",
    "test_bufio",
    "test_builtin",
    "test_fcntl",
    "test_posix",
    "test_tempfile",
    "test_fork1",
    "test_context",
    *TRACERS,
    "test_concurrent_futures",
    "test_asyncio.test_sock_lowlevel",
    "test_asyncio.test_subprocess",
    "test_asyncio.test_sendfile",
    "test_asyncio.test_selector_events",
    "test_asyncio.test_unix_events",
    "test_timeout",
    "test_logging",
    "test_multiprocessing_fork",
    "test_multiprocessing_spawn",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
]

# What belongs to one thread in CPython must belong to one green thread here.
GREEN = [
    "test_context",
    "test_contextlib",
    "test_contextlib_async",
    "test_coroutines",
    "test_asyncgen",
    "test_generators",
    "test_generator_stop",
    "test_yield_from",
    *TRACERS,
    "test_exceptions",
    "test_exception_group",
    "test_raise",
    "test_with",
    "test_call",
    "test_frame",
    "test_traceback",
    "test_gc",
    "test_weakref",
    "test_ast",
    "test_compile",
    "test_functools",
    "test_isinstance",
    "test_json",
]

WAYS = {"patched": PATCHED, "green": GREEN}


@dataclass
class Run:
    """How the tests of one module ended, one way."""

    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)  # test -> outcome, why
    ended: str = ""  # How the process ended, where not well.
    seconds: float = 0.0

    def passed(self) -> set[str]:
        return {test for test, (outcome, _) in self.outcomes.items() if outcome == "ok"}

    def why(self, test: str) -> str:
        outcome, why = self.outcomes.get(test, ("", ""))
        if outcome in ("", "begun"):
            return self.ended or "did not run"
        return f"{outcome}: {why}" if why else outcome


def read_exceptions() -> dict[str, str]:
    """Test -> reason, of this version of Python. A line: versions, test, reason; tabs between."""
    version = ".".join(platform.python_version_tuple()[:2])
    exceptions = {}
    for line in (HERE / "exceptions.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            versions, test, reason = line.split("\t")
            if version in versions.split() or versions == "all":
                exceptions[test] = reason
    return exceptions


UNRUN = "not run: "  # How the reason begins where the test would never end.
EXCEPTIONS = read_exceptions()


def read_results(path: Path) -> Run:
    result = Run()
    if not path.exists():
        return result
    with path.open() as lines:
        for line in lines:
            record = json.loads(line)
            if "test" in record:
                result.outcomes[record["test"]] = (record["outcome"], record["why"])
            elif "seconds" in record:
                result.seconds, result.ended = record["seconds"], record["ended"]
    return result


def run_module(module: str, way: str, out: Path, timeout: float) -> Run:
    """Runs it in a directory that is gone afterwards, and whatever it has started with it."""
    path = out / f"{module}.{way}.jsonl"
    path.unlink(missing_ok=True)
    unrun = [] if way == "plain" else [t for t, why in EXCEPTIONS.items() if why.startswith(UNRUN)]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory,
        (out / f"{module}.{way}.log").open("w") as log,
        subprocess.Popen(
            [sys.executable, "-P", HERE.resolve() / "worker.py", module, way, path.resolve(),
             *unrun],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        ) as process,
    ):  # fmt: skip
        try:
            status = process.wait(timeout)
            ended = "" if status == 0 else f"exit status {status}"
            if status < 0:
                ended = f"killed by {signal.Signals(-status).name}"
        except subprocess.TimeoutExpired:
            ended = f"hung for {timeout:.0f} s"
        with contextlib.suppress(ProcessLookupError):  # Nothing is left of it.
            os.killpg(process.pid, signal.SIGKILL)
    with path.open("a") as results:
        results.write(json.dumps({"seconds": time.monotonic() - began, "ended": ended}) + "\n")
    return read_results(path)


@dataclass
class Verdict:
    """One module, compared."""

    module: str
    way: str
    plain: Run
    ours: Run

    def lost(self) -> list[str]:
        return sorted(self.plain.passed() - self.ours.passed())

    def unnamed(self) -> list[str]:
        return [test for test in self.lost() if test not in EXCEPTIONS]

    def show(self, then: str = "") -> None:
        passed, lost = len(self.plain.passed()), len(self.lost())
        if then:
            then = f"  {then}: {', '.join(self.unnamed()[:3])}"
        unwell = f"  {self.ours.ended}" if self.ours.ended and not self.plain.ended else ""
        print(
            f"{self.module:38} {self.way:8} {passed - lost:5} of {passed:5}"
            f"  {self.plain.seconds:6.1f} s {self.ours.seconds:6.1f} s{unwell}{then}",
            flush=True,
        )


def judge_module(module: str, ways: list[str], out: Path, reuse: bool) -> list[Verdict]:
    plain = read_results(out / f"{module}.plain.jsonl") if reuse else Run()
    if not plain.outcomes:
        plain = run_module(module, "plain", out, PLAIN_SECONDS)
    if not plain.passed():
        print(f"{module:38} not here, or nothing of it passes as it is", flush=True)
        return []
    return [judge(module, way, plain, out) for way in ways]


def judge(module: str, way: str, plain: Run, out: Path) -> Verdict:
    timeout = LEAST_SECONDS if plain.ended else max(LEAST_SECONDS, 3 * plain.seconds)
    verdict = Verdict(module, way, plain, run_module(module, way, out, timeout))
    if verdict.unnamed() or (verdict.ours.ended and not plain.ended):
        verdict.show("once more")
        again = run_module(module, way, out, timeout)
        again.outcomes |= dict.fromkeys(verdict.ours.passed(), ("ok", ""))
        verdict.ours = again
    verdict.show()
    return verdict


def conclude(verdicts: list[Verdict]) -> bool:
    """Names what is lost; True when the bar holds and nothing is lost that is not an exception."""
    unnamed = unwell = 0
    for verdict in verdicts:
        for test in verdict.lost():
            reason = EXCEPTIONS.get(test)
            unnamed += reason is None
            print(f"{'LOST' if reason is None else 'exception'} {verdict.way} {test}: "
                  f"{reason or verdict.ours.why(test)}")  # fmt: skip
        unwell += bool(verdict.ours.ended and not verdict.plain.ended)
    passed = sum(len(verdict.plain.passed()) for verdict in verdicts)
    lost = sum(len(verdict.lost()) for verdict in verdicts)
    share = 1 - lost / passed if passed else 0.0
    print(f"\nPython {platform.python_version()}: {passed - lost} of {passed}, {share:.2%};"
          f" {unnamed} lost without a reason, {unwell} crashes and hangs")  # fmt: skip
    return share >= BAR and unnamed == 0 and unwell == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", help="such as test_socket; all when none is named")
    parser.add_argument("--jobs", type=int, default=2, help="modules at once (2)")
    parser.add_argument("--out", type=Path, help="where results and logs stay (a new directory)")
    parser.add_argument("--reuse", action="store_true", help="take plain results that are in --out")
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # In the background; tests send it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    out = options.out or Path(tempfile.mkdtemp(prefix="cpython-tests-"))
    out.mkdir(parents=True, exist_ok=True)
    work: dict[str, list[str]] = {}
    for way, modules in WAYS.items():
        for module in modules:
            work.setdefault(module, []).append(way)
    for module in options.modules:
        if module not in work:
            parser.error(f"{module} is not among those that are run: see the head of run.py")
    with ThreadPoolExecutor(options.jobs) as pool:
        judged = pool.map(
            lambda module: judge_module(module, work[module], out, options.reuse),
            options.modules or work,
        )
        good = conclude([verdict for verdicts in judged for verdict in verdicts])
    print(f"results and logs: {out}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
