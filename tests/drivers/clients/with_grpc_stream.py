"""Answers that are streams."""

from typing import Any

import grpc
from measure import server

channel = grpc.insecure_channel(f"{server['host']}:{server['port']}")
count = channel.unary_stream("/test.Slow/Count")


def connect(number: int) -> Any:
    grpc.channel_ready_future(channel).result(timeout=30)
    return count


def ask(count: Any, number: int) -> str:
    answers = [answer.decode() for answer in count(str(number).encode())]
    assert answers == [str(number)] * 3
    return answers[0]
