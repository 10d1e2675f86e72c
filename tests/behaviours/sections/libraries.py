"""C libraries: behaviours 17 to 19. Drivers that are not installed are left out, and said so."""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import importlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import layer
from layer import NativeThread, together
from support import HERE, Skip, child, code_command, directory, run_code, scenario, stub, turning

CONNECTIONS = 10
MONGO = HERE.parent / "drivers" / "peers" / "mongo.py"
RPC = HERE.parent / "drivers" / "peers" / "rpc.py"


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise Skip(f"{name} is not installed") from error


def assert_cooperates(connect: Callable[[], Any], ask: Callable[[Any], Any]) -> None:
    """Ten connections ask what takes 0.3 s: together as long as one, and nobody is held up."""
    connections = [connect() for _ in range(CONNECTIONS)]
    began = time.monotonic()
    with turning():
        answers = together(*[lambda each=each: ask(each) for each in connections])
    took = time.monotonic() - began
    assert all(answer in ("slow", b"slow") for answer in answers), answers
    assert took < 1.5, f"one after the other: {took:.1f} s"


def query(connection: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT slow")
        return cursor.fetchone()[0]


@scenario(17, timed=True)
def psycopg2() -> None:
    """psycopg2 cooperates after the patch alone."""
    driver = library("psycopg2")
    with stub("postgres") as port:
        assert_cooperates(
            lambda: driver.connect(host="127.0.0.1", port=port, user="u", dbname="d"), query
        )


@scenario(17, timed=True)
def psycopg_3() -> None:
    """psycopg 3 cooperates after the patch alone."""
    driver = library("psycopg")
    with stub("postgres") as port:
        assert_cooperates(
            lambda: driver.connect(host="127.0.0.1", port=port, user="u", dbname="d"), query
        )


@scenario(17, timed=True)
def pymysql() -> None:
    """PyMySQL cooperates after the patch alone."""
    driver = library("pymysql")
    with stub("mysql") as port:
        assert_cooperates(
            lambda: driver.connect(host="127.0.0.1", port=port, user="u", ssl_disabled=True), query
        )


@scenario(17, timed=True)
def redis_py() -> None:
    """redis-py cooperates after the patch alone."""
    driver = library("redis")
    with stub("redis") as port:

        def connect() -> Any:
            client = driver.Redis(port=port, protocol=2, single_connection_client=True)
            client.ping()
            return client

        assert_cooperates(connect, lambda client: client.echo("slow"))


@scenario(17, timed=True)
def pymongo() -> None:
    """pymongo cooperates after the patch alone."""
    driver = library("pymongo")
    with child([sys.executable, "-P", str(MONGO)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        client = driver.MongoClient(
            "127.0.0.1", int(server.stdout.readline()), directConnection=True
        )
        client.admin.command("ping")

        def ask(number: int) -> str:
            assert client.admin.command("slow", number)["n"] == number
            return "slow"

        assert_cooperates(lambda: 7, ask)


@contextmanager
def url() -> Iterator[str]:
    with stub("http") as port:
        yield f"http://127.0.0.1:{port}"


@scenario(17, timed=True)
def requests() -> None:
    """requests cooperates after the patch alone."""
    driver = library("requests")
    with url() as base:
        session = driver.Session()
        session.trust_env = False
        session.get(base)
        assert_cooperates(lambda: session, lambda one: one.get(f"{base}/slow").content)


@scenario(17, timed=True)
def urllib3() -> None:
    """urllib3 cooperates after the patch alone."""
    pool = library("urllib3").PoolManager(maxsize=CONNECTIONS)
    with url() as base:
        pool.request("GET", base)
        assert_cooperates(lambda: pool, lambda one: one.request("GET", f"{base}/slow").data)


@scenario(17, timed=True)
def httpx() -> None:
    """httpx cooperates after the patch alone."""
    driver = library("httpx")
    with url() as base, driver.Client(trust_env=False) as client:
        client.get(base)
        assert_cooperates(lambda: client, lambda one: one.get(f"{base}/slow").content)


@scenario(17, timed=True)
def boto3() -> None:
    """boto3 cooperates after the patch alone."""
    driver = library("boto3")
    with url() as base:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "eu-west-1"}
        client = driver.client("s3", endpoint_url=base, **keys)
        client.get_object(Bucket="bucket", Key="quick")["Body"].read()
        assert_cooperates(
            lambda: client, lambda one: one.get_object(Bucket="b", Key="slow")["Body"].read()
        )


@scenario(17, timed=True)
def sqlite_in_the_pool() -> None:
    """A query that computes in C goes to the offered pool, and nobody is held up."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000) "

    def ask() -> int:
        return int(connection.execute(text + "SELECT count(*) FROM n").fetchone()[0])

    with turning():
        assert layer.in_pool(ask) == 2_000_000


@scenario(17, timed=True)
def flock_in_the_pool() -> None:
    """A lock of a file that another process holds is waited for in the pool."""
    with directory() as place, open(place / "file", "w") as file:
        command = ["flock", str(place / "file"), "sh", "-c", "echo held; exec sleep 0.5"]
        with child(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            with turning():
                layer.in_pool(fcntl.flock, file.fileno(), fcntl.LOCK_EX)


@scenario(17, timed=True)
def pool_takes_what_blocks_in_c() -> None:
    """Ten calls that sleep in C, in the pool: as long as one, and their errors arrive."""
    libc = ctypes.CDLL(None)
    began = time.monotonic()
    with turning():
        together(*[lambda: layer.in_pool(libc.usleep, 300_000)] * 10)
    assert time.monotonic() - began < 1.5
    try:
        layer.in_pool(os.stat, "/no/such/file")
        raise AssertionError("it is not there")
    except FileNotFoundError:
        pass


# --- 18

BLOCK = """
import time
def the_culprit(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass
    return "went on"
layer.watch_hub(1)
others = layer.spawn(layer.sleep, 1.5)
layer.sleep(0.3)
"""


@scenario(18, late=True, timed=True)
def blocked_hub_is_reported() -> None:
    """Who blocks the hub for 2.5 times the limit is named, with its stack, once, and goes on."""
    code = BLOCK + "print(layer.result(layer.spawn(the_culprit, 2.5)))\nlayer.sleep(0.3)\n"
    done = run_code(code, timeout=15)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "went on\n", "the culprit did not survive it"
    assert "the_culprit" in done.stderr, f"nobody is named: {done.stderr}"
    reports = len(re.findall("(?:is|to be) blocked", done.stderr))
    assert reports == 1, f"{reports} reports"


@scenario(18, late=True, timed=True)
def blocked_hub_is_reported_in_time() -> None:
    """The report comes within twice the limit, while the hub is blocked."""
    code = BLOCK + "layer.result(layer.spawn(the_culprit, 4))\n"
    began = time.monotonic()
    with child(code_command(code), stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if b"the_culprit" in line:
                break
        else:
            raise AssertionError("nobody is named")
        took = time.monotonic() - began
    assert took < 0.3 + 2.0 + 0.7, f"{took:.1f} s after the start"


@scenario(18)
def watch_uses_no_signals() -> None:
    """The watch leaves signals alone."""
    before = [signal.getsignal(each) for each in signal.valid_signals()]
    layer.watch_hub(1)
    layer.sleep(0.05)
    timers = [signal.getitimer(each) for each in (signal.ITIMER_REAL, signal.ITIMER_PROF)]
    assert [signal.getsignal(each) for each in signal.valid_signals()] == before
    assert timers == [(0.0, 0.0)] * 2, "a timer of the system is set"


def processor_time() -> float:
    """Of all threads but this one, in seconds."""
    own = threading.get_native_id()
    found = 0
    for each in Path("/proc/self/task").iterdir():
        if int(each.name) != own:
            found += int((each / "schedstat").read_text().split()[0])
    return found / 1e9


@scenario(18, timed=True)
def watch_costs_little() -> None:
    """The watch takes under 1 % of a processor, also when the hub is busy."""
    layer.watch_hub(0.5 if layer.runtime != "eventlet" else 1)
    layer.sleep(0.1)
    before, began = processor_time(), time.monotonic()
    while time.monotonic() - began < 1.0:
        layer.sleep(0)
    cost = (processor_time() - before) / (time.monotonic() - began)
    assert cost < 0.01, f"{cost:.1%}"


# --- 19


@scenario(19, timed=True)
def grpc() -> None:
    """grpcio: plain calls, as its island or with the runtime's help, hold up nobody."""
    library("grpc")
    if layer.runtime == "gevent":
        import grpc.experimental.gevent as support_of_grpc

        support_of_grpc.init_gevent()
    import grpc

    with child([sys.executable, "-P", str(RPC)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        channel = grpc.insecure_channel(f"127.0.0.1:{int(server.stdout.readline())}")
        slow = channel.unary_unary("/test.Slow/Ask")
        call = slow if layer.runtime == "gevent" else lambda text: layer.in_pool(slow, text)
        call(b"first")
        assert_cooperates(lambda: call, lambda one: one(b"slow"))


def compiled(source: str, place: Path) -> ctypes.CDLL:
    if shutil.which("g++") is None:
        raise Skip("no C++ compiler here")
    (place / "library.cpp").write_text(source)
    command = ["g++", "-shared", "-fPIC", "-pthread", "-o", "library.so", "library.cpp"]
    subprocess.run(command, cwd=place, check=True)
    return ctypes.CDLL(str(place / "library.so"))


@scenario(19)
def python_called_from_a_catch_block() -> None:
    """C++ that calls Python in a catch block, and throws on, keeps its own exception."""
    source = """
extern "C" int guarded(int number, void (*call)()) {
  try {
    try { throw number; } catch (...) { call(); throw; }
  } catch (int caught) { return caught; }
}
"""
    with directory() as place:
        guarded = compiled(source, place).guarded
    switch = ctypes.CFUNCTYPE(None)(lambda: layer.sleep(0.01))
    found = together(*[lambda each=each: guarded(each, switch) for each in range(20)])
    assert found == list(range(20)), f"exceptions were mixed up: {found}"


@scenario(19)
def python_called_from_foreign_threads() -> None:
    """Threads that C has started call Python, which uses locks and queues of greens."""
    source = """
#include <thread>
extern "C" void start(void (*call)()) { std::thread(call).detach(); }
"""
    with directory() as place:
        start = compiled(source, place).start
    lock, count = threading.Lock(), [0]

    def work() -> None:
        for _ in range(100):
            with lock:
                count[0] += 1

    call = ctypes.CFUNCTYPE(None)(work)
    for _ in range(4):
        start(call)
    together(work, work)
    end = time.monotonic() + 10
    while count[0] < 600 and time.monotonic() < end:
        layer.sleep(0.01)
    assert count[0] == 600, count


@scenario(19, timed=True)
def asyncio_library_beside_greens() -> None:
    """A loop on a native thread, and greens that ask it by run_coroutine_threadsafe()."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(3)

    def run() -> None:
        asyncio.run(serve())

    async def work(number: int) -> int:
        await asyncio.sleep(0.2)
        return number

    NativeThread(run)
    while not loops:
        layer.sleep(0.01)
    layer.sleep(0.05)

    def ask(number: int) -> int:
        return asyncio.run_coroutine_threadsafe(work(number), loops[0]).result(timeout=10)

    with turning():
        assert together(*[lambda each=each: ask(each) for each in range(10)]) == list(range(10))
