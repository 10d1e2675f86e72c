"""The servers under measurement, and the loads that are put on them: the one table of each."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
OUT = HERE / "out"
VENV = OUT / f"venv-{platform.python_version()}"  # Of the Python that runs this.
PYTHON = VENV / "bin" / "python"
LAUNCH = f"{PYTHON} {HERE / 'launch.py'}"
OURS = f"{PYTHON.parent / 'greenwsgi'} serve app:app --chdir {HERE} --bind 127.0.0.1:{{port}}"

#: name -> command; `{port}` is filled in.
PEERS = {
    "greenwsgi": OURS,
    "greenwsgi-epoll": "env GREENWSGI_HUB=epoll " + OURS,
    "greenwsgi-core": f"{OUT / 'build' / 'bench' / 'hello_server'} {{port}}",
    "fastwsgi": LAUNCH + " fastwsgi {port}",
    "bjoern": LAUNCH + " bjoern {port}",
    "gevent": LAUNCH + " gevent {port}",
    "eventlet": LAUNCH + " eventlet {port}",
    "gunicorn-gevent": f"{PYTHON} -m gunicorn app:app -b 127.0.0.1:{{port}} -k gevent "
    f"--worker-connections 19000 --backlog 4096 --keep-alive 120 --chdir {HERE}",
    "nginx": f"nginx -c {OUT / 'nginx.conf'}",
}
#: What `bench/setup` installs: beside green threads, and beside servers too.
GREEN_PACKAGES = ["greenlet", "gevent", "eventlet", "uvloop"]
PACKAGES = [*GREEN_PACKAGES, "gunicorn", "fastwsgi", "bjoern"]

BROWSER_HEADERS = [
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.9,de;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cache-Control: max-age=0",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Sec-Fetch-User: ?1",
    "Referer: https://example.com/some/previous/page?x=1",
    "Cookie: sid=abcdef0123456789abcdef; csrftoken=Zk3jd92kd0s9dk20dk2; theme=dark",
]


@dataclass(frozen=True)
class Work:
    """One kind of load."""

    title: str
    connections: int
    path: str
    headers: list[str] = field(default_factory=list)
    post_bytes: int = 0
    upstream: bool = False
    without: tuple[str, ...] = ()  # Servers that cannot, or would serve one call at a time.


ONE_AT_A_TIME = ("fastwsgi", "bjoern", "nginx", "greenwsgi-core")
NO_PYTHON = ("nginx", "greenwsgi-core")

WORKS = {
    "hello64": Work("hello, 64 connections", 64, "/"),
    "hello512": Work("hello, 512 connections", 512, "/"),
    "headers": Work(
        "12 headers, query, 1 KiB out",
        64,
        "/headers?page=2&sort=name&q=a%20b",
        BROWSER_HEADERS,
        without=NO_PYTHON,
    ),
    "post": Work("POST 10 KiB, echoed", 64, "/echo", post_bytes=10 * 1024, without=NO_PYTHON),
    "slow1000": Work("call sleeps 50 ms, 1000 connections", 1000, "/slow", without=ONE_AT_A_TIME),
    "slow4000": Work("call sleeps 50 ms, 4000 connections", 4000, "/slow", without=ONE_AT_A_TIME),
    "slow9000": Work("call sleeps 50 ms, 9000 connections", 9000, "/slow", without=ONE_AT_A_TIME),
    "pool": Work(
        "upstream over a pooled socket, 256 connections",
        256,
        "/upstream/pool",
        upstream=True,
        without=ONE_AT_A_TIME,
    ),
    "http": Work(
        "upstream by http.client, 256 connections",
        256,
        "/upstream/http",
        upstream=True,
        without=ONE_AT_A_TIME,
    ),
    "mebibyte": Work("1 MiB of bytes", 16, "/mebibyte", without=NO_PYTHON),
    "file": Work("1 MiB by wsgi.file_wrapper", 16, "/file", without=("fastwsgi", "greenwsgi-core")),
}

#: The figures to reach: (work, ours, peer, highest ratio of CPU time a request).
BARS = [
    ("hello64", "greenwsgi", "fastwsgi", 0.9),
    ("hello512", "greenwsgi", "fastwsgi", 0.8),
    ("headers", "greenwsgi", "fastwsgi", 0.85),
    ("post", "greenwsgi", "fastwsgi", 1.0),
    ("slow1000", "greenwsgi", "gevent", 0.15),
    ("slow4000", "greenwsgi", "gevent", 0.15),
    ("slow9000", "greenwsgi", "gevent", 0.15),
    ("pool", "greenwsgi", "gevent", 0.2),
    ("http", "greenwsgi", "gevent", 0.6),
    ("file", "greenwsgi", "nginx", 1.3),
    ("hello64", "greenwsgi-epoll", "greenwsgi", 1.1),
]
