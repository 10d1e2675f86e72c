"""Every scenario on green: each in a process of its own. A hang is a failure.

GREENWSGI_HUB chooses the hub, BEHAVIOURS_FULL=1 the full size. peers.py runs the same on gevent and
eventlet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import outcome
from support import Scenario, all_scenarios


@pytest.mark.parametrize(
    "scenario", all_scenarios(), ids=lambda one: f"{one.number:02}-{one.section}-{one.name}"
)
def test_behaviour(scenario: Scenario) -> None:
    found = outcome.run(scenario, "green")

    if found.how == "skip":
        pytest.skip(found.why)
    assert found.how == "pass", f"behaviour {scenario.number}: {scenario.what}\n{found.output}"
