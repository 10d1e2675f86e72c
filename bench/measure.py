"""Starting a server, loading it, and reading from /proc what that cost."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from peers import HERE, OUT, PEERS, WORKS, Work

SERVER_CORE, LOAD_CORE = "0", "1"
UPSTREAM_PORT = 8099
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """One run of one load on one server; times in microseconds, memory in MiB."""

    peer: str
    work: str
    requests: int
    requests_a_second: float
    cpu_us: float
    p50_us: float
    p99_us: float
    memory_mib: float
    server_cpu: float
    foreign_cpu: float
    errors: str


def processes(pid: int) -> list[int]:
    """`pid` and everything below it."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # It ended meanwhile.
    return found


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def machine_cpu_seconds() -> float:
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / TICKS


def memory_bytes(pids: list[int]) -> int:
    """PSS of all."""
    total = 0
    for pid in pids:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(text.split("\nPss:")[1].split()[0]) * 1024
    return total


class Server:
    """A peer on the server's core, as a context manager."""

    def __init__(self, peer: str, port: int) -> None:
        self.port = 8098 if peer == "nginx" else port
        command = ["taskset", "-c", SERVER_CORE, *shlex.split(PEERS[peer].format(port=port))]
        env = {
            **os.environ,
            "BIG_FILE": str(OUT / "mebibyte.bin"),
            "UPSTREAM_PORT": str(UPSTREAM_PORT),
        }
        with (OUT / "servers.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + 15
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    probe.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    if probe.recv(100):
                        return self
            except OSError:
                time.sleep(0.05)
        self.__exit__()
        raise RuntimeError("the server did not start: see out/servers.log")

    def __exit__(self, *exception: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(3)
            except (OSError, subprocess.TimeoutExpired):
                continue

    @property
    def pids(self) -> list[int]:
        return processes(self.process.pid)


def post_script(size: int) -> str:
    path = OUT / f"post{size}.lua"
    path.write_text(f'wrk.method = "POST"\nwrk.body = string.rep("x", {size})\n')
    return str(path)


def microseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def wrk(port: int, work: Work, seconds: float) -> str:
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{work.connections}"]
    command += [f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
    for header in work.headers:
        command += ["-H", header]
    if work.post_bytes:
        command += ["-s", post_script(work.post_bytes)]
    command.append(f"http://127.0.0.1:{port}{work.path}")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def measure(peer: str, work_name: str, seconds: float, port: int) -> Measured:
    """Warms up, then loads the server for `seconds`."""
    work = WORKS[work_name]
    upstream = None
    with Server(peer, port) as server:
        if work.upstream:
            command = [str(OUT / "build" / "bench" / "hello_server"), str(UPSTREAM_PORT)]
            upstream = subprocess.Popen(["taskset", "-c", LOAD_CORE, *command])
        try:
            wrk(server.port, work, 1)
            cpu, machine, clock = cpu_seconds(server.pids), machine_cpu_seconds(), time.monotonic()
            load = os.times()
            text = wrk(server.port, work, seconds)
            wall = time.monotonic() - clock
            server_used = cpu_seconds(server.pids) - cpu
            machine_used = machine_cpu_seconds() - machine
            after = os.times()
            load_used = after.children_user + after.children_system
            load_used -= load.children_user + load.children_system
            memory = memory_bytes(server.pids)
        finally:
            if upstream:
                upstream.kill()
                upstream.wait()
    requests = int(found(r"(\d+) requests in", text) or 0)
    errors = [found(r"Socket errors: (.*)", text), found(r"(Non-2xx.*)", text)]
    return Measured(
        peer=peer,
        work=work_name,
        requests=requests,
        requests_a_second=float(found(r"Requests/sec:\s+([\d.]+)", text) or 0),
        cpu_us=server_used / max(requests, 1) * 1e6,
        p50_us=microseconds(found(r"\s50%\s+(\S+)", text) or "0us"),
        p99_us=microseconds(found(r"\s99%\s+(\S+)", text) or "0us"),
        memory_mib=memory / 2**20,
        server_cpu=server_used / wall,
        foreign_cpu=(machine_used - server_used - load_used) / wall,
        errors="; ".join(filter(None, errors)),
    )


def idle_bytes(peer: str, connections: int, port: int) -> float:
    """PSS that one idle keep-alive connection adds to the server, in bytes."""
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Server(peer, port) as server:
        wrk(server.port, WORKS["hello64"], 1)
        before = memory_bytes(server.pids)
        clients = []
        for number in range(connections):
            client = socket.create_connection(
                ("127.0.0.1", server.port), source_address=(f"127.0.1.{1 + number % 8}", 0)
            )
            client.sendall(request)
            client.recv(4096)
            clients.append(client)
        grown = memory_bytes(server.pids) - before
        for client in clients:
            client.close()
    return grown / connections


def as_record(measured: Measured) -> dict[str, object]:
    return asdict(measured)


__all__ = ["HERE", "Measured", "as_record", "idle_bytes", "measure"]
