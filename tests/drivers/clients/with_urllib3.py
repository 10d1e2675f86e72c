"""One pool of TLS connections for all."""

from typing import Any

import urllib3
from measure import server

pool = urllib3.HTTPSConnectionPool(
    server["host"],
    server["tls_port"],
    maxsize=200,
    block=True,
    ca_certs=server["certificate"],
    server_hostname=server["name"],
    assert_hostname=server["name"],
)


def connect(number: int) -> Any:
    assert pool.request("GET", f"/slow/{number}").status == 200
    return pool


def ask(pool: Any, number: int) -> str:
    return pool.request("GET", f"/slow/{number}").data.decode()
