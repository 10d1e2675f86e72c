"""Drivers, unmodified, against servers in other processes, after monkey_patch() alone.

200 greens at once ask something that takes half a second. Together they take about as long as one,
each gets its own answer, and a green that wakes every 10 ms is never kept waiting for long. Each
driver is tried imported after the patch, and imported before it and on the epoll hub. measure.py
does it, in a process of its own. GREENWSGI_HUB chooses the hub for all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEASURE = Path(__file__).parent / "measure.py"
SECONDS = 100.0
SLOW = 0.5
GAP_MAX = 0.05
# Other programs may have this machine's processors, and then greens that were to be ready one
# after the other are ready all at once. What a driver does wrong it does wrong each time.
TRIES = 3

# Driver: the client, the fixture of its server, what is added to its address and environment.
DRIVERS: dict[str, tuple[str, str, dict[str, str]]] = {
    "psycopg2": ("with_psycopg2", "postgres", {}),
    "psycopg 3, C": ("with_psycopg", "postgres", {"PSYCOPG_IMPL": "binary"}),
    "psycopg 3, Python": ("with_psycopg", "postgres", {"PSYCOPG_IMPL": "python"}),
    "Django's ORM": ("with_django", "postgres", {}),
    "SQLAlchemy, psycopg2": ("with_sqlalchemy", "postgres", {"dialect": "postgresql+psycopg2"}),
    "SQLAlchemy, PyMySQL": ("with_sqlalchemy", "mariadb", {"dialect": "mysql+pymysql"}),
    "PyMySQL": ("with_pymysql", "mariadb", {}),
    "mysqlclient": ("with_mysqlclient", "mariadb", {}),
    "sqlite3": ("with_sqlite3", "none", {}),
    "redis": ("with_redis", "redis", {}),
    "pymemcache": ("with_pymemcache", "memcached", {}),
    "pymongo": ("with_pymongo", "mongo", {}),
    "requests": ("with_requests", "web", {}),
    "urllib3": ("with_urllib3", "web", {}),
    "httpx": ("with_httpx", "web", {}),
    "boto3": ("with_boto3", "web", {}),
    "smtplib": ("with_smtplib", "mail", {}),
    "paramiko": ("with_paramiko", "sshd", {}),
    "grpcio, futures": ("with_grpc_future", "rpc", {}),
    "grpcio, streams": ("with_grpc_stream", "rpc", {}),
    "grpcio, plain calls": ("with_grpc_natively", "rpc", {}),
}


def measure(client: str, order: str, address: dict[str, Any], **more: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", str(MEASURE), client, order,
         json.dumps(address)],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.stderr == ""
    took: dict[str, float] = json.loads(done.stdout)
    return took


def in_time(took: dict[str, float]) -> bool:
    return took["gap"] < GAP_MAX and took["all"] - took["ramp"] < 5 * SLOW


@pytest.mark.parametrize("order", ["patched first", "imported first"])
@pytest.mark.parametrize("driver", DRIVERS)
def test_200_at_once_take_as_long_as_one(
    driver: str,
    order: str,
    request: pytest.FixtureRequest,
    record: dict[str, dict[str, float]],
) -> None:
    client, server, more = DRIVERS[driver]
    if driver == "mysqlclient":
        pytest.importorskip("MySQLdb", reason="mysqlclient is not installed")
    address = {**request.getfixturevalue(server), **more}
    if order == "imported first":
        more = {"GREENWSGI_HUB": "epoll", **more}
    if "GREENWSGI_HUB" in os.environ:
        more = {**more, "GREENWSGI_HUB": os.environ["GREENWSGI_HUB"]}

    for _ in range(TRIES):
        took = measure(client, order, address, **more)
        if in_time(took):
            break

    record[f"{driver}, {order}"] = took
    assert in_time(took), took
