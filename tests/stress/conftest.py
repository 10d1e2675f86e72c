"""The seeds of a run, by which its tests are repeated.

A new one each run, or STRESS_SEED; with STRESS_SEEDS=n so many, one after the other.
"""

from __future__ import annotations

import os
import random

import pytest

FIRST = int(os.environ.get("STRESS_SEED") or random.SystemRandom().randrange(1_000_000))
SEEDS = range(FIRST, FIRST + int(os.environ.get("STRESS_SEEDS") or 1))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", SEEDS, ids=lambda seed: f"seed {seed}")
