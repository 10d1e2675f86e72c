from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from green.cli.binding import (
    Address,
    InheritedFd,
    Listener,
    TcpAddress,
    UnixAddress,
    open_listeners,
    parse_address,
)
from green.cli.errors import StartError

ANY = TcpAddress("127.0.0.1", 0)


@contextmanager
def opened(*addresses: Address, reuse_port: bool = False) -> Iterator[list[Listener]]:
    with ExitStack() as stack:
        listeners = open_listeners(addresses, 8, reuse_port=reuse_port)
        for listener in listeners:
            stack.callback(listener.close)
        yield listeners


def refusal(*addresses: Address, reuse_port: bool = False) -> str:
    with pytest.raises(StartError) as caught:
        open_listeners(addresses, 8, reuse_port=reuse_port)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:80", TcpAddress("0.0.0.0", 80)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("[::1]:8080", TcpAddress("::1", 8080)),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
        ("[fe80::1%br-lan.5]:80", TcpAddress("fe80::1%br-lan.5", 80)),
        (":8000", TcpAddress(None, 8000)),
        ("8000", TcpAddress("127.0.0.1", 8000)),
        ("unix:/run/a.sock", UnixAddress("/run/a.sock")),
        ("unix:@name", UnixAddress("@name")),
        ("fd:3", InheritedFd(3)),
    ],
)
def test_addresses_as_people_type_them(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "::1:80", "::1", "a:b", "1.2.3.4:99999", "unix:", "fd:x", "[::1]", "-1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs"):
        parse_address(text)


def test_port_0_is_a_free_one_that_the_url_names() -> None:
    with opened(ANY) as (listener,):
        host, port = listener.socket.getsockname()

        assert port != 0
        assert listener.url == f"http://{host}:{port}"


def test_every_interface_is_both_families_on_one_port() -> None:
    with opened(TcpAddress(None, 0)) as listeners:
        families = [listener.socket.family for listener in listeners]

        assert families in ([socket.AF_INET, socket.AF_INET6], [socket.AF_INET])
        assert len({listener.socket.getsockname()[1] for listener in listeners}) == 1


def test_both_families_can_be_bound_separately() -> None:
    with opened(TcpAddress("0.0.0.0", 0)) as (first,):
        port = first.socket.getsockname()[1]
        if not has_ipv6():
            pytest.skip("no IPv6 here")
        with opened(TcpAddress("::", port)) as (second,):
            assert second.url == f"http://[::]:{port}"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_port_in_use_is_one_sentence_and_leaves_nothing_bound(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(ANY) as (other,):
        other.listen(1)
        port = other.socket.getsockname()[1]

        said = refusal(UnixAddress(str(path)), TcpAddress("127.0.0.1", port))

    assert said.startswith(f"cannot listen on 127.0.0.1:{port}: another process listens there")
    assert not path.exists()


def test_a_port_in_use_is_noticed_although_workers_would_share_it() -> None:
    with opened(ANY, reuse_port=True) as (other,):
        other.listen(1)
        port = other.socket.getsockname()[1]

        assert "another process listens there" in refusal(
            TcpAddress("127.0.0.1", port), reuse_port=True
        )


@pytest.mark.parametrize("shares", [True, False])
def test_a_port_that_workers_will_share_is_taken_before_any_of_them_listens(shares: bool) -> None:
    with opened(ANY, reuse_port=True) as (other,):
        port = other.socket.getsockname()[1]

        assert "another process listens there" in refusal(
            TcpAddress("127.0.0.1", port), reuse_port=shares
        )


@pytest.mark.parametrize("before", [True, False])
def test_workers_share_a_port_that_still_has_connections_of_a_server_before(before: bool) -> None:
    with opened(ANY, reuse_port=before) as (listener,):
        served = listener.clone()
        served.listen(1)
        port = served.socket.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = served.socket.accept()
            accepted.close()  # First: so TIME_WAIT is on this side.
            assert client.recv(1) == b""
        served.close()

    with opened(TcpAddress("127.0.0.1", port), reuse_port=True) as (again,):
        own = again.clone()
        own.listen(1)
        own.close()


def test_workers_share_a_port_by_sockets_of_their_own() -> None:
    with opened(ANY, reuse_port=True) as (listener,):
        first, second = listener.clone(), listener.clone()
        first.listen(1)
        second.listen(1)

        assert first.socket.getsockname() == second.socket.getsockname()
        first.close()
        second.close()


def test_an_address_of_another_machine_is_one_sentence() -> None:
    assert "it is not an address of this machine" in refusal(TcpAddress("192.0.2.1", 0))


def test_an_unknown_host_is_one_sentence() -> None:
    assert "there is no address for the name 'nowhere.invalid'" in refusal(
        TcpAddress("nowhere.invalid", 80)
    )


def test_a_unix_socket_has_its_mode_and_goes_away_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"

    (listener,) = open_listeners([UnixAddress(str(path))], 8, unix_mode=0o600)

    assert path.stat().st_mode & 0o777 == 0o600
    assert listener.url == f"unix:{path}"
    listener.close()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    with opened(UnixAddress(str(path))) as (listener,):
        listener.listen(1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_unix_socket_that_answers_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(UnixAddress(str(path))) as (listener,):
        listener.listen(1)

        assert "another process listens there" in refusal(UnixAddress(str(path)))
        assert path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")

    assert "there is a file of that name which is no socket" in refusal(UnixAddress(str(path)))
    assert path.read_text() == "precious"


def test_a_socket_that_took_the_place_of_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (first,) = open_listeners([UnixAddress(str(path))], 8)
    path.unlink()

    with opened(UnixAddress(str(path))):
        first.close()

        assert path.exists()


def test_a_path_that_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    assert "its directory does not exist" in refusal(UnixAddress(str(tmp_path / "no" / "s")))
    assert "path too long" in refusal(UnixAddress(str(tmp_path / ("x" * 200))))


def test_an_abstract_unix_socket_needs_no_file(tmp_path: Path) -> None:
    name = f"@{tmp_path}"
    with opened(UnixAddress(name)) as (listener,):
        listener.listen(1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect("\0" + name[1:])


def test_an_inherited_socket_is_named_by_what_it_is_bound_to() -> None:
    inherited = socket.socket()
    inherited.bind(("127.0.0.1", 0))
    port = inherited.getsockname()[1]

    inherited.set_inheritable(True)  # As whoever starts the server must.
    with opened(InheritedFd(inherited.detach())) as (listener,):
        assert listener.url == f"http://127.0.0.1:{port}"
        assert not listener.socket.get_inheritable()


def test_a_descriptor_that_is_no_stream_socket_is_one_sentence(tmp_path: Path) -> None:
    with open(tmp_path / "f", "w") as file:
        assert "is not an open socket" in refusal(InheritedFd(file.fileno()))
        assert os.fstat(file.fileno())
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        assert "it is not a stream socket" in refusal(InheritedFd(udp.fileno()))
