"""`python -m green program`: all that can be seen of it is what `python program` shows."""

from __future__ import annotations

import os
import py_compile
import re
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import green

SECONDS = 30.0

SHOW = """
import sys
print(sorted(globals()), sys.argv, __name__, __doc__, __package__)
print(globals().get("__annotations__"))
def typed(number: int): return number
print(typed.__annotations__)
print(repr(sys.path[0]), len(sys.path), globals().get("__file__"), __spec__)
print(type(__loader__), type(__builtins__), sys.modules["__main__"].__dict__ is globals())
print(sys.flags.safe_path, [name for name in sys.modules if name.startswith("_frozen")])
"""


def run(
    *arguments: str, cwd: Path, safe: bool = False, stdin: str = "", options: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Status, output and complaints of `python ARGUMENTS`, run in `cwd`."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    environment["PYTHONPATH"] = str(Path(green.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, *(["-P"] if safe else []), *options, *arguments],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    printed, complaints = (re.sub("0x[0-9a-f]+", "0x", text) for text in (done.stdout, done.stderr))
    return done.returncode, printed, complaints


def assert_as_python(
    *arguments: str, cwd: Path, safe: bool = False, stdin: str = ""
) -> tuple[int, str, str]:
    """Runs it both ways; the outcome, which is the same but for addresses in memory."""
    plain = run(*arguments, cwd=cwd, safe=safe, stdin=stdin)
    ours = run("-m", "green", *arguments, cwd=cwd, safe=safe, stdin=stdin)
    assert ours == plain
    return ours


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return name


# --- What a program sees


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("name", ["show.py", "./show.py", "inner/show.py", "inner/../show.py"])
def test_a_file(tmp_path: Path, name: str, safe: bool) -> None:
    write(tmp_path, "show.py", SHOW)
    write(tmp_path, "inner/show.py", '"""Documented."""\n' + SHOW)

    status, printed, _ = assert_as_python(name, "-x", "--help", "a b", cwd=tmp_path, safe=safe)

    assert status == 0
    assert f"['{name}', '-x', '--help', 'a b'] __main__" in printed


def test_a_file_by_its_full_path_and_by_a_link(tmp_path: Path) -> None:
    write(tmp_path, "place/show.py", SHOW)
    (tmp_path / "link.py").symlink_to(tmp_path / "place" / "show.py")

    assert_as_python(str(tmp_path / "place" / "show.py"), cwd=tmp_path)
    assert_as_python("link.py", cwd=tmp_path)


def test_a_compiled_file(tmp_path: Path) -> None:
    write(tmp_path, "show.py", SHOW)
    py_compile.compile(str(tmp_path / "show.py"), str(tmp_path / "compiled.pyc"))

    assert assert_as_python("compiled.pyc", "a", cwd=tmp_path)[0] == 0


@pytest.mark.parametrize("safe", [False, True])
def test_a_directory_and_a_zip_file(tmp_path: Path, safe: bool) -> None:
    write(tmp_path, "folder/__main__.py", SHOW + "import beside\n")
    write(tmp_path, "folder/beside.py", "print(__name__)\n")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        for name in ("__main__.py", "beside.py"):
            packed.write(tmp_path / "folder" / name, name)

    for program in ("folder", "./folder", "packed.zip"):
        assert assert_as_python(program, "a", cwd=tmp_path, safe=safe)[0] == 0
    assert_as_python(str(tmp_path / "folder"), cwd=tmp_path, safe=safe)


def test_a_module_and_a_package(tmp_path: Path) -> None:
    write(tmp_path, "show.py", SHOW)
    write(tmp_path, "package/__init__.py", "print('package')\n")
    write(tmp_path, "package/__main__.py", SHOW + "from . import part\n")
    write(tmp_path, "package/part.py", SHOW)

    for module in ("show", "package", "package.part"):
        assert assert_as_python("-m", module, "-m", "a", cwd=tmp_path)[0] == 0
    assert assert_as_python("-mshow", "a", cwd=tmp_path)[0] == 0


@pytest.mark.parametrize("safe", [False, True])
def test_code_and_stdin(tmp_path: Path, safe: bool) -> None:
    assert assert_as_python("-c", SHOW, "-c", "a", cwd=tmp_path, safe=safe)[0] == 0
    assert assert_as_python("-cprint(5)", cwd=tmp_path, safe=safe)[1] == "5\n"
    assert assert_as_python("-", "a", cwd=tmp_path, safe=safe, stdin=SHOW)[0] == 0


def test_a_name_that_begins_with_a_dash_comes_behind_two(tmp_path: Path) -> None:
    write(tmp_path, "-c.py", SHOW)

    status, printed, _ = run("-m", "green", "--", "-c.py", "a", cwd=tmp_path)

    assert (status, "['-c.py', 'a']" in printed) == (0, True)


def test_main_can_be_pickled_and_imported(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        "prog.py",
        """
        import atexit, inspect, multiprocessing, pickle, threading

        class Thing:
            def __init__(self, number):
                self.number = number

        def double(thing):
            return Thing(thing.number * 2)

        if __name__ == "__main__":
            import __main__
            assert pickle.loads(pickle.dumps(Thing(1))).number == 1
            assert __main__.Thing is Thing
            print(inspect.getsource(double))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print([each.number for each in pool.map(double, [Thing(1), Thing(2)])])
            atexit.register(lambda: print(__import__("__main__").Thing is Thing))
        """,
    )

    status, printed, complaints = assert_as_python(name, cwd=tmp_path)

    assert (status, complaints) == (0, "")
    assert printed.endswith("[2, 4]\nTrue\n")


# --- How it ends

ENDS = {
    "an error": "def fail():\n    1 / 0\nfail()",
    "a chain": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('x') from None",
    "a context": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise KeyError('x')",
    "a group": "raise ExceptionGroup('many', [KeyError('a'), ValueError('b')])",
    "an interrupt": "raise KeyboardInterrupt",
    "a deep error": "def down(n):\n    return down(n + 1) + 1\ntry:\n    down(0)\n"
    "except RecursionError:\n    raise OSError(5, 'deep') from None",
    "wrong syntax": "x = (",
    "a wrong indent": "if 1:\npass",
    "no status": "import sys\nsys.exit()",
    "a status": "import sys\nsys.exit(3)",
    "a text": "raise SystemExit('good bye')",
    "a strange status": "raise SystemExit([1, 2])",
    "a green exit": "import green\nraise green.GreenExit",
    "a bare base": "raise BaseException('base')",
    "a hook": "import sys\nsys.excepthook = lambda kind, error, trace: print(kind, error, "
    "trace.tb_frame.f_code.co_name, trace.tb_next, error.__traceback__ is trace)\n1 / 0",
    "the last error": "import atexit, sys\natexit.register(lambda: print("
    "sys.last_value, sys.last_traceback.tb_lineno, sys.excepthook is sys.__excepthook__))\n1 / 0",
    "an error at exit": "import atexit\natexit.register(lambda: 1 / 0)",
    "an error in a thread": "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\n"
    "thread.start()\nthread.join()",
    "a warning": "import warnings\nwarnings.warn('beware')",
    "a thread that goes on": "import threading, time\nthreading.Thread(target=lambda: ("
    "time.sleep(0.05), print('the thread is done'))).start()\nprint('main is done')",
    "a daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(100,), "
    "daemon=True).start()",
}


@pytest.mark.parametrize("end", ENDS)
def test_the_end_is_that_of_python(tmp_path: Path, end: str) -> None:
    write(tmp_path, "prog.py", ENDS[end] + "\n")

    _, printed, complaints = assert_as_python("prog.py", cwd=tmp_path)

    assert (printed + complaints != "") == (end not in ("no status", "a status", "a daemon"))


@pytest.mark.parametrize("end", ["an error", "an interrupt", "wrong syntax", "a status", "a hook"])
def test_the_end_of_a_module_and_of_code_is_that_of_python(tmp_path: Path, end: str) -> None:
    write(tmp_path, "prog.py", ENDS[end] + "\n")

    assert_as_python("-m", "prog", cwd=tmp_path)
    assert_as_python("-c", ENDS[end], cwd=tmp_path)


@pytest.mark.parametrize("program", ["nope.py", "./nope", "empty", "unreadable/x.py", "broken.zip"])
def test_what_cannot_be_run_is_refused_as_by_python(tmp_path: Path, program: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path, "unreadable", "no directory")
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as packed:
        packed.writestr("other.py", "")

    assert assert_as_python(program, cwd=tmp_path)[0] != 0


def test_a_module_that_is_not_there_is_refused_as_by_python(tmp_path: Path) -> None:
    write(tmp_path, "package/__init__.py", "")

    for module in ("nope", "package", "package.nope"):
        assert assert_as_python("-m", module, cwd=tmp_path)[0] == 1


def test_ctrl_c_while_the_program_waits_ends_it_as_python_does(tmp_path: Path) -> None:
    write(
        tmp_path,
        "prog.py",
        """
        import time, green
        green.spawn(time.sleep, 100)
        try:
            print("ready", flush=True)
            time.sleep(100)
        finally:
            print("cleaned up", flush=True)
        """,
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "green", "prog.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(green.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=SECONDS)

    assert process.returncode == -signal.SIGINT
    assert printed == "cleaned up\n"
    assert complaints.endswith("KeyboardInterrupt\n")
    assert complaints.count("File ") == 1


def test_greens_that_are_left_are_ended_and_not_waited_for(tmp_path: Path) -> None:
    write(
        tmp_path,
        "prog.py",
        """
        import time, green

        def work():
            try:
                time.sleep(100)
            finally:
                print("the green was ended")

        green.spawn(work)
        time.sleep(0)
        print("main is done")
        """,
    )

    assert run("-m", "green", "prog.py", cwd=tmp_path) == (
        0,
        "main is done\nthe green was ended\n",
        "",
    )


# --- What is ours


def test_a_program_is_patched_before_it_imports_anything(tmp_path: Path) -> None:
    write(
        tmp_path,
        "prog.py",
        """
        import green
        print(green.is_monkey_patched("socket"), green.getcurrent().name)
        """,
    )

    patched = run("-m", "green", "prog.py", cwd=tmp_path)[1]
    plain = run("-m", "green", "--no-patch", "prog.py", cwd=tmp_path)[1]

    assert patched.split()[0] == "True"
    assert plain.split()[0] == "False"
    assert patched.split()[1:] == plain.split()[1:] != []


def test_the_help_fits_a_screen_and_names_all_ways_and_commands(tmp_path: Path) -> None:
    asked = run("-m", "green", "--help", cwd=tmp_path)
    bare = run("-m", "green", cwd=tmp_path)

    assert (asked[0], bare[0]) == (0, 2)
    assert asked[1] == bare[1]
    for word in ("program.py", "-m module", "-c code", "--no-patch", "serve  ", "./NAME"):
        assert word in asked[1]
    assert len(asked[1].splitlines()) <= 24
    assert asked[1].endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-x"], "python -m green: there is no option -x; see python -m green --help"),
        (["--no-patch"], "python -m green: name a program; see python -m green --help"),
        (["-m"], "python -m green: -m needs an argument; see python -m green --help"),
        (["--no-patch", "-c"], "python -m green: -c needs an argument; see"),
        (["sreve"], "greenwsgi: argument COMMAND: invalid choice: 'sreve'"),
        (["serve", "--bnd"], "greenwsgi: there is no option --bnd; did you mean '--bind'?"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    status, printed, complaints = run("-m", "green", *arguments, cwd=tmp_path)

    assert (status, printed) == (2, "")
    assert complaints.startswith(sentence)
    assert complaints.count("\n") == 1


def test_a_command_goes_before_a_file_of_its_name_which_needs_a_path(tmp_path: Path) -> None:
    write(tmp_path, "serve", "print('the file')\n")
    write(tmp_path, "plain", "print('no command')\n")

    assert "APP is one of" in run("-m", "green", "serve", "--help", cwd=tmp_path)[1]
    assert run("-m", "green", "./serve", "--help", cwd=tmp_path)[1] == "the file\n"
    assert run("-m", "green", "plain", cwd=tmp_path)[1] == "no command\n"
    assert run("-m", "green", "--version", cwd=tmp_path)[1].startswith("greenwsgi ")


def test_pytest_runs_as_a_patched_program(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test_it.py",
        """
        import green, time

        def test_sleep():
            assert green.is_monkey_patched("time")
            green.spawn(time.sleep, 0).join()
        """,
    )

    status, printed, _ = run(
        "-m", "green", "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path
    )

    assert (status, "1 passed" in printed) == (0, True)
