"""Semaphores for greens and native threads alike.

Semaphore itself is the extension module's: a release hands over to whoever has waited longest.
"""

from __future__ import annotations

from green._core import Semaphore

__all__ = ["BoundedSemaphore", "Semaphore"]


class BoundedSemaphore(Semaphore):
    """A Semaphore of which no more can be released than were taken; ValueError otherwise."""

    def __init__(self, value: int = 1) -> None:
        super().__init__(value, bounded=True)
