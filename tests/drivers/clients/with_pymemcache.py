from typing import Any

from measure import server
from pymemcache.client.base import Client


def connect(number: int) -> Any:
    client = Client((server["host"], server["port"]))
    client.set(str(number), str(number), noreply=False)
    return client


def ask(client: Any, number: int) -> str:
    return client.get(str(number)).decode()


def close(client: Any) -> None:
    client.close()
