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
    assert found.how == "pass", f"behaviour {scenario.number}: {scenario.what}\n{found.output}"
