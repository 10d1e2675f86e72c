"""Name look-ups, select, epoll, asyncio, hundreds of waits, the end of native threads; patched."""

from __future__ import annotations

import asyncio
import concurrent.futures
import encodings.idna  # noqa: F401  To import it later may take a thread, to read its file.
import os
import select
import selectors
import socket
import threading
import time
from typing import Any

from leaks import once
from patched import Index, Ticker, assert_same, isolated, outcome, patch, start_natively, together

selector = selectors.DefaultSelector()
pool = concurrent.futures.ThreadPoolExecutor(4)


# --- Names


@isolated
def test_answers_and_errors_of_look_ups_are_libcs_own() -> None:
    def outcomes() -> list[Any]:
        inet = socket.AF_INET
        # Whether this machine knows the name "localhost" does not matter: the answers are compared.
        return [
            outcome(socket.getaddrinfo, "localhost", 80, inet, socket.SOCK_STREAM),
            outcome(socket.getaddrinfo, "127.0.0.1", "http", type=socket.SOCK_STREAM),
            outcome(socket.getaddrinfo, None, 80, flags=socket.AI_PASSIVE),
            outcome(socket.getaddrinfo, "::1", 80, proto=socket.IPPROTO_TCP),
            outcome(socket.getaddrinfo, "no.such.host.invalid", 80),
            outcome(socket.getaddrinfo, "localhost", "no such service"),
            outcome(socket.getaddrinfo, 5, 80),
            outcome(socket.getaddrinfo, "localhost"),
            outcome(socket.getaddrinfo, "localhost", 80, what=1),
            outcome(socket.gethostbyname, "localhost"),
            outcome(socket.gethostbyname, "127.0.0.1"),
            outcome(socket.gethostbyname, "no.such.host.invalid"),
            outcome(socket.gethostbyname, None),
            outcome(socket.gethostbyname_ex, "localhost"),
            outcome(socket.gethostbyaddr, "127.0.0.1"),
            outcome(socket.gethostbyaddr, "no.such.host.invalid"),
            outcome(socket.getnameinfo, ("127.0.0.1", 80), 0),
            outcome(socket.getnameinfo, ("127.0.0.1", 80), socket.NI_NUMERICHOST),
            outcome(socket.getnameinfo, ("no address", 80), 0),
        ]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_literal_addresses_start_no_thread() -> None:
    patch()

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = together(threads)[0]

    for host in ("127.0.0.1", "::1", "fe80::1%lo", "", None, b"10.0.0.1"):
        together(lambda host=host: outcome(socket.getaddrinfo, host, 80))

    assert together(threads) == [before]


@isolated
@once("killed greens leave their calls behind, which go on for a while")
def test_two_hundred_stalled_look_ups_stop_nobody() -> None:
    patch()
    from green import _core

    resolver = socket.socket(type=socket.SOCK_DGRAM)
    resolver.bind(("127.0.0.1", 0))  # Never answers: what asks it is stalled.
    asking: set[int] = set()

    def look_up() -> bytes:
        with socket.socket(type=socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.connect(resolver.getsockname())
            asking.add(threading.get_native_id())
            return asker.recv(512)

    stalled = [_core.spawn(_core.call_natively, look_up) for _ in range(200)]
    while len(asking) < 200:  # So many threads take their time of the GIL to begin.
        time.sleep(0.01)

    with Ticker() as ticker:
        while ticker.turns < 20:
            time.sleep(0.01)

    assert not any(green.dead for green in stalled)
    ticker.assert_kept_running()
    for green in stalled:
        green.kill()
        green.join()


# --- select


@isolated
def test_select_wakes_for_the_first_that_is_ready() -> None:
    patch()
    pairs = [socket.socketpair() for _ in range(10)]
    readers = [one for one, _ in pairs]

    def send() -> None:
        time.sleep(0.01)
        pairs[7][1].send(b"x")

    with Ticker() as ticker:
        ready = together(lambda: select.select(iter(readers), [], [], 5), send)[0]
        assert ready == ([readers[7]], [], [])
        assert select.select(readers, [readers[0]], [], 5)[1] == [readers[0]]
        began = time.monotonic()
        assert together(lambda: select.select(readers[:3], [], readers, 0.05)) == [([], [], [])]
        assert time.monotonic() - began >= 0.05
        assert select.select([], [], [], 0.01) == ([], [], [])

    ticker.assert_kept_running()


@isolated
def test_wrong_arguments_of_select_raise_what_they_raise_unpatched() -> None:
    calls: list[tuple[Any, ...]] = [
        ([], [], [], -1),
        ([], [], [], "x"),
        ([], [], [], float("nan")),
        ([], []),
        (5, [], []),
        ([-1], [], [], 1),
        (["x"], [], [], 1),
        ([100000], [], [], 1),
        ([987], [], [], 1),
    ]

    def outcomes() -> list[Any]:
        return [outcome(select.select, *arguments) for arguments in calls]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_select_keeps_its_time_out_also_for_what_it_cannot_wait_for() -> None:
    patch()
    with open("/etc/passwd") as file, Ticker() as ticker:  # Never in an exceptional state.
        assert together(lambda: select.select([], [], [file], 0.2)) == [([], [], [])]

    ticker.assert_kept_running()


class Shortens:
    """A file whose fileno() takes the last one off the list it stands in."""

    def __init__(self, files: list[Any], fd: int) -> None:
        self.files = files
        self.fd = fd

    def fileno(self) -> int:
        del self.files[-1]
        return self.fd


@isolated
def test_select_sees_a_list_as_its_files_leave_it() -> None:
    read_end, write_end = os.pipe()

    def ready_count() -> list[int]:
        files: list[Any] = []
        files += [Shortens(files, write_end) for _ in range(10)]
        return [len(ready) for ready in select.select([], files, [], 5)]

    def silent() -> list[int]:
        return [len(ready) for ready in select.select((read_end,), (), iter([read_end]), 0.01)]

    before = [ready_count(), silent()]
    patch()

    assert_same(*together(lambda: [ready_count(), silent()]), before)
    assert before == [[0, 5, 0], [0, 0, 0]]


@isolated
def test_poll_judges_its_time_out_first_also_when_something_is_ready() -> None:
    _, write_end = os.pipe()
    poll = select.poll()
    poll.register(write_end, select.POLLOUT)

    def outcomes() -> list[Any]:
        values = [1 << 31, 1 << 64, -(1 << 64), 1e300, -1e300, float("nan"), "1", 0, -1, 2.5, True]
        return [outcome(poll.poll, value) for value in values]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
@once("it closes what its module made")
def test_epoll_and_selectors_made_before_cooperate() -> None:
    patch()
    one, two = socket.socketpair()
    selector.register(one, selectors.EVENT_READ)
    poll = select.epoll()
    poll.register(one, select.EPOLLIN)

    def send() -> None:
        time.sleep(0.05)
        two.send(b"x")

    with Ticker() as ticker:
        assert together(lambda: poll.poll(0.01)) == [[]]
        results = together(lambda: selector.select(5), lambda: poll.poll(), send)

    assert results[0][0][0].fileobj is one
    assert results[1] == [(one.fileno(), select.EPOLLIN)]
    ticker.assert_kept_running()


@isolated
def test_time_outs_of_epoll_are_taken_as_unpatched() -> None:
    values = [0, 0.0, 0.001, True, Index(0), 2147483.648, 1 << 31, 1e300, float("nan"), "1", []]
    values += [-1e300, -(1 << 70)]

    def outcomes() -> list[Any]:
        read_end, write_end = os.pipe()
        with select.epoll() as poll, os.fdopen(read_end), os.fdopen(write_end):
            poll.register(read_end, select.EPOLLIN)
            told = [outcome(poll.poll, value) for value in values]
            return [*told, outcome(poll.poll, 0, 0), outcome(poll.poll, timeout=0, maxevents=1)]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_two_asyncio_loops_run_in_two_greens() -> None:
    patch()
    order: list[str] = []

    async def main(name: str) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read(9)).upper())
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        for _ in range(3):
            order.append(name)
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(name.encode())
        got = (await reader.read()).decode()
        writer.close()
        server.close()
        return got + await asyncio.to_thread(lambda: " threaded")

    results = together(lambda: asyncio.run(main("a")), lambda: asyncio.run(main("b")))

    assert results == ["A threaded", "B threaded"]
    assert order[:2] == ["a", "b"]


@isolated
def test_two_hundred_waiting_greens_stop_nobody() -> None:
    patch()
    pairs = [socket.socketpair() for _ in range(200)]

    def echo(one: socket.socket) -> None:
        while data := one.recv(99):
            one.sendall(data)

    def client(one: socket.socket) -> int:
        for _ in range(10):
            one.sendall(b"ping")
            assert one.recv(99) == b"ping"
            time.sleep(0.002)
        one.close()
        return 10

    with Ticker() as ticker:
        results = together(
            *[lambda one=one: echo(one) for one, _ in pairs],
            *[lambda two=two: client(two) for _, two in pairs],
        )

    assert sum(result or 0 for result in results) == 2000
    ticker.assert_kept_running()


# --- Native threads


@isolated
def test_a_native_thread_is_joined_without_stopping_the_others() -> None:
    started = threading.Event()
    end = threading.Event()

    def native() -> None:
        started.set()
        end.wait(20)

    early = threading.Thread(target=native)
    early.start()
    started.wait()
    patch()
    late = threading.Thread(target=native)

    def finish() -> None:
        time.sleep(0.02)
        end.set()

    with Ticker() as ticker:
        together(lambda: start_natively(late))
        assert together(lambda: early.join(0.01), early.is_alive) == [None, True]
        together(early.join, late.join, early.join, finish)

    assert not early.is_alive()
    assert not late.is_alive()
    ticker.assert_kept_running()


@isolated
@once("it shuts down the executor of its module")
def test_executors_and_timers_work_from_greens() -> None:
    patch()
    fired = threading.Event()
    timer = threading.Timer(0.01, fired.set)

    def work(number: int) -> int:
        time.sleep(0.03)
        return number * number

    with Ticker() as ticker:
        results = together(
            lambda: list(pool.map(work, range(8))),
            lambda: outcome(pool.submit(lambda: 1 / 0).result, 5),
            lambda: (timer.start(), fired.wait(5), timer.join())[1],
        )
        together(pool.shutdown)

    assert results == [
        [number * number for number in range(8)],
        (ZeroDivisionError, "division by zero"),
        True,
    ]
    ticker.assert_kept_running()


@isolated
def test_an_interpreter_waits_for_native_threads_at_its_end_while_greens_run() -> None:
    from green import _core

    patch()
    end = threading.Event()
    start_natively(threading.Thread(target=end.wait))

    def set_later() -> None:
        time.sleep(0.05)
        end.set()

    _core.spawn(set_later)  # The thread's end depends on a green that has not even started.
