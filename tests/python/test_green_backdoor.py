"""green.backdoor: a Python console of a running program, over a socket."""

import io
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patched import isolated, patch
from ports import free_port

import green
from green import _core, backdoor


class Client:
    """Talks to a console from a green; reads up to the next prompt."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.banner = self.read(">>> ")

    def read(self, end: str) -> str:
        text = b""
        while not text.endswith(end.encode()):
            assert _core.wait_fd(self.socket.fileno(), 1, 20), text
            piece = self.socket.recv(65536)
            if not piece:
                break
            text += piece
        return text.decode().removesuffix(end)

    def say(self, line: str, end: str = ">>> ") -> str:
        self.socket.send(line.encode() + b"\n")
        return self.read(end)

    def close(self) -> None:
        self.socket.close()


Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    path = str(tmp_path / "console.sock")
    servers = []

    def start(namespace: dict[str, object] | None = None) -> str:
        servers.append(green.spawn(backdoor.serve, path, namespace))
        while not os.path.exists(path) or stat.S_IMODE(os.stat(path).st_mode) != 0o600:
            green.sleep(0)
        green.sleep(0)
        return path

    yield start
    for server in servers:
        server.kill(block=True)
    assert not os.path.exists(path)


@contextmanager
def connected(address: str) -> Iterator[Client]:
    client = Client(address)
    try:
        yield client
    finally:
        client.close()
        while backdoor._streams._sessions > 0:
            green.sleep(0)


def test_it_evaluates_and_remembers_what_was_said(serve: Serve) -> None:
    with connected(serve({"given": 20})) as client:
        assert f"process {os.getpid()}" in client.banner
        assert client.say("x = given + 1") == ""
        assert client.say("x * 2") == "42\n"
        assert client.say("_ + 1") == "43\n"
        assert client.say("None") == ""


def test_a_statement_of_several_lines_is_asked_for_line_by_line(serve: Serve) -> None:
    with connected(serve()) as client:
        client.say("for i in range(2):", end="... ")
        client.say("    print('turn', i)", end="... ")
        assert client.say("") == "turn 0\nturn 1\n"


def test_what_it_prints_goes_to_the_connection_and_nothing_else_does(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    with connected(serve()) as client:
        print("from the program")
        said = client.say("import sys; print('from the console'); print('oops', file=sys.stderr)")

    assert said == "from the console\noops\n"
    out, err = capsys.readouterr()
    assert (out, err) == ("from the program\n", "")


def test_an_exception_is_shown_there_and_the_session_goes_on(serve: Serve) -> None:
    with connected(serve()) as client:
        assert client.say("1 / 0").endswith("ZeroDivisionError: division by zero\n")
        assert "SyntaxError" in client.say("not python at all")
        assert client.say("'still here'") == "'still here'\n"


def test_input_and_the_lines_of_stdin_come_from_the_connection(serve: Serve) -> None:
    with connected(serve()) as client:
        client.socket.send(b"answer = input('name? ')\nGrace\nanswer\n")
        assert client.read("'Grace'\n>>> ").endswith("name? >>> ")


def test_exit_ends_the_session_and_not_the_program(serve: Serve) -> None:
    path = serve()
    with connected(path) as client:
        assert client.say("exit()") == ""
    with connected(path) as client:
        assert client.say("1") == "1\n"


def test_two_sessions_do_not_see_each_other(serve: Serve) -> None:
    path = serve()
    with connected(path) as one:
        two = Client(path)
        one.say("x = 1")
        assert "NameError" in two.say("x")
        assert one.say("print('one')") == "one\n"
        assert two.say("print('two')") == "two\n"
        two.close()


def test_the_streams_are_as_before_when_the_last_session_has_ended(serve: Serve) -> None:
    before = (sys.stdin, sys.stdout, sys.stderr, sys.displayhook)

    with connected(serve()) as client:
        assert sys.stdout is not before[1]
        client.say("1")

    assert (sys.stdin, sys.stdout, sys.stderr, sys.displayhook) == before


def test_a_session_that_waits_stops_nobody(serve: Serve) -> None:
    go_on = green.Event()
    with connected(serve({"go_on": go_on})) as client:
        client.socket.send(b"go_on.wait()\n")
        green.sleep(0)
        assert green.spawn(lambda: "others run").get() == "others run"
        go_on.set()
        assert client.read(">>> ") == "True\n"


def test_a_client_that_reads_nothing_stops_nobody(serve: Serve) -> None:
    with connected(serve()) as client:
        client.socket.send(b"print('x' * 10_000_000)\n")
        green.sleep(0)
        assert green.spawn(lambda: "others run").get() == "others run"


def test_the_greens_can_be_printed_there(serve: Serve) -> None:
    with connected(serve()) as client:
        assert "main (number 1): waiting" in client.say("import green.debug as d; d.print_greens()")


def test_the_socket_of_a_dead_program_is_replaced_and_that_of_a_live_one_is_not(
    serve: Serve, tmp_path: Path
) -> None:
    path = str(tmp_path / "console.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    os.chmod(path, 0o644)
    serve()

    with pytest.raises(OSError, match="in use"):
        backdoor.serve(path)
    with connected(path) as client:
        assert client.say("1") == "1\n"


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")

    with pytest.raises(OSError, match="in use"):
        backdoor.serve(path)
    assert path.read_text() == "data"


def test_it_serves_tcp_when_it_is_told_to() -> None:
    address = ("127.0.0.1", free_port())
    server = green.spawn(backdoor.serve, address)
    green.sleep(0)

    with connected(address) as client:
        assert client.say("6 * 7") == "42\n"
    server.kill(block=True)


@isolated
def test_it_works_patched() -> None:
    patch()
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/console.sock"
        server = green.spawn(backdoor.serve, path)
        green.sleep(0)
        with connected(path) as client:
            assert client.say("import time; time.sleep(0.01); 42") == "42\n"
        server.kill(block=True)


def test_a_stream_of_a_program_with_a_session_is_iterated_and_entered_as_ever() -> None:
    stream = backdoor._Stream(io.StringIO("one\ntwo\n"))

    assert next(stream) == "one\n"
    with stream as entered:
        assert list(entered) == ["two\n"]
    assert stream.closed
