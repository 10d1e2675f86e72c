"""mail.py: an SMTP server that takes half a second for a message and answers its last line."""

from __future__ import annotations

import asyncio
from typing import Any

from aiosmtpd.smtp import SMTP

SLOW = 0.5


class Handler:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        await asyncio.sleep(SLOW)
        return f"250 {envelope.content.split()[-1].decode()}"


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), hostname="test.invalid", loop=loop), "127.0.0.1", 0, backlog=512
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
