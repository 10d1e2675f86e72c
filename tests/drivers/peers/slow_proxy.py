"""slow_proxy.py PORT: hands on what comes to the server there, half a second after it has come."""

from __future__ import annotations

import asyncio
import sys

SLOW = 0.5


async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float) -> None:
    while data := await source.read(65536):
        await asyncio.sleep(delay)
        target.write(data)
        await target.drain()
    target.close()


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answers, requests = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    await asyncio.gather(pipe(reader, requests, SLOW), pipe(answers, writer, 0))


async def main() -> None:
    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
