"""Ports for what cannot choose one by itself."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

LOWEST = 10_000  # Below are services that have names.


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has, nor gets who binds port 0 (ip(7), ip_local_port_range).

    Only who asks for this very number can take it before the caller does.
    """
    first, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    while True:
        port = random.randrange(LOWEST, int(first) if int(first) > 2 * LOWEST else 1 << 16)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
