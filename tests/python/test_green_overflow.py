"""Greens that use up their stack: RecursionError where CPython looks at all, else a clear end."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from sanitized import FAULTS_ARE_PYTHONS


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **FAULTS_ARE_PYTHONS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


RECURSIONS = {
    "python": "f = lambda: f()\nf()",
    "repr": "x = []\nfor _ in range(100000): x = [x]\nrepr(x)",
    "getattr": "class A:\n  def __getattr__(self, name): return getattr(self, name + 'x')\nA().b",
    "compare": "x = []\ny = []\nfor _ in range(100000): x, y = [x], [y]\nx == y",
    "json": "import json\njson.loads('[' * 100000)",
    "pickle": "import pickle\nx = []\nfor _ in range(100000): x = [x]\npickle.dumps(x)",
    "add": "class A:\n  def __add__(self, other): return self + other\nA() + 1",
}


@pytest.mark.parametrize("kind", RECURSIONS)
def test_deep_recursion_in_a_green_is_an_error_and_no_crash(kind: str) -> None:
    body = textwrap.indent(RECURSIONS[kind], "    ")
    done = run(
        "import green\ndef work():\n"
        + body
        + "\ntry: green.spawn(work).get()\nexcept RecursionError: print('refused')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")


#: Each level takes some 3 KiB of the stack: 1 MiB is used up long before 1000 levels.
THROUGH_C = """
import green, sys
def again(number):
    return sorted([number], key=lambda each: list(map(again, [each + 1])))
def overflow():
    try: again(0)
    except RecursionError: return "refused"
"""

#: Levels of recursion that Python allows here.
LEVELS = """
def levels():
    deepest = 0
    def down(number):
        nonlocal deepest
        deepest = number
        down(number + 1)
    try: down(1)
    except RecursionError: return deepest
"""


def check(program: str, output: str) -> None:
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


#: nest(n, leaf): tuples in tuples, n levels deep.
NESTED = """
import green, threading
def nest(levels, leaf=()):
    for number in range(levels): leaf = (number, leaf, "x")
    return leaf
"""


def test_the_hash_of_nested_tuples_is_that_of_a_thread_with_a_large_stack() -> None:
    check(
        NESTED
        + """
found = []
threading.stack_size(256 << 20)
thread = threading.Thread(target=lambda: found.append(hash(nest(50000))))
thread.start()
thread.join()
print(green.spawn(hash, nest(50000)).get() == found[0])
""",
        "True\n",
    )


def test_an_item_of_nested_tuples_may_switch_and_hash_nested_tuples_itself() -> None:
    check(
        NESTED
        + """
class Leaf:
    def __hash__(self):
        green.sleep(0)
        return hash(nest(30000))
one, other = nest(30000, Leaf()), nest(30000, nest(30000))
print(green.spawn(hash, one).get() == green.spawn(hash, other).get())
""",
        "True\n",
    )


def test_an_item_that_has_no_hash_is_named_however_deep_it_is() -> None:
    check(
        NESTED
        + """
try: green.spawn(hash, nest(50000, [])).get()
except TypeError as error: print(error)
""",
        "unhashable type: 'list'\n",
    )


def test_recursion_through_c_is_an_error_each_time() -> None:
    check(
        THROUGH_C
        + """
def work():
    return {overflow() for _ in range(20) if not green.sleep(0)}
print([green.get() for green in [green.spawn(work) for _ in range(10)]] == [{"refused"}] * 10)
""",
        "True\n",
    )


def test_recursion_through_c_is_an_error_each_time_also_without_a_switch() -> None:
    check(
        THROUGH_C
        + """
print(green.spawn(lambda: {overflow() for _ in range(100)}).get())
""",
        "{'refused'}\n",
    )


def test_the_error_can_be_handled_where_it_is_raised() -> None:
    check(
        THROUGH_C
        + """
def careful(number):
    try: return sorted([number], key=lambda each: careful(each + 1))
    except RecursionError: return [str(number) + "!"]
found = green.spawn(careful, 0).get()
print(found)
""",
        "[0]\n",
    )


def test_after_the_next_switch_all_levels_are_there_again() -> None:
    check(
        THROUGH_C
        + LEVELS
        + """
def work():
    before = levels()
    overflow()
    green.sleep(0)
    return levels() - before
print(green.spawn(work).get())
""",
        "0\n",
    )


def test_another_green_has_all_levels_while_one_is_deep_down() -> None:
    check(
        THROUGH_C
        + LEVELS
        + """
seen = []
def again(number):
    try: return sorted([number], key=lambda each: list(map(again, [each + 1])))
    except RecursionError:
        green.sleep(0)
        seen.append(number)
        raise
expected = green.spawn(levels).get()
deep = green.spawn(overflow)
other = [green.spawn(levels) for _ in range(3)]
print(deep.get(), {each.get() - expected for each in other}, len(seen) > 10)
""",
        "refused {0} True\n",
    )


@pytest.mark.parametrize("call", ["enable()", "enable(); faulthandler.disable()"])
def test_the_error_comes_before_a_fault_handler_that_is_enabled_later(call: str) -> None:
    check(
        "import green; green.monkey_patch(); green.sleep(0)\n"
        f"import faulthandler; faulthandler.{call}\n"
        + THROUGH_C
        + "print(green.spawn(overflow).get())\n",
        "refused\n",
    )


OVERFLOW = """
def overflow():
    it = []
    for _ in range(100000): it = map(int, it)
    next(it)
green.spawn(overflow).get()
"""


@pytest.mark.parametrize(
    "enabled",
    [
        "import faulthandler, green; faulthandler.enable()",
        "import faulthandler, green; green.monkey_patch(); green.sleep(0); faulthandler.enable()",
    ],
    ids=["before", "after"],
)
def test_what_cpython_does_not_count_names_the_green_and_shows_the_traceback(enabled: str) -> None:
    done = run(enabled + OVERFLOW)

    assert done.returncode == -11
    assert "greenwsgi: green stack overflow in green " in done.stderr
    assert "(stack of 1024 KiB; see --stack-size)" in done.stderr
    assert "in overflow" in done.stderr


def test_a_fault_handler_that_was_disabled_again_shows_nothing() -> None:
    done = run(
        "import faulthandler, green; green.monkey_patch(); green.sleep(0)\n"
        "faulthandler.enable(); faulthandler.disable()" + OVERFLOW
    )

    assert done.returncode == -11
    assert done.stderr.startswith("greenwsgi: green stack overflow in green ")
    assert "in overflow" not in done.stderr


def test_a_crash_elsewhere_is_left_to_whoever_handled_it() -> None:
    done = run("import ctypes, green; green.sleep(0); ctypes.string_at(8)")

    assert done.returncode == -11
    assert done.stderr == ""


BLOCK_ALL = """
import signal
green.monkey_patch()
def block():
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
"""


def test_recursion_through_c_is_an_error_also_where_all_signals_are_blocked() -> None:
    check(
        THROUGH_C
        + BLOCK_ALL
        + """
def work():
    block()
    return overflow(), green.spawn(overflow).get()
print(green.spawn(work).get())
block()
print(green.spawn(overflow).get())
""",
        "('refused', 'refused')\nrefused\n",
    )


def test_the_end_of_a_green_that_blocks_all_signals_is_told() -> None:
    done = run(
        "import green"
        + BLOCK_ALL
        + """
def work():
    block()
    x = iter(())
    for _ in range(100000): x = map(int, x)
    next(x)
green.spawn(work).join()
"""
    )

    assert done.returncode == -signal.SIGSEGV
    assert "green stack overflow in green" in done.stderr


def test_an_exception_that_waits_while_it_is_made_leaves_others_their_recursion_errors() -> None:
    done = run("""
        import green

        class Slow(BaseException):
            def __init__(self, *arguments):
                green.sleep(1)

        def caught():
            try:
                green.sleep(9)
            except Slow:
                pass

        def deep():
            deep()

        waits = green.spawn(caught)
        green.sleep(0)
        waits.kill(Slow, block=False)
        green.sleep(0)
        recursion = green.spawn(deep)
        recursion.join()
        print(type(recursion.exception))
    """)

    assert done.stdout == "<class 'RecursionError'>\n", done.stderr
