"""C code that only knows how to block: each call of it goes to a native thread."""

from typing import Any

import MySQLdb
from measure import server

from green._core import call_natively


def connect(number: int) -> Any:
    return call_natively(
        MySQLdb.connect, host=server["host"], port=server["port"], user=server["user"]
    )


def ask(connection: Any, number: int) -> str:
    cursor = connection.cursor()
    call_natively(cursor.execute, "SELECT SLEEP(0.5), %s", (number,))
    return str(cursor.fetchone()[1])


def close(connection: Any) -> None:
    call_natively(connection.close)
