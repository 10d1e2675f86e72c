from typing import Any

import requests
from measure import server
from requests.adapters import HTTPAdapter

RAMP = 1.0  # 200 requests are 0.4 s of Python.


class Adapter(HTTPAdapter):
    """Expects the name in the certificate at an address that has none."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        name = server["name"]
        super().init_poolmanager(*args, server_hostname=name, assert_hostname=name, **options)


url = f"https://{server['host']}:{server['tls_port']}"


def connect(number: int) -> Any:
    session = requests.Session()
    session.trust_env = False
    session.verify = server["certificate"]
    session.mount("https://", Adapter())
    session.get(f"{url}/{number}").raise_for_status()
    return session


def ask(session: Any, number: int) -> str:
    return str(session.get(f"{url}/slow/{number}").text)


def close(session: Any) -> None:
    session.close()
