"""Each group of hooks refused by force: the others are in place, it falls back and says so."""

from __future__ import annotations

import time
from typing import Any

from patched import Ticker, isolated, together

ONCE = "a group is refused when the process is patched, which is once"  # leaks.py


def refused(group: str) -> str:
    """Patches with one group refused; how it fell back."""
    from green import _core
    from green.patch import install

    messages = dict(message.split(": ", 1) for message in install())
    how = messages.pop(group)
    assert how.endswith("(refused by GREENWSGI_PATCH_REFUSE)")
    report = _core.patch_report()
    assert report.pop(group) == how
    for other, why in messages.items():
        assert why.endswith(f"it needs the group {group}, which is not in place)"), why
        assert report.pop(other) == why
    assert set(report.values()) == {"in place"}
    return how


@isolated(GREENWSGI_PATCH_REFUSE="sleep")
def test_sleep() -> None:
    assert refused("sleep").startswith("replaced by name: time.sleep")
    began = time.monotonic()

    together(*[lambda: time.sleep(0.1)] * 40)

    assert 0.1 <= time.monotonic() - began < 2


@isolated(GREENWSGI_PATCH_REFUSE="lock")
def test_locks() -> None:
    import threading

    assert "threading.Lock" in refused("lock")
    lock = threading.Lock()
    condition = threading.Condition(threading.Lock())
    order: list[int] = []

    def enter(number: int) -> None:
        with lock:
            order.append(number)
            time.sleep(0.001)
            order.append(number)

    def wait() -> bool:
        with condition:
            return condition.wait(5)

    def notify() -> None:
        time.sleep(0.01)
        with condition:
            condition.notify()

    assert together(*[lambda n=n: enter(n) for n in range(5)], wait, notify)[5] is True
    assert order == [n for n in range(5) for _ in range(2)]
    lock.acquire()
    assert together(lambda: lock.acquire(timeout=0.01)) == [False]
    owned = threading.RLock()  # Hooked in place all the same.
    with owned:
        assert together(lambda: owned.acquire(timeout=0.01)) == [False]
    assert together(owned.acquire) == [True]


@isolated(GREENWSGI_PATCH_REFUSE="rlock")
def test_rlocks() -> None:
    import threading

    assert "threading.RLock" in refused("rlock")
    lock = threading.RLock()
    order: list[int] = []

    def enter(number: int) -> None:
        with lock, lock:
            order.append(number)
            time.sleep(0.001)
            order.append(number)

    together(*[lambda n=n: enter(n) for n in range(5)])

    assert order == [n for n in range(5) for _ in range(2)]


@isolated(GREENWSGI_PATCH_REFUSE="queue")
def test_simple_queues() -> None:
    import queue

    assert "queue.SimpleQueue" in refused("queue")
    items: Any = queue.SimpleQueue()

    assert together(items.get, lambda: (time.sleep(0.01), items.put(5)))[0] == 5


@isolated(GREENWSGI_PATCH_REFUSE="socket")
def test_sockets() -> None:
    import socket

    assert "socket.socket" in refused("socket")
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        peer, _ = server.accept()
        with peer, peer.makefile("rb") as lines:
            peer.sendall(lines.readline() * 100_000)

    def ask() -> int:
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            client.sendall(b"hello\n")
            total = 0
            while data := client.recv(65536):
                total += len(data)
            return total

    with Ticker() as ticker:
        assert together(serve, ask) == [None, 600_000]
        server.settimeout(0.02)
        assert together(lambda: type_of_error(server.accept)) == [TimeoutError]

    assert ticker.turns > 1


def type_of_error(function: Any) -> Any:
    try:
        return function()
    except Exception as error:
        return type(error)


@isolated(GREENWSGI_PATCH_REFUSE="names")
def test_names() -> None:
    import socket

    assert "socket.getaddrinfo" in refused("names")

    (answers,) = together(lambda: socket.getaddrinfo("127.0.0.1", 80, socket.AF_INET))

    assert answers[0][4] == ("127.0.0.1", 80)


@isolated(GREENWSGI_PATCH_REFUSE="select")
def test_select() -> None:
    import select
    import socket

    assert "select.select" in refused("select")
    one, two = socket.socketpair()

    with Ticker() as ticker:
        ready = together(
            lambda: select.select([one], [], [], 5), lambda: (ticker.have_turns(), two.send(b"x"))
        )[0]

    assert ready == ([one], [], [])
    ticker.assert_kept_running()


@isolated(GREENWSGI_PATCH_REFUSE="process")
def test_processes() -> None:
    import os

    assert "os.waitpid" in refused("process")
    read_end, write_end = os.pipe()
    files = [(os.POSIX_SPAWN_DUP2, read_end, 0)]
    pid = os.posix_spawnp("cat", ["cat"], os.environ, file_actions=files)

    ended, _ = together(lambda: os.waitpid(pid, 0), lambda: os.close(write_end))

    assert ended == (pid, 0)


@isolated(GREENWSGI_PATCH_REFUSE="descriptor")
def test_descriptors() -> None:
    import os

    assert "os.read" in refused("descriptor")
    read_end, write_end = os.pipe()

    assert together(lambda: os.read(read_end, 9), lambda: os.write(write_end, b"abc"))[0] == b"abc"


@isolated(GREENWSGI_PATCH_REFUSE="thread")
def test_threads() -> None:
    assert refused("thread").startswith("not patched, blocks the thread")


@isolated(GREENWSGI_PATCH_REFUSE="sleep,select")
def test_monkey_patch_warns_of_each_group() -> None:
    import warnings

    from green.patch import monkey_patch, patch_report

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monkey_patch()
        monkey_patch()

    assert [str(one.message).split(":")[0] for one in caught] == ["sleep", "select"]
    assert patch_report().groups["socket"] == "in place"


@isolated(GREENWSGI_PATCH_REFUSE="file")
def test_files() -> None:
    assert refused("file").startswith("not patched")


@isolated(GREENWSGI_PATCH_REFUSE="buffered")
def test_buffered_files() -> None:
    assert refused("buffered").startswith("not patched")


@isolated(GREENWSGI_PATCH_REFUSE="open")
def test_opening_files() -> None:
    assert refused("open").startswith("not patched")


@isolated(GREENWSGI_PATCH_REFUSE="signal")
def test_signals() -> None:
    assert refused("signal").startswith("not patched")


@isolated(GREENWSGI_PATCH_REFUSE="mask")
def test_signal_masks() -> None:
    import signal

    assert refused("mask").startswith("not patched, the greens of a thread have one signal mask")
    together(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]))
    assert together(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [])) == [{signal.SIGUSR1}]


@isolated(GREENWSGI_PATCH_REFUSE="trace")
def test_trace_functions_of_all_threads() -> None:
    assert refused("trace").startswith("not patched, settrace_all_threads() misses greens that")


@isolated(GREENWSGI_PATCH_REFUSE="semlock")
def test_locks_that_processes_share() -> None:
    assert refused("semlock").startswith("not patched")
