"""Its pool, made at import: 200 greens want a connection, and 40 get one at a time."""

from typing import Any

import sqlalchemy
from measure import server

DIALECT = server["dialect"]
SLEEP, OPTIONS = {
    "postgresql+psycopg2": ("pg_sleep", {}),
    "mysql+pymysql": ("SLEEP", {"ssl_disabled": True}),
}[DIALECT]

engine = sqlalchemy.create_engine(
    sqlalchemy.URL.create(
        DIALECT,
        username=server["user"],
        host=server["host"],
        port=server["port"],
        database=server.get("database"),
    ),
    connect_args=OPTIONS,
    pool_size=40,
    max_overflow=0,
)


def connect(number: int) -> Any:
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"SELECT {SLEEP}(0.01)"))
    return engine


def ask(engine: Any, number: int) -> str:
    with engine.connect() as connection:
        rows = connection.execute(sqlalchemy.text(f"SELECT {SLEEP}(0.1), :n"), {"n": number})
        return str(rows.one()[1])
