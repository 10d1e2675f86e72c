"""C code that only knows how to block: each call of it goes to a native thread."""

from typing import Any

import MySQLdb
from measure import server

from green import native

native.set_size(200)  # As many as there are greens.


def connect(number: int) -> Any:
    return native.call(
        MySQLdb.connect, host=server["host"], port=server["port"], user=server["user"]
    )


def ask(connection: Any, number: int) -> str:
    cursor = connection.cursor()
    native.call(cursor.execute, "SELECT SLEEP(0.5), %s", (number,))
    return str(cursor.fetchone()[1])


def close(connection: Any) -> None:
    native.call(connection.close)
