"""psycopg 3; PSYCOPG_IMPL says which of its two implementations."""

import os
from typing import Any

import psycopg
from measure import server

assert psycopg.pq.__impl__ == os.environ["PSYCOPG_IMPL"]


def connect(number: int) -> Any:
    return psycopg.connect(
        host=server["host"],
        port=server["port"],
        user=server["user"],
        dbname=server["database"],
    )


def ask(connection: Any, number: int) -> str:
    return str(connection.execute("SELECT pg_sleep(0.5), %s::int", (number,)).fetchone()[1])


def close(connection: Any) -> None:
    connection.close()
