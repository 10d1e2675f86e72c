"""grpcio's client, whose own threads wait in C: they stay native threads where threads are greens.

Its channels each have a thread that waits for the next event without a word to Python. As a green
it would stop all others, and the event for good.
"""

from __future__ import annotations

from typing import Any

from green._blocking import blocking
from green._on_import import when_imported


def cooperate() -> None:
    """Has grpcio start its threads natively, now or from when it is imported."""
    when_imported("grpc._cython.cygrpc", _start_natively)


def _start_natively(cygrpc: Any) -> None:
    thread = cygrpc.ForkManagedThread
    thread.start = blocking()(thread.start)
