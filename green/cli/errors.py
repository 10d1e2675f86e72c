"""What the command line cannot do, as the one sentence that its user reads.

A Refusal ends the command: main() prints it and exits with its status. Nothing here knows who
raises it or where it is printed.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """The sentence says what is wrong and what to do; `detail` is printed above it."""

    status: ClassVar[int]

    def __init__(self, sentence: str, *, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class UsageError(Refusal):
    """What was typed cannot be meant."""

    status = 2


class StartError(Refusal):
    """What was asked for is clear, but the machine or the application refuses."""

    status = 1
