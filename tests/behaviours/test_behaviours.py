"""Every scenario on green: each in a process of its own. A hang is a failure.

GREENWSGI_HUB chooses the hub, BEHAVIOURS_FULL=1 the full size. peers.py runs the same on gevent and
eventlet.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import outcome
from outcome import Outcome
from support import Scenario, all_scenarios

Outcomes = dict[Scenario, Future[Outcome]]

# Faults that are known and not mended yet. One that passes fails the suite, to be taken from here.
KNOWN_FAULTS = {
    "hash_of_nested_tuples": "C code that counts no levels overflows 1 MiB where 8 MiB would do",
}


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Of all that this run has chosen. Two at a time: most of them wait most of the time."""
    workers = ThreadPoolExecutor(min(2, os.cpu_count() or 1))
    chosen = [item.callspec.params["scenario"] for item in request.session.items
              if item.path == Path(__file__)]  # fmt: skip
    yield {each: workers.submit(outcome.run, each, "green") for each in chosen}
    workers.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    "scenario", all_scenarios(), ids=lambda one: f"{one.number:02}-{one.section}-{one.name}"
)
def test_behaviour(scenario: Scenario, outcomes: Outcomes) -> None:
    found = outcomes[scenario].result()

    if found.how == "skip":
        pytest.skip(found.why)
    if scenario.name in KNOWN_FAULTS:
        assert found.how != "pass", "mended: take it from KNOWN_FAULTS"
        pytest.xfail(KNOWN_FAULTS[scenario.name])
    assert found.how == "pass", f"behaviour {scenario.number}: {scenario.what}\n{found.output}"
