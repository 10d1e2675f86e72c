"""`await` of a green or an AsyncResult, in a coroutine that an asyncio loop runs.

Imported with the first await, so that asyncio is loaded only by programs that use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Protocol

from green.linked import Waitable


class Outcome(Waitable, Protocol):
    """What has a value or an exception once it is ready."""

    def get(self) -> Any: ...


def result_of(outcome: Outcome) -> Generator[Any, Any, Any]:
    """The iterator that __await__() returns; its result is outcome.get().

    The loop may run in any green of any thread, and goes on meanwhile. Cancelling the task that
    awaits leaves a green running, as asyncio.shield() does.
    """
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    def tell(_outcome: Any) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle)

    outcome.rawlink(tell)
    try:
        yield from ready
    finally:
        outcome.unlink(tell)
    return outcome.get()
