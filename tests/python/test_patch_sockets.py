"""Blocking methods of sockets under the patch: TCP, UDP, Unix, IPv6; time-outs, errors, close."""

from __future__ import annotations

import array
import errno
import mmap
import os
import socket
import tempfile
import threading
import time
from typing import Any

from leaks import once
from patched import Ticker, assert_same, isolated, outcome, patch, together

left, right = socket.socketpair()
right_recv = right.recv
reader = right.makefile("rb")


def teardown_module() -> None:
    for each in (left, reader, right):
        each.close()  # In this process nobody used them.


class Loud(socket.socket):
    def recv(self, *arguments: Any) -> bytes:
        return b"<" + super().recv(*arguments) + b">"


def later(call: Any, *arguments: Any) -> Any:
    time.sleep(0.01)
    return call(*arguments)


@isolated
def test_a_socket_made_before_its_bound_methods_and_its_files_cooperate() -> None:
    patch()

    assert together(lambda: right_recv(9), lambda: later(left.send, b"one"))[0] == b"one"
    assert together(reader.readline, lambda: later(left.sendall, b"two\n"))[0] == b"two\n"
    loud = Loud(fileno=os.dup(right.fileno()))
    assert together(lambda: loud.recv(9), lambda: later(left.send, b"three"))[0] == b"<three>"


@isolated
def test_every_method_waits_without_stopping_the_others() -> None:
    patch()
    room = bytearray(9)

    def received(receive: Any) -> Any:
        with Ticker() as ticker:
            result = together(receive, lambda: (ticker.have_turns(), left.send(b"abc")))[0]
        ticker.assert_kept_running()
        return result

    assert received(lambda: right.recv(9)) == b"abc"
    assert received(lambda: right.recv_into(room)) == 3
    assert received(lambda: right.recv_into(buffer=room, nbytes=2)) == 2
    assert right.recv(9, socket.MSG_PEEK) == b"c"
    assert right.recvfrom(9)[0] == b"c"
    assert received(lambda: right.recvfrom(9)) == (b"abc", None)
    assert received(lambda: right.recvfrom_into(room)) == (3, None)
    assert received(lambda: right.recvmsg(9)) == (b"abc", [], 0, None)
    assert received(lambda: right.recvmsg_into(iter([room]))) == (3, [], 0, None)
    assert bytes(room[:3]) == b"abc"


@isolated
def test_all_of_a_long_message_is_sent_to_a_slow_reader() -> None:
    patch()
    message = os.urandom(3_000_000)

    def read_all() -> bytes:
        parts = []
        while sum(map(len, parts)) < len(message):
            parts.append(right.recv(65536))
        return b"".join(parts)

    assert together(lambda: left.sendall(message), read_all) == [None, message]
    assert together(lambda: left.send(message), read_all) == [len(message), message]
    wait_all = socket.MSG_WAITALL
    assert together(lambda: right.recv(3_000_000, wait_all), lambda: left.sendall(message)) == [
        message,
        None,
    ]


@isolated
def test_tcp_over_both_families_with_accept_and_connect() -> None:
    patch()
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family == socket.AF_INET6 and not socket.has_ipv6:
            continue
        with socket.create_server((host, 0), family=family) as server:
            client = socket.socket(family)
            to = server.getsockname()

            def serve(server: socket.socket = server) -> Any:
                peer, address = server.accept()
                with peer:
                    peer.sendall(peer.recv(9).upper())
                return address

            def ask(client: socket.socket = client, to: Any = to) -> Any:
                time.sleep(0.01)
                client.connect(to)
                client.sendall(b"hello")
                return client.recv(9), client.recv(9)

            address, answer = together(serve, ask)
            assert answer == (b"HELLO", b"")
            assert address == client.getsockname()
            client.close()


@isolated
def test_unix_and_udp_sockets() -> None:
    patch()
    with tempfile.TemporaryDirectory() as folder:
        server = socket.socket(socket.AF_UNIX)
        server.bind(folder + "/it")
        server.listen()
        client = socket.socket(socket.AF_UNIX)

        (peer, address), _ = together(server.accept, lambda: later(client.connect, folder + "/it"))

        assert address == ""
        assert together(lambda: peer.recv(9), lambda: later(client.send, b"hi"))[0] == b"hi"
    one, two = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", 0))
    two.bind(("127.0.0.1", 0))
    got = together(
        lambda: one.recvfrom(99),
        lambda: later(two.sendto, b"data", ("127.0.0.1", one.getsockname()[1])),
    )
    assert got == [(b"data", two.getsockname()), 4]
    assert together(lambda: two.sendmsg([b"a", b"b"], [], 0, one.getsockname())) == [2]
    assert together(lambda: one.recv(99)) == [b"ab"]


@isolated
def test_descriptors_travel_in_messages() -> None:
    patch()
    ends = os.pipe()
    fds = array.array("i", [ends[1]])
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]

    (data, ancillary, _, _), _ = together(
        lambda: right.recvmsg(9, socket.CMSG_SPACE(4)), lambda: later(left.sendmsg, [b"x"], rights)
    )

    assert data == b"x"
    os.write(array.array("i", ancillary[0][2])[0], b"through")
    assert os.read(ends[0], 9) == b"through"


@isolated
def test_time_outs_are_the_originals() -> None:
    full = socket.socket(type=socket.SOCK_STREAM)
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    left.settimeout(0.03)

    def fill() -> None:
        while True:
            left.send(b"x" * 65536)

    def outcomes() -> list[Any]:
        results = [
            outcome(left.recv, 1),
            outcome(left.recvfrom, 1),
            outcome(left.recv_into, bytearray(1)),
        ]
        results += [outcome(fill), outcome(left.sendall, b"x" * 9_000_000)]
        server = socket.create_server(("127.0.0.1", 0))
        server.settimeout(0.03)
        results.append(outcome(server.accept))
        server.close()
        return [*results, left.gettimeout()]

    before = outcomes()
    patch()
    began = time.monotonic()
    with Ticker() as ticker:
        (after,) = together(outcomes)

    assert_same(after, before)
    assert after[0] == (TimeoutError, "timed out")
    assert time.monotonic() - began >= 0.15
    ticker.assert_kept_running()


@isolated
def test_a_connection_that_nobody_answers_times_out() -> None:
    patch()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    held = [socket.socket() for _ in range(4)]
    for one in held:
        one.setblocking(False)
        one.connect_ex(address)  # Fills the backlog: further connections are not answered.
    client = socket.socket()
    client.settimeout(0.05)

    with Ticker() as ticker:
        assert together(lambda: outcome(client.connect, address)) == [(TimeoutError, "timed out")]
        other = socket.socket()
        other.settimeout(0.05)
        assert together(lambda: other.connect_ex(address)) == [errno.EWOULDBLOCK]

    ticker.assert_kept_running()
    assert client.gettimeout() == 0.05
    assert os.get_blocking(other.fileno()) is False  # As settimeout() left it.


@isolated
def test_errors_are_the_originals() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = server.getsockname()

    def outcomes() -> list[Any]:
        client, closed = socket.socket(), socket.socket()
        closed.close()
        one, two = socket.socketpair()
        two.close()
        return [
            outcome(client.connect, nobody),
            socket.socket().connect_ex(nobody),
            outcome(client.connect, ("127.0.0.1",)),
            outcome(client.connect, ("127.0.0.1", 99999)),
            outcome(client.connect, "x"),
            outcome(client.connect_ex, "x"),
            outcome(client.accept),
            outcome(client.recv, 9),
            outcome(closed.recv, 9),
            outcome(closed.send, b"x"),
            outcome(closed.accept),
            outcome(one.recv, 9),
            outcome(one.send, b"x"),
            outcome(one.sendall, b"x"),
            outcome(one.sendto, b"x", "/nowhere"),
        ]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_wrong_arguments_raise_what_they_raise_unpatched() -> None:
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("recv", (), {}),
        ("recv", (-1,), {}),
        ("recv", ("x",), {}),
        ("recv", (1, 2, 3), {}),
        ("recv", (1, "x"), {}),
        ("recv", (10**30,), {}),
        ("recv", (1, 10**10), {}),
        ("recv_into", (b"const",), {}),
        ("recv_into", (bytearray(2), 3), {}),
        ("recv_into", (bytearray(2), -1), {}),
        ("recv_into", (), {"what": 1}),
        ("recvfrom", ("x",), {}),
        ("recvfrom", (-1,), {}),
        ("recvfrom_into", (bytearray(2), 3), {}),
        ("recvmsg", (-1,), {}),
        ("recvmsg_into", (5,), {}),
        ("send", ("text",), {}),
        ("send", (), {}),
        ("send", (b"x", "y"), {}),
        ("sendall", ("text",), {}),
        ("sendall", (b"x", 1, 2), {}),
        ("sendto", (b"x",), {}),
        ("sendto", (b"x", "flags", "address"), {}),
        ("sendto", ("text", "address"), {}),
        ("sendmsg", (5,), {}),
        ("sendmsg", ([b"x"], [5]), {}),
        ("connect", (5,), {}),
    ]

    def outcomes() -> list[Any]:
        one, two = socket.socketpair()
        with one, two:
            return [outcome(getattr(one, name), *args, **named) for name, args, named in calls]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_a_non_blocking_socket_stays_the_originals() -> None:
    patch()
    right.setblocking(False)

    assert together(lambda: outcome(right.recv, 9)) == [
        (BlockingIOError, "[Errno 11] Resource temporarily unavailable")
    ]
    right.setblocking(True)
    assert together(lambda: outcome(right.recv, 9, socket.MSG_DONTWAIT)) == [
        (BlockingIOError, "[Errno 11] Resource temporarily unavailable")
    ]
    assert os.get_blocking(right.fileno()) is True


@isolated
def test_descriptors_keep_the_blocking_mode_the_user_set() -> None:
    patch()
    modes: list[bool] = []

    def watch() -> None:
        time.sleep(0.01)
        modes.append(os.get_blocking(right.fileno()))
        left.send(b"x")

    together(lambda: right.recv(1), watch)
    together(lambda: right.recvfrom(1), watch)

    assert modes == [True, True]


@isolated
def test_close_wakes_all_who_wait_with_ebadf() -> None:
    patch()
    one, two = socket.socketpair()

    def read() -> Any:
        return outcome(one.recv, 9)

    def write() -> Any:
        return outcome(one.sendall, b"x" * 9_000_000)

    bad = (OSError, "[Errno 9] Bad file descriptor")
    assert together(read, read, read, write, lambda: later(one.close)) == [bad] * 4 + [None]
    two.close()


@isolated
def test_a_close_from_a_native_thread_wakes_a_green() -> None:
    patch()
    one, two = socket.socketpair()
    thread = threading.Timer(0.05, one.close)
    thread.start()

    assert together(lambda: outcome(one.recv, 9)) == [(OSError, "[Errno 9] Bad file descriptor")]
    thread.join()
    two.close()


@isolated
def test_the_next_owner_of_a_number_is_left_alone() -> None:
    patch()

    def victim(socket_: socket.socket) -> Any:
        return outcome(socket_.recv, 9)

    for _ in range(300):
        one, two = socket.socketpair()
        number = one.fileno()
        owner: list[Any] = []

        def replace(one: socket.socket = one, owner: list[Any] = owner) -> None:
            one.close()
            owner.extend(socket.socketpair())
            owner[1].send(b"mine")

        results = together(lambda one=one: victim(one), lambda one=one: victim(one), replace)
        assert results[:2] == [(OSError, "[Errno 9] Bad file descriptor")] * 2
        assert owner[0].fileno() == number
        assert owner[0].recv(9) == b"mine"
        for each in (two, *owner):
            each.close()


@isolated
def test_a_socket_whose_reads_always_waited_says_nothing_about_the_next_of_its_number() -> None:
    patch()
    one, two = socket.socketpair()
    number = one.fileno()
    for _ in range(5):
        assert together(lambda: one.recv(9), lambda: later(two.send, b"x"))[0] == b"x"

    one.close()
    with socket.create_server(("127.0.0.1", 0)) as listener, two:
        assert listener.fileno() == number
        listener.settimeout(5)
        (result,) = together(lambda: outcome(listener.recv, 9))

    assert result == (OSError, "[Errno 107] Transport endpoint is not connected")


@isolated
@once("each 32nd call gives way, and may come last")
def test_many_readers_are_served_in_order_beside_a_writer() -> None:
    patch()
    order: list[tuple[int, bytes]] = []

    def read(number: int) -> None:
        order.append((number, right.recv(1)))

    def feed() -> None:
        time.sleep(0.01)
        for letter in b"abcdefgh":
            left.send(bytes([letter]))
            time.sleep(0.001)

    def write() -> int:
        right.sendall(b"y" * 500_000)
        return 1

    def drain() -> int:
        total = 0
        while total < 500_000:
            total += len(left.recv(65536))
        return total

    together(*[lambda n=n: read(n) for n in range(8)], feed, write, drain)

    assert order == [(n, bytes([letter])) for n, letter in enumerate(b"abcdefgh")]


@isolated
@once("it shuts down the sockets of its module")
def test_a_socket_that_is_always_ready_starves_nobody() -> None:
    patch()
    end = time.monotonic() + 0.5

    def write() -> None:
        while time.monotonic() < end:
            left.send(b"x" * 1000)
        left.shutdown(socket.SHUT_WR)

    def read() -> None:
        while right.recv(1000):
            pass

    with Ticker() as ticker:
        together(write, read)

    ticker.assert_kept_running()


@isolated
def test_a_kill_ends_a_wait_and_leaves_the_socket_usable() -> None:
    from green import _core

    patch()
    green = _core.spawn(right.recv, 9)
    time.sleep(0.01)
    green.kill()
    green.join()

    left.send(b"next")

    assert together(lambda: right.recv(9)) == [b"next"]


@isolated(GREENWSGI_HUB="epoll")
def test_the_epoll_hub_does_the_same() -> None:
    patch()

    assert together(lambda: right.recv(9), lambda: later(left.send, b"one"))[0] == b"one"
    bad = (OSError, "[Errno 9] Bad file descriptor")
    one, two = socket.socketpair()
    assert together(lambda: outcome(one.recv, 9), lambda: later(one.close))[0] == bad
    two.close()


@isolated
def test_a_buffer_whose_size_has_no_32_bits_receives_what_comes() -> None:
    patch()
    room = mmap.mmap(-1, 1 << 32)

    assert together(lambda: right.recv_into(room), lambda: later(left.send, b"hi"))[0] == 2
    assert right.sendmsg(iter([b"data"]), [], socket.MSG_DONTWAIT) == 4
