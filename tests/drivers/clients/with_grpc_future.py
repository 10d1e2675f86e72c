"""Calls whose result is a future: the library's own thread brings it."""

from typing import Any

import grpc
from measure import server

channel = grpc.insecure_channel(f"{server['host']}:{server['port']}")
slow = channel.unary_unary("/test.Slow/Ask")


def connect(number: int) -> Any:
    grpc.channel_ready_future(channel).result(timeout=30)
    return slow


def ask(slow: Any, number: int) -> str:
    return str(slow.future(str(number).encode()).result().decode())
