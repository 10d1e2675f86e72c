"""The command as its users run it: a process of its own, spoken to by HTTP and signals."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Served, command
from serving import HELLO, WAITS, get, get_by

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _hello(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(HELLO)


def test_it_says_where_it_listens_and_answers_there(serve: Callable[..., Served]) -> None:
    served = serve("hello:app")

    assert get(served.port) == str(served.process.pid).encode()
    assert f"listening on http://127.0.0.1:{served.port}" in served.log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_it_with_status_0(
    serve: Callable[..., Served], number: signal.Signals, workers: str
) -> None:
    served = serve("hello:app", "--workers", workers)

    assert served.stop(number) == 0


@pytest.mark.parametrize(("workers", "group"), [("1", False), ("2", False), ("2", True)])
def test_a_call_in_flight_finishes_before_the_end(
    serve: Callable[..., Served], tmp_path: Path, workers: str, group: bool
) -> None:
    """`group`: the workers get the signal from whoever stops them all, and the supervisor's."""
    (tmp_path / "waits.py").write_text(WAITS)
    with socket.create_server(("127.0.0.1", 0)) as here:
        served = serve("waits:app", "--workers", workers, CALL=str(here.getsockname()[1]))
        client = socket.create_connection(("127.0.0.1", served.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        call, _ = here.accept()

        for worker in children(served.process.pid) if group else []:
            os.kill(worker, signal.SIGTERM)
        served.process.terminate()
        refused(served.port)
        call.sendall(b"x")
        call.close()

        with client, client.makefile("rb") as answer:
            assert answer.read().endswith(b"finished")
    assert served.process.wait(20) == 0


def children(pid: int) -> list[int]:
    (of_main_thread,) = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for child in of_main_thread.read_text().split()]


def refused(port: int) -> None:
    """Returns once nobody accepts connections there any more."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionError:
            return


def test_a_second_signal_cuts_calls_in_flight(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    with socket.create_server(("127.0.0.1", 0)) as here:
        served = serve("waits:app", "--grace", "1h", CALL=str(here.getsockname()[1]))
        client = socket.create_connection(("127.0.0.1", served.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        call, _ = here.accept()

        served.process.terminate()
        refused(served.port)
        served.process.terminate()

        assert served.process.wait(20) == 0
        client.close()
        call.close()


def test_a_signal_while_the_application_is_imported_ends_it(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal\nos.write(1, b'x')\nsignal.pause()\n")
    process = subprocess.Popen(
        command("serve", "slow:app", "--bind", "127.0.0.1:0"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == b"x"

    process.send_signal(signal.SIGINT)

    assert b"Traceback" not in process.communicate(timeout=20)[1]
    assert process.returncode == 0


def test_a_port_in_use_is_one_sentence(greenwsgi: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = greenwsgi("serve", "hello:app", "--bind", str(port))

    assert done.returncode == 1
    assert done.stderr == (
        f"greenwsgi: cannot listen on 127.0.0.1:{port}: another process listens there; stop it, or"
        " choose another with --bind\n"
    )


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_wrong_module_is_one_sentence(greenwsgi: Run, workers: str) -> None:
    done = greenwsgi("serve", "helo:app", "--workers", workers, "--bind", "127.0.0.1:0")

    assert done.returncode == 2
    assert done.stderr.count("there is no module 'helo'") == 1
    assert "did you mean 'hello'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_application_s_import_error_is_shown_once_and_in_full(
    greenwsgi: Run, tmp_path: Path, workers: str
) -> None:
    (tmp_path / "broken.py").write_text("def f():\n    raise ValueError('no setting')\nf()\n")

    done = greenwsgi("serve", "broken:app", "--workers", workers, "--bind", "127.0.0.1:0")

    assert done.returncode == 1
    assert done.stderr.count("ValueError: no setting") == 1
    assert "greenwsgi: importing broken failed with ValueError, see above\n" in done.stderr
    assert "green/cli" not in done.stderr


def test_workers_answer_and_a_dead_one_is_replaced(serve: Callable[..., Served]) -> None:
    served = serve("hello:app", "--workers", "2")
    before = pids(served.port, 2)
    assert served.process.pid not in before

    os.kill(before.pop(), signal.SIGKILL)

    after = pids(served.port, 2)
    assert len(after - before) == 1


def pids(port: int, count: int) -> set[int]:
    """Asks until `count` workers have answered: the kernel spreads connections by hash."""
    found: set[int] = set()
    while len(found) < count:
        try:
            found.add(int(get(port)))
        except (ConnectionError, http.client.HTTPException):
            continue  # It was on its way to the worker that was killed.
    return found


def test_env_and_chdir_are_the_application_s(serve: Callable[..., Served], tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "here.py").write_text(HELLO)

    served = serve("here", "--chdir", "inner", "--env", "WORD=set", "--env", "X=1=2")

    assert get(served.port) == b"set"


def test_a_directory_that_cannot_be_entered_is_one_sentence(greenwsgi: Run) -> None:
    done = greenwsgi("serve", "hello", "--chdir", "nowhere")

    assert done.returncode == 2
    assert done.stderr.startswith("greenwsgi: --chdir: cannot enter 'nowhere'")


def test_several_addresses_at_once(serve: Callable[..., Served], tmp_path: Path) -> None:
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        fd = os.dup(inherited.fileno())
    os.set_inheritable(fd, True)
    path = str(tmp_path / "s")

    served = serve(
        "hello", "--bind", "127.0.0.1:0", "--bind", f"unix:{path}", "--bind", f"fd:{fd}", fds=[fd]
    )
    os.close(fd)

    assert len(served.urls) == 3
    expected = str(served.process.pid).encode()
    for url in served.urls:
        if url.startswith("unix:"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
        else:
            client = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
        assert expected in get_by(client)
    assert served.stop() == 0
    assert not os.path.exists(path)


def test_ipv6(serve: Callable[..., Served]) -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6 here")

    served = serve("hello", "--bind", "[::1]:0")

    assert served.urls[0].startswith("http://[::1]:")
    assert get_by(socket.create_connection(("::1", served.port)))


def test_the_access_log_is_a_file_and_off_by_default(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve("hello")
    get(served.port)
    served.stop()
    assert served.process.communicate()[0] == ""

    served = serve("hello", "--access-log-file", "access.log")
    get(served.port, "/path?q=1")
    served.stop()

    line = (tmp_path / "access.log").read_text()
    assert re.match(r'127\.0\.0\.1 - - \[.*\] "GET /path\?q=1 HTTP/1\.1" 200 \d+ "', line)


def test_a_json_access_log_on_standard_output(serve: Callable[..., Served]) -> None:
    served = serve("hello", "--access-log", "json")
    get(served.port)
    served.stop()

    (line,) = served.process.communicate()[0].splitlines()
    assert json.loads(line)["status"] == 200


def test_the_error_log_file_has_everything_else(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "fails.py").write_text("def app(e, s):\n    raise KeyError('x')\n")

    served = serve("fails", "--error-log-file", "error.log")
    get(served.port)
    served.stop()

    text = (tmp_path / "error.log").read_text()
    assert "listening on" in text
    assert "KeyError: 'x'" in text
    assert served.log.read_text() == ""


def test_a_log_that_cannot_be_opened_is_one_sentence(greenwsgi: Run) -> None:
    done = greenwsgi("serve", "hello", "--access-log-file", "no/where.log")

    assert done.returncode == 1
    assert done.stderr.startswith("greenwsgi: --access-log-file: cannot append to 'no/where.log'")


def test_the_log_level_silences_what_is_below(serve: Callable[..., Served]) -> None:
    served = serve("hello", "--log-level", "warning")
    get(served.port)
    served.stop()

    assert served.log.read_text() == ""


@pytest.mark.parametrize(("option", "module"), [((), "True"), (("--no-patch",), "False")])
def test_no_patch_leaves_the_standard_library_alone(
    serve: Callable[..., Served], tmp_path: Path, option: tuple[str, ...], module: str
) -> None:
    (tmp_path / "patched.py").write_text(
        "import threading, time\n"
        f"both = threading.Barrier(2, timeout={0.5 if option else 20})\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    try:\n"
        "        both.wait()\n"
        "        return [b'True']\n"
        "    except threading.BrokenBarrierError:\n"
        "        return [b'False']\n"
    )
    served = serve("patched", *option)
    clients = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(2)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    for client in clients:
        with client, client.makefile("rb") as answer:
            assert module.encode() in answer.read()


def test_the_soft_limit_of_descriptors_is_raised_for_the_connections(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "limit.py").write_text(
        "import resource\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]).encode()]\n"
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        served = serve("limit", "--connections-max", "300")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert get(served.port) == b"1600"


def test_options_reach_the_server(serve: Callable[..., Served]) -> None:
    served = serve("hello", "--request-line-bytes", "100", "--server-header", "mine")
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET /" + b"x" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        with client.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 414 ")
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as answer:
            assert b"\r\nServer: mine\r\n" in answer.read()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sigusr2_prints_the_greens_of_every_process(
    serve: Callable[..., Served], tmp_path: Path, workers: str
) -> None:
    (tmp_path / "waits.py").write_text(WAITS)
    with socket.create_server(("127.0.0.1", 0)) as here:
        served = serve("waits:app", "--workers", workers, CALL=str(here.getsockname()[1]))
        client = socket.create_connection(("127.0.0.1", served.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        call, _ = here.accept()

        def printed() -> bool:  # The call may not have come to its wait at the first signal.
            served.process.send_signal(signal.SIGUSR2)
            text = served.log.read_text()
            processes = set(re.findall(r"greens in process (\d+)", text))
            return len(processes) == int(workers) and "caller.recv(1)" in text

        wait_for(printed)

        call.close()
        client.close()
    assert "waiting for recv on descriptor" in served.log.read_text()
    assert served.stop() == 0


def test_an_application_that_handles_sigusr2_itself_does(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "import signal, sys\nfrom hello import app\n"
        "signal.signal(signal.SIGUSR2, lambda *_: print('mine', file=sys.stderr, flush=True))\n"
    )
    served = serve("own:app")

    served.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: "mine" in served.log.read_text())

    assert "greens in process" not in served.log.read_text()
    assert served.stop() == 0


BLOCKS = """
import ctypes
hold = ctypes.CDLL(None).usleep
def app(environ, start_response):
    hold(1_500_000)
    start_response("200 OK", [])
    return [b"finished"]
"""


def test_the_watchdog_logs_a_call_that_holds_up_the_others(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "blocks.py").write_text(BLOCKS)
    served = serve("blocks:app", "--watchdog", "100ms")

    assert get(served.port) == b"finished"

    wait_for(lambda: "turns again" in served.log.read_text())
    log = served.log.read_text()
    assert "is blocked for" in log
    assert log.count("hold(1_500_000)") == 1  # It is told of once.
    assert served.stop() == 0


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's own time-out ends it."""
    while not condition():
        time.sleep(0.005)


@pytest.mark.parametrize("patch", [[], ["--no-patch"]])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_thread_that_goes_on_does_not_keep_the_process(
    serve: Callable[..., Served], tmp_path: Path, workers: str, patch: list[str]
) -> None:
    (tmp_path / "goes_on.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + HELLO
    )

    served = serve("goes_on:app", "--grace", "0", "--workers", workers, *patch)

    assert served.stop() == 0
    assert "the process has not ended by itself in time" in served.log.read_text()
