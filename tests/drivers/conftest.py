"""The servers that the drivers talk to. Each is started once, when the first test asks for it."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from private_server import directory, on_free_port, peer, prepare, program

HERE = Path(__file__).parent
CERTIFICATE = HERE.parent / "python" / "tls" / "test.invalid.pem"

Address = dict[str, Any]

figures = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[figures] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = terminalreporter.config.stash[figures]
    if table:
        terminalreporter.write_line(
            f"{'seconds':38} {'one':>7} {'200':>7} {'cpu':>7} {'longest gap':>12}"
        )
    for name, row in table.items():
        terminalreporter.write_line(
            f"{name:38} {row['one']:7.3f} {row['all'] - row['ramp']:7.3f} "
            f"{row['cpu']:7.3f} {row['gap']:12.3f}"
        )


@pytest.fixture
def record(request: pytest.FixtureRequest) -> dict[str, dict[str, float]]:
    """What is to be told at the end of the run: figures by name."""
    return request.config.stash[figures]


def at(port: int, **more: Any) -> Address:
    return {"host": "127.0.0.1", "port": port, **more}


@pytest.fixture(scope="session")
def none() -> Address:
    return {}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Address]:
    server, make = program("postgres"), program("initdb")
    with directory() as place:
        data = str(place / "data")
        prepare([make, "-D", data, "-U", "tester", "-A", "trust", "--no-locale", "-N"], place)
        options = {
            "fsync": "off",
            "listen_addresses": "127.0.0.1",
            "max_connections": "250",
            "unix_socket_directories": str(place),
        }
        settings = [word for item in options.items() for word in ("-c", "=".join(item))]
        with on_free_port(
            lambda port: [server, "-D", data, "-p", str(port), *settings], place
        ) as port:
            yield at(port, user="tester", database="postgres")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Address]:
    server = program("mariadbd")
    with directory() as place:
        (place / "data").mkdir()
        os.chown(place / "data", place.stat().st_uid, place.stat().st_gid)

        # Without the tables of users: everybody may do everything.
        def command(port: int) -> list[str]:
            return [
                server,
                "--no-defaults",
                "--skip-grant-tables",
                "--skip-slave-start",
                "--bind-address=127.0.0.1",
                "--max-connections=250",
                "--innodb-flush-log-at-trx-commit=0",
                f"--port={port}",
                f"--datadir={place}/data",
                f"--socket={place}/socket",
                f"--pid-file={place}/pid",
            ]

        with on_free_port(command, place) as port:
            yield at(port, user="tester")


@pytest.fixture(scope="session")
def redis() -> Iterator[Address]:
    server = program("redis-server")
    with directory() as place:
        options = ["--bind", "127.0.0.1", "--save", "", "--dir", str(place)]
        options += ["--hz", "500"]  # So often it looks whose time is over; else 10 times a second.
        with on_free_port(lambda port: [server, "--port", str(port), *options], place) as port:
            yield at(port)


@pytest.fixture(scope="session")
def memcached() -> Iterator[Address]:
    """Behind a proxy that takes its time, because the server itself is never slow."""
    server = program("memcached")
    with (
        directory() as place,
        on_free_port(
            lambda port: [server, "-l", "127.0.0.1", "-p", str(port), "-U", "0"], place
        ) as port,
        peer(HERE / "peers" / "slow_proxy.py", str(port)) as (slow,),
    ):
        yield at(slow)


@contextmanager
def privilege_separation() -> Iterator[None]:
    """The empty directory that sshd wants for root, which systemd makes where there is one."""
    path = Path("/run/sshd")
    missing = os.getuid() == 0 and not path.exists()
    if missing:
        path.mkdir(mode=0o755)
    try:
        yield
    finally:
        if missing:
            path.rmdir()


@pytest.fixture(scope="session")
def sshd() -> Iterator[Address]:
    """As whoever runs the tests, who alone may come in."""
    server = program("sshd")
    with directory(keep_user=True) as place:
        for name in ("host", "user"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(place / name)]
            subprocess.run(key, check=True)
        options = {
            "AuthorizedKeysFile": place / "user.pub",
            "HostKey": place / "host",
            "ListenAddress": "127.0.0.1",
            "MaxSessions": 100,
            "MaxStartups": 100,
            "PermitRootLogin": "yes",
            "PidFile": "none",
            "SetEnv": "SHLVL=9",  # Else bash runs the user's ~/.bashrc for each command.
            "StrictModes": "no",
        }
        settings = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        with (
            privilege_separation(),
            on_free_port(
                lambda port: [server, "-D", "-e", "-f", "/dev/null", "-p", str(port), *settings],
                place,
                keep_user=True,
            ) as port,
        ):
            user = pwd.getpwuid(os.getuid()).pw_name
            yield at(port, user=user, key=str(place / "user"))


@pytest.fixture(scope="session")
def web() -> Iterator[Address]:
    with peer(HERE / "peers" / "web.py", str(CERTIFICATE)) as (plain, tls):
        yield at(plain, tls_port=tls, certificate=str(CERTIFICATE), name="test.invalid")


@pytest.fixture(scope="session")
def mail() -> Iterator[Address]:
    with peer(HERE / "peers" / "mail.py") as (port,):
        yield at(port)


@pytest.fixture(scope="session")
def mongo() -> Iterator[Address]:
    with peer(HERE / "peers" / "mongo.py") as (port,):
        yield at(port)


@pytest.fixture(scope="session")
def rpc() -> Iterator[Address]:
    with peer(HERE / "peers" / "rpc.py") as (port,):
        yield at(port)
