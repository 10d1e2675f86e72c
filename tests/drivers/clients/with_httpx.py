"""Ten clients, and so ten pools of TLS connections.

One for all would do as well, but httpx then looks at each of 200 connections 200 times a request:
10 ms of computing, with threads as with greens.
"""

import ssl
from typing import Any

import httpx
from measure import server

RAMP = 1.0  # 200 requests are 0.5 s of Python.

context = ssl.create_default_context(cafile=server["certificate"])
clients = [
    httpx.Client(
        base_url=f"https://{server['host']}:{server['tls_port']}",
        verify=context,
        trust_env=False,
        timeout=30.0,
        limits=httpx.Limits(max_connections=20, max_keepalive_connections=20),
    )
    for _ in range(10)
]


def get(client: httpx.Client, number: int) -> Any:
    return client.get(f"/slow/{number}", extensions={"sni_hostname": server["name"]})


def connect(number: int) -> httpx.Client:
    client = clients[number % 10]
    assert get(client, number).status_code == 200
    return client


def ask(client: httpx.Client, number: int) -> str:
    return str(get(client, number).text)
