"""Queues for greens and native threads alike, with the interface and the exceptions of `queue`.

The types are the extension module's: a value goes to whoever has waited longest. Unlike the
standard library's they are not made of overridable _put() and _get(). A loop over a queue ends when
it is shut down and empty, or when it meets the class StopIteration as an item.
"""

from __future__ import annotations

from queue import Empty, Full

from green._core import Channel, LifoQueue, PriorityQueue, Queue, ShutDown

__all__ = [
    "Channel",
    "Empty",
    "Full",
    "JoinableQueue",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
]

JoinableQueue = Queue  # gevent's name: every Queue has task_done() and join().
