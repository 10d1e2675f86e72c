from typing import Any

import pymongo
from measure import server

client = pymongo.MongoClient(server["host"], server["port"], directConnection=True, maxPoolSize=250)


def connect(number: int) -> Any:
    assert client.db.command("ping")["ok"] == 1
    return client.db


def ask(database: Any, number: int) -> str:
    return str(database.command({"slow": number})["n"])
