"""web.py CERTIFICATE: an HTTP/1.1 server, plain and with TLS; a stub of S3 as well.

It takes half a second for a path that begins with /slow/. GET answers what was PUT there, else the
last part of the path.
"""

from __future__ import annotations

import asyncio
import ssl
import sys

SLOW = 0.5
stored: dict[str, bytes] = {}


async def body_of(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    return bytes(body)


def decoded(body: bytes, headers: dict[str, str]) -> bytes:
    """What is left of S3's own chunks, which stand inside of HTTP's."""
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return body
    size, _, rest = body.partition(b"\r\n")
    return rest[: int(size.split(b";")[0], 16)]


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request and its answer; False when there is no other."""
    words = (await reader.readline()).decode().split()
    if not words:
        return False
    method, path, _ = words
    headers = {}
    while line := (await reader.readline()).decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await body_of(reader, headers)
    if path.startswith("/slow/"):
        await asyncio.sleep(SLOW)
    answer = b""
    if method == "PUT":
        stored[path] = decoded(body, headers)
    else:
        answer = stored.get(path, path.rsplit("/", 1)[-1].encode())
    writer.write(b'HTTP/1.1 200 OK\r\nETag: "0"\r\nContent-Length: %d\r\n\r\n' % len(answer))
    writer.write(answer)
    await writer.drain()
    return True


async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await exchange(reader, writer):
            pass
    except ConnectionError:
        pass
    finally:
        writer.close()


async def main() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[1])
    plain = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
    tls = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512, ssl=context)
    print(plain.sockets[0].getsockname()[1], tls.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(plain.serve_forever(), tls.serve_forever())


asyncio.run(main())
