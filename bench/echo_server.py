"""echo_server.py RUNTIME [CERTIFICATE] - echoes on 127.0.0.1; prints the port it listens on.

Greens, and native threads ("plain"), run the same blocking code. The loops of asyncio run a
Protocol, which is their quickest way, or streams. With a certificate (and key, in one file): TLS.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

CHUNK = 4096


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


async def echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):  # The load leaves with messages in flight.
        while data := await reader.read(CHUNK):
            writer.write(data)
    writer.close()


async def serve_loop(streams: bool, context: object) -> None:
    if streams:
        server = await asyncio.start_server(echo_stream, "127.0.0.1", 0, backlog=512, ssl=context)
    else:
        server = await asyncio.get_running_loop().create_server(
            Echo, "127.0.0.1", 0, backlog=512, ssl=context
        )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def serve_blocking(context: object) -> None:
    import socket
    import threading

    def serve(client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            client = context.wrap_socket(client, server_side=True)  # type: ignore[attr-defined]
        receive, send = client.recv, client.sendall
        with suppress(OSError):
            while data := receive(CHUNK):
                send(data)
        client.close()

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client,), daemon=True).start()


def patch(runtime: str) -> None:
    if runtime == "green":
        import green

        green.monkey_patch()
    elif runtime == "gevent":
        from gevent import monkey

        monkey.patch_all()
    elif runtime == "eventlet":
        import eventlet

        eventlet.monkey_patch()


def main() -> None:
    runtime, *certificate = sys.argv[1:]
    patch(runtime)
    context = None
    if certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[0])
    loop, _, kind = runtime.partition("-")
    if loop == "uvloop":
        import uvloop

        uvloop.run(serve_loop(kind == "streams", context))
    elif loop == "asyncio":
        asyncio.run(serve_loop(kind == "streams", context))
    else:
        serve_blocking(context)


if __name__ == "__main__":
    main()
