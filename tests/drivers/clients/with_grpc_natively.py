"""Plain calls, which wait in C: each goes to a native thread."""

from typing import Any

import grpc
from measure import server

from green import native

channel = grpc.insecure_channel(f"{server['host']}:{server['port']}")
slow = channel.unary_unary("/test.Slow/Ask")

native.set_size(200)  # As many as there are greens.


def connect(number: int) -> Any:
    grpc.channel_ready_future(channel).result(timeout=30)
    return slow


def ask(slow: Any, number: int) -> str:
    return str(native.call(slow, str(number).encode()).decode())
