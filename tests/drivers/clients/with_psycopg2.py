from typing import Any

import psycopg2
from measure import server


def connect(number: int) -> Any:
    return psycopg2.connect(
        host=server["host"],
        port=server["port"],
        user=server["user"],
        dbname=server["database"],
    )


def ask(connection: Any, number: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5), %s", (number,))
        return str(cursor.fetchone()[1])


def close(connection: Any) -> None:
    connection.close()
