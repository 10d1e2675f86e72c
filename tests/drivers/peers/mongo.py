"""mongo.py: as much of MongoDB's protocol as a driver needs to send commands. No database.

`{"slow": n}` is answered with `{"n": n}` after half a second, everything else at once.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import bson

SLOW = 0.5
OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
HELLO = {
    "ismaster": True,
    "isWritablePrimary": True,
    "helloOk": True,
    "maxBsonObjectSize": 1 << 24,
    "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "readOnly": False,
    "ok": 1.0,
}


async def answer_to(command: dict[str, Any]) -> dict[str, Any]:
    name = next(iter(command))
    if name in ("hello", "ismaster", "isMaster"):
        return HELLO
    if name == "slow":
        await asyncio.sleep(SLOW)
        return {"n": command["slow"], "ok": 1.0}
    return {"ok": 1.0}


def command_in(kind: int, body: bytes) -> dict[str, Any]:
    if kind == OP_MSG:  # Flags, then one section of kind 0.
        return bson.decode(body[5:])
    end_of_name = body.index(b"\0", 4)  # Flags, the collection's name, two numbers.
    return bson.decode(body[end_of_name + 9 :])


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            size, number, _, kind = struct.unpack("<iiii", await reader.readexactly(16))
            answer = bson.encode(
                await answer_to(command_in(kind, await reader.readexactly(size - 16)))
            )
            if kind == OP_MSG:
                kind, body = OP_MSG, struct.pack("<IB", 0, 0) + answer
            else:
                kind, body = OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer
            writer.write(struct.pack("<iiii", 16 + len(body), 0, number, kind) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
