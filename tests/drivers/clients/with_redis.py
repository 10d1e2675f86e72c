from typing import Any

import redis
from measure import server

pool = redis.ConnectionPool(host=server["host"], port=server["port"])


def connect(number: int) -> Any:
    client = redis.Redis(connection_pool=pool)
    assert client.ping()
    return client


def ask(client: Any, number: int) -> str:
    assert client.blpop([f"never-{number}"], timeout=0.5) is None
    return client.echo(str(number)).decode()
