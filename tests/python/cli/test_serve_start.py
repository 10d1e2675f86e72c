"""The command's start: what cannot be is one sentence, and what it was given is its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command import SECONDS, Served, command
from ports import free_port
from serving import HELLO, get, get_by

from green.cli.serve import ReadyFd

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _hello(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)


def test_the_ready_descriptor_may_be_the_standard_output(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(
        "def app(environ, start_response):\n"
        "    print('for nobody else', flush=True)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x']\n"
    )
    arguments = ("serve", "prints", "--bind", "127.0.0.1:0", "--ready-fd", "1")
    with (
        open(tmp_path / "log", "w") as log,
        subprocess.Popen(
            command(*arguments), cwd=tmp_path, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        assert process.stdout is not None
        word, url = process.stdout.read().split()  # To its end: it is closed.
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as idle:
            assert get(port) == b"x"
            process.terminate()
            assert idle.recv(100) == b""
    assert (word, process.returncode) == ("ready", 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--bind", "unix:hello.py/s"), "its directory is none"),
        (("--bind", "unix:" + 300 * "x"), "its path is too long"),
        (("--ready-fd", "99999"), "descriptor 99999 is not open"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_cannot_be_is_one_sentence(
    greenwsgi: Run, arguments: tuple[str, ...], sentence: str, workers: str
) -> None:
    done = greenwsgi("serve", "hello", "--workers", workers, *arguments)

    assert done.returncode == 1
    assert done.stderr.startswith("greenwsgi: ")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_that_is_given_twice_is_one_sentence(greenwsgi: Run, workers: str) -> None:
    address = f"127.0.0.1:{free_port()}"

    done = greenwsgi("serve", "hello", "--workers", workers, "--bind", address, "--bind", address)

    assert done.returncode == 1
    assert done.stderr == f"greenwsgi: cannot listen on {address}: --bind has it twice\n"


@pytest.mark.parametrize(
    ("first", "second"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("", "[::]")]
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_interface_has_the_one_as_well(
    greenwsgi: Run, first: str, second: str, workers: str
) -> None:
    port = free_port()
    binds = ("--bind", f"{first}:{port}", "--bind", f"{second}:{port}")

    done = greenwsgi("serve", "hello", "--workers", workers, *binds)

    assert done.returncode == 1
    assert done.stderr == (f"greenwsgi: cannot listen on {second}:{port}: --bind has it twice\n")


def test_a_unix_socket_or_a_descriptor_that_is_given_twice_is_one_sentence(
    greenwsgi: Run, tmp_path: Path
) -> None:
    for path in ("s", "@greenwsgi-test-given-twice"):
        done = greenwsgi("serve", "hello", "--bind", f"unix:{path}", "--bind", f"unix:{path}")
        assert (done.returncode, done.stderr) == (
            1,
            f"greenwsgi: cannot listen on unix:{path}: --bind has it twice\n",
        )
    assert not (tmp_path / "s").exists()
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        bind = f"fd:{inherited.fileno()}"
        binds = ("--bind", bind, "--bind", bind)
        done = greenwsgi("serve", "hello", *binds, fds=[inherited.fileno()])
    assert done.stderr == f"greenwsgi: cannot listen on {bind}: --bind has it twice\n"


def test_a_descriptor_that_is_not_open_is_not_taken_for_one_of_the_servers_own(
    greenwsgi: Run,
) -> None:
    for number in range(3, 12):
        bind = f"fd:{number}"
        done = greenwsgi("serve", "hello", "--bind", "127.0.0.1:0", "--bind", bind)
        assert f"descriptor {number} is not an open socket" in done.stderr


def test_a_module_without_a_file_has_no_application_either(greenwsgi: Run) -> None:
    done = greenwsgi("serve", "sys", "--bind", "127.0.0.1:0")

    assert done.returncode == 2
    assert done.stderr.startswith("greenwsgi: sys has neither app nor application")


def test_a_path_that_is_no_text_may_be_served(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve("hello", "--bind", "unix:x\udcff.sock")

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fsencode(tmp_path) + b"/x\xff.sock")
        assert get_by(client)
    assert served.stop() == 0
    assert "x\\udcff.sock" in served.log.read_text()


def test_a_hub_that_there_is_not_is_one_sentence(greenwsgi: Run) -> None:
    done = greenwsgi("serve", "hello", "--bind", "127.0.0.1:0", GREENWSGI_HUB="kqueue")

    assert done.returncode == 1
    assert re.fullmatch(r"greenwsgi: .*kqueue.*\n", done.stderr)


def test_a_unix_socket_is_taken_while_its_server_still_imports_the_application(
    greenwsgi: Run, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text("import os, signal\nos.write(1, b'x')\nsignal.pause()\n")
    with subprocess.Popen(
        command("serve", "slow", "--bind", "unix:s"), cwd=tmp_path, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.read(1) == b"x"

        second = greenwsgi("serve", "hello", "--bind", "unix:s")

        assert "another process listens there" in second.stderr
        assert (tmp_path / "s").exists()
        first.terminate()


def test_the_time_zone_of_env_is_the_log_s(serve: Callable[..., Served]) -> None:
    served = serve("hello", "--access-log", "common", "--env", "TZ=UTC-9")
    get(served.port)
    served.stop()

    assert " +0900] " in served.process.communicate()[0]


def test_on_a_unix_socket_the_port_of_the_server_is_not_empty(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "port.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [environ['SERVER_PORT'].encode()]\n"
    )
    serve("port", "--bind", "unix:s")
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(tmp_path / "s"))

    assert get_by(client) == b"80"


def test_a_signal_while_the_application_is_imported_ends_it_whatever_the_import_does(
    tmp_path: Path,
) -> None:
    begins = "import os, signal, threading\nos.write(1, b'x')\n"
    (tmp_path / "catches.py").write_text(
        begins + "try:\n    signal.pause()\nexcept:\n    pass\ndef app(*_): return []\n"
    )
    (tmp_path / "has_a_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
        + begins
        + "signal.pause()\n"
    )
    for module in ("catches", "has_a_thread"):
        for options in ((), ("--no-patch",)):
            with subprocess.Popen(
                command("serve", module, "--bind", "127.0.0.1:0", *options),
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            ) as process:
                assert process.stdout is not None
                assert process.stderr is not None
                assert process.stdout.read(1) == b"x"
                process.terminate()

                assert process.wait(SECONDS) == 0
                log = process.stderr.read().decode()
                assert "listening" not in log
                assert "Traceback" not in log


def test_the_descriptor_of_ready_fd_is_not_passed_on_to_other_programs() -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)  # As whoever starts the server must.

    ready = ReadyFd(write_end)

    assert not os.get_inheritable(write_end)
    ready.close()
    os.close(read_end)
