"""20 connections of 10 channels each: the arithmetic of 200 handshakes would take too long here."""

from typing import Any

import paramiko
from measure import server

import green

RAMP = 1.0  # The connections' 20 native threads want the GIL as well.

connections: dict[int, Any] = {}
lock = green.Semaphore()


def connect(number: int) -> Any:
    with lock:
        if number % 20 not in connections:
            client = paramiko.SSHClient()
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
            client.connect(
                server["host"],
                server["port"],
                server["user"],
                key_filename=server["key"],
                allow_agent=False,
                look_for_keys=False,
                timeout=30,
            )
            connections[number % 20] = client
    return connections[number % 20]


def ask(client: Any, number: int) -> str:
    _, output, _ = client.exec_command(f"sleep 0.5; echo {number}")
    return str(output.read().decode().strip())
