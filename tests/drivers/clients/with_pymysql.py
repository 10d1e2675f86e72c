from typing import Any

import pymysql
from measure import server


def connect(number: int) -> Any:
    # Without TLS, for which it would load all certificates of the machine at each connection.
    return pymysql.connect(
        host=server["host"], port=server["port"], user=server["user"], ssl_disabled=True
    )


def ask(connection: Any, number: int) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(0.5), %s", (number,))
        return str(cursor.fetchone()[1])


def close(connection: Any) -> None:
    connection.close()
