"""rpc.py: a gRPC server. /test.Slow/Ask answers what it was asked after half a second.

/test.Slow/Count answers with three messages, half a second apart in all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

SLOW = 0.5


def ask(request: bytes, context: Any) -> bytes:
    time.sleep(SLOW)
    return request


def count(request: bytes, context: Any) -> Iterator[bytes]:
    yield request
    time.sleep(SLOW)
    yield request
    yield request


server = grpc.server(ThreadPoolExecutor(250))
handlers = {
    "Ask": grpc.unary_unary_rpc_method_handler(ask),
    "Count": grpc.unary_stream_rpc_method_handler(count),
}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Slow", handlers)])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
