"""What greens do to their process: its exit, fork, signals. In subprocesses."""

import os
import subprocess
import sys
import textwrap

import pytest
from sanitized import NO_LEAK_CHECK, measures_memory


def run(program: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check(program: str, output: str, *options: str, **environment: str) -> None:
    done = run(program, *options, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_exit_runs_the_finally_blocks_of_ten_thousand_parked_greens() -> None:
    check(
        """
        import atexit, green
        ran = []
        def work():
            try: green.sleep(1000)
            finally: ran.append(1)
        keep = [green.spawn(work) for _ in range(10000)]
        green.sleep(0)
        never = green.spawn(work)
        atexit._run_exitfuncs()
        print(len(ran), never.dead)
        """,
        "10000 True\n",
    )


def test_exit_does_not_wait_for_greens_that_will_not_end() -> None:
    check(
        """
        import green
        def stubborn():
            while True:
                try: green.sleep(1000)
                except BaseException: pass  # It refuses to end, which is what is tried.
        green.spawn(stubborn)
        green.sleep(0)
        print("bye")
        """,
        "bye\n",
        **NO_LEAK_CHECK,
    )


def test_exit_waits_for_greens_as_long_as_one_of_them_ends_within_a_second() -> None:
    check(
        """
        import atexit, green
        ran = []
        def work(number):
            try: green.sleep(1000)
            finally:
                green.sleep(number * 0.1)
                ran.append(number)
        keep = [green.spawn(work, number) for number in range(15)]
        green.sleep(0)
        atexit._run_exitfuncs()
        print(len(ran))
        """,
        "15\n",
    )


def test_sleep_still_sleeps_after_greens_have_ended() -> None:
    check(
        """
        import atexit, time
        import green
        class Late:  # Let go of after green's own.
            def __del__(self):
                start = time.monotonic()
                green.sleep(0.02)
                print(time.monotonic() - start >= 0.02)
        atexit.register(lambda late: None, Late())
        green.spawn(green.sleep, 100)
        green.sleep(0)
        """,
        "True\n",
    )


@pytest.mark.parametrize("where", ["main", "green"])
def test_the_child_of_a_fork_has_greens_of_its_own(where: str) -> None:
    check(
        f"""
        import os, green
        keep = [green.spawn(green.sleep, 1000) for _ in range(100)]
        green.sleep(0)
        def fork():
            child = os.fork()
            if child == 0:
                result = green.spawn(lambda: (green.sleep(0.001), 42)[1]).get()
                print("child", result, flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            return green.spawn(lambda: "parent").get()
        print(fork() if {where!r} == "main" else green.spawn(fork).get())
        """,
        "child 42\nparent\n",
    )


@pytest.mark.parametrize("where", ["main", "green"])
def test_what_runs_at_a_fork_may_wait_also_when_registered_before_the_import(where: str) -> None:
    check(
        f"""
        import os, socket, time
        def talk():
            one, other = socket.socketpair()
            time.sleep(0.001)
            one.sendall(b"x")
            os.write(1, other.recv(1) + b"\\n")
            one.close(); other.close()
        for when in "before", "after_in_child", "after_in_parent":
            os.register_at_fork(**{{when: talk}})
        import green
        green.monkey_patch()
        os.register_at_fork(after_in_child=talk)
        waiting = green.spawn(time.sleep, 1000)
        def fork():
            if child := os.fork():
                os.waitpid(child, 0)
            else:
                os._exit(0)
        fork() if {where!r} == "main" else green.spawn(fork).get()
        """,
        "x\n" * 4,
    )


def test_a_green_that_forked_ends_the_child_at_its_own_end() -> None:
    check(
        """
        import os, green
        def fork():
            child = os.fork()
            if child == 0:
                green.sleep(0)
                return "child"
            return os.waitpid(child, 0)[1]
        print(green.spawn(fork).get())
        """,
        "0\n",
    )


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("return 'child'", 0),
        ("sys.exit()", 0),
        ("sys.exit(7)", 7),
        ("sys.exit('why')", 1),
        ("1 / 0", 1),
    ],
)
@pytest.mark.parametrize("where", ["main", "thread"])
def test_how_a_green_that_forked_ends_is_the_childs_status(
    where: str, end: str, status: int
) -> None:
    done = run(
        f"""
        import os, sys, threading, green
        def fork():
            child = os.fork()
            if child == 0:
                sys.stdout.write("flushed ")
                {end}
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        def work():
            print(green.spawn(fork).get())
        if {where!r} == "main":
            work()
        else:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        """,
        "-W",
        "ignore",
    )

    assert (done.returncode, done.stdout) == (0, f"flushed {status}\n")
    told = {"sys.exit('why')": "why", "1 / 0": "ZeroDivisionError: division by zero"}
    assert done.stderr.strip().rpartition("\n")[2] == told.get(end, "")


@pytest.mark.parametrize("wait", ["green.sleep(100)", "green.spawn(green.sleep, 100).get()"])
def test_a_signal_reaches_the_main_program_while_it_is_parked(wait: str) -> None:
    check(
        f"""
        import os, signal, threading, green
        main = threading.main_thread().ident
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
        try: timer.start(); {wait}
        except KeyboardInterrupt: print("interrupted", green.getcurrent().name)
        """,
        "interrupted main\n",
    )


def test_a_handler_that_does_not_raise_lets_the_wait_go_on() -> None:
    check(
        """
        import signal, time, green
        signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        start = time.monotonic()
        green.sleep(0.1)
        print(time.monotonic() - start >= 0.1)
        """,
        "alarm\nTrue\n",
    )


def test_a_signal_is_seen_after_another_gave_the_wakeup_descriptor_away() -> None:
    check(
        """
        import os, signal, threading, green
        green.sleep(0)
        signal.set_wakeup_fd(-1)
        main = threading.main_thread().ident
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
        try: timer.start(); green.sleep(100)
        except KeyboardInterrupt: print("interrupted")
        """,
        "interrupted\n",
    )


def test_who_has_set_the_wakeup_descriptor_before_is_told_that_it_is_full() -> None:
    code = """
        import os, signal, green
        here, there = os.pipe2(os.O_NONBLOCK)
        while True:
            try: os.write(there, bytes(65536))
            except BlockingIOError: break
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.set_wakeup_fd(there)
        green.sleep(0)
        os.kill(os.getpid(), signal.SIGUSR1)
        """
    done = run(code)
    assert done.returncode == 0
    assert "trying to write to the signal wakeup fd" in done.stderr


def test_the_child_that_a_native_thread_forks_has_nothing_to_wake_the_parent_with() -> None:
    check(
        """
        import os, signal, threading, green
        def pipes():
            links = set()
            for fd in os.listdir("/proc/self/fd"):
                try: links.add(os.readlink(f"/proc/self/fd/{fd}"))
                except OSError: pass
            return {link for link in links if link.startswith("pipe:")}
        before = pipes()
        green.sleep(0)
        own = pipes() - before
        def fork():
            pid = os.fork()
            if pid == 0: os._exit(len(own & pipes()) + 10 * (signal.set_wakeup_fd(-1) != -1))
            print(len(own), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        """,
        "1 0\n",
        "-Wignore::DeprecationWarning",  # Of forks in processes with threads.
    )


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "SystemExit(0)"])
def test_what_ends_programs_goes_from_a_green_to_the_main_program(error: str) -> None:
    check(
        f"""
        import green
        def work(): raise {error}
        green.spawn(work)
        try: green.sleep(100)
        except BaseException as error: print(type(error).__name__)
        """,
        error.partition("(")[0] + "\n",
    )


def test_a_chain_of_containers_is_freed_in_a_green() -> None:
    check(
        """
        import green
        def work():
            x = []
            for _ in range(200000): x = [x]
        green.spawn(work).get()
        print("freed")
        """,
        "freed\n",
    )


def test_a_subinterpreter_is_refused() -> None:
    done = run(
        """
        import green
        try:
            import _interpreters as i
        except ImportError:
            import _xxsubinterpreters as i
        ident = i.create()
        try:
            problem = i.run_string(ident, "import green")
            print("refused" if problem is not None else "allowed")
        except Exception:
            print("refused")
        """
    )
    assert done.stdout == "refused\n"


@measures_memory
def test_memory_is_flat_over_many_greens() -> None:
    check(
        """
        import green, gc
        def rss():
            with open("/proc/self/statm") as file: return int(file.read().split()[1]) * 4
        def fail(): raise ValueError
        def cycle():
            greens = [green.spawn(green.sleep, 0) for _ in range(100)]
            for each in greens: each.join()
            try: green.spawn(fail).get()
            except ValueError: pass
            with green.Timeout(100): green.spawn(green.sleep, 100).kill()
            green.sleep(0)
        for _ in range(20): cycle()
        before = rss()
        for _ in range(300): cycle()
        print(rss() - before < 1024)
        """,
        "True\n",
    )
