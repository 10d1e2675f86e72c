#!/usr/bin/env python3
"""Instructions a request, by part of its way, counted by callgrind on the epoll hub.

    bench/instructions.py [--python PYTHON] [path]

Repeatable to the digit for one binary, whatever else the machine does. Callgrind counts what runs
in user space; the kernel's part, most of a request's time, is not in it. Needs Debian's `valgrind`
and an interpreter that imports green, from a build with debug information (./dev build).
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # With PYTHONSAFEPATH Python does not.

from peers import BROWSER_HEADERS, HERE

REQUESTS = 1000
#: What is told, and the function whose inclusive count it is.
PARTS = {
    "whole request": None,
    "parsing": "greenwsgi::http::RequestParser::next(",
    "environ": "src/wsgi/environ.cpp:",
    "start_response": "wsgi::(anonymous namespace)::call_it(",
    "response head, framing, send": "greenwsgi::server::Exchange::send_head(",
    "end of the response head": "greenwsgi::http::ResponseHead::end(",
}


def request(path: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost"]
    if path != "/":
        lines += BROWSER_HEADERS
    return "\r\n".join([*lines, "", ""]).encode()


def send(port: int, message: bytes, count: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        for _ in range(count):
            client.sendall(message)
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                sys.exit("instructions.py: the server did not answer 200")


def wait_for_port(log: Path) -> int:
    for _ in range(600):
        if found := re.search(r"listening on http://[\d.]+:(\d+)", log.read_text()):
            return int(found[1])
        time.sleep(0.1)
    sys.exit(f"instructions.py: the server did not start:\n{log.read_text()}")


def control(pid: int, *options: str) -> None:
    subprocess.run(["callgrind_control", *options, str(pid)], check=True, capture_output=True)


def count(python: str, path: str, directory: Path) -> str:
    """The annotated inclusive counts of `REQUESTS` requests."""
    log, output = directory / "log", directory / "counts"
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
    command += ["--instr-atstart=no", python, "-P", "-m", "green", "serve", "app:app"]
    command += ["--chdir", str(HERE), "--bind", "127.0.0.1:0"]
    env = {**os.environ, "GREENWSGI_HUB": "epoll"}
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env=env)
    try:
        port = wait_for_port(log)
        send(port, request(path), 100)
        control(server.pid, "-i", "on")
        send(port, request(path), REQUESTS)
        control(server.pid, "-d")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    annotate = ["callgrind_annotate", "--inclusive=yes", "--threshold=100", f"{output}.1"]
    return subprocess.run(annotate, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", default="/", help="other than /: a browser's headers")
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        text = count(arguments.python, arguments.path, Path(directory))
    for part, function in PARTS.items():
        pattern = r"PROGRAM TOTALS" if function is None else re.escape(function)
        counts = [
            int(line.split("(")[0].replace(",", ""))
            for line in text.splitlines()
            if re.search(pattern, line) and re.match(r"\s*[\d,]+ \(", line)
        ]
        print(f"{part:32} {max(counts) / REQUESTS:8.0f}" if counts else f"{part:32} inlined")


if __name__ == "__main__":
    main()
