"""signal.pthread_sigmask under the patch: each green has a mask of its own, as a thread has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from leaks import once
from patched import assert_same, isolated, outcome, patch, run_patched, start_natively, together
from sanitized import NO_LEAK_CHECK

ONE, TWO, THREE = signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM


def kernels_mask() -> set[int]:
    """What the kernel says that the calling OS thread blocks."""
    status = Path("/proc/thread-self/status").read_text()
    bits = int(status.split("SigBlk:")[1].split()[0], 16)
    return {number for number in range(1, 65) if bits >> (number - 1) & 1}


def mask() -> set[int]:
    """The caller's, about which Python and the kernel must agree."""
    told = set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    assert told == kernels_mask()
    return told


def block(*numbers: int) -> set[int]:
    return set(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, numbers)))


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


# --- Whose it is


@isolated
def test_what_a_green_blocks_is_blocked_while_it_runs_and_not_while_others_run() -> None:
    patch()
    seen: list[set[int]] = []

    def use(*numbers: int) -> None:
        for count, number in enumerate(numbers):
            before = block(number)
            assert before == set(numbers[:count])
            time.sleep(0)
            seen.append(mask())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers[:1])
        time.sleep(0.001)
        seen.append(mask())

    together(lambda: use(ONE, TWO), lambda: use(THREE), lambda: use(), mask)

    assert seen.count({ONE}) == 1
    assert seen.count({ONE, TWO}) == 1
    assert seen.count({THREE}) == 1
    assert seen.count({TWO}) == 1
    assert seen.count(set()) == 2
    assert mask() == set()


@isolated
def test_main_program_and_greens_change_their_masks_without_each_other() -> None:
    patch()
    import green

    begun, goes_on = green.Event(), green.Event()

    def wait() -> tuple[set[int], set[int]]:
        begun.set()
        goes_on.wait()
        return mask(), block(TWO)

    waiting = green.spawn(wait)
    begun.wait()
    block(ONE)
    goes_on.set()

    assert waiting.get() == (set(), set())
    assert mask() == {ONE}
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    assert mask() == set()


@isolated
def test_a_green_begins_with_the_mask_that_its_spawner_had() -> None:
    patch()
    import green

    block(THREE)
    found: list[Any] = []

    def spawn() -> None:
        block(ONE)
        greens = [green.spawn(mask), green.spawn_later(0.001, mask)]
        thread = threading.Thread(target=lambda: found.append(mask()))
        thread.start()
        block(TWO)
        thread.join()
        found.extend(each.get() for each in greens)

    green.spawn(spawn).get()

    assert found == [{ONE, THREE}] * 3
    assert green.spawn(mask).get() == {THREE}


@isolated
def test_what_was_blocked_before_the_first_green_is_everybodys_until_changed() -> None:
    block(ONE)
    patch()
    import green

    def change() -> set[int]:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [ONE])
        block(TWO)
        green.sleep(0)
        return mask()

    assert together(change, mask, change) == [{TWO}, {ONE}, {TWO}]
    assert mask() == {ONE}


@isolated
def test_the_mask_of_a_green_that_is_killed_ends_with_it() -> None:
    patch()
    import green

    def wait() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        green.sleep(60)

    waiting = green.spawn(wait)
    green.sleep(0)
    waiting.kill()
    waiting.join()

    assert mask() == set()
    assert green.spawn(mask).get() == set()


@isolated
def test_a_green_of_a_request_has_the_main_programs_mask() -> None:
    patch()
    import http.client
    import socket

    import green
    from green import _core

    found: list[set[int]] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        found.append(mask())
        block(TWO)
        time.sleep(0)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = _core.Server(app, [listener.detach()])

    def ask() -> None:
        block(ONE)
        for _ in range(3):
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            client.request("GET", "/")
            client.getresponse().read()
            client.close()
        server.stop(10.0)

    green.sleep(0)
    block(THREE)
    asking = green.spawn(ask)
    server.run()
    asking.get()

    assert found == [{THREE}] * 3
    assert mask() == {THREE}


@isolated
def test_a_native_thread_has_its_own_as_ever() -> None:
    patch()
    import green

    found: list[set[int]] = []

    def run() -> None:
        found.append(mask())
        block(TWO)
        green.sleep(0)  # From here on it has a hub and greens.
        found.append(green.spawn(lambda: (block(THREE), mask())).get()[1])
        found.append(mask())

    def start() -> None:
        block(ONE)
        thread = threading.Thread(target=run)
        start_natively(thread)
        thread.join()

    green.spawn(start).get()

    assert found == [{ONE}, {ONE, TWO, THREE}, {ONE, TWO}]
    assert mask() == set()


# --- What goes on with it


def mask_of_child(run: Callable[[list[str]], int]) -> set[int]:
    program = "import signal, sys; sys.exit(signal.SIGUSR1 in signal.pthread_sigmask(0, []))"
    return {int(ONE)} if run([sys.executable, "-S", "-E", "-c", program]) else set()


def by_fork() -> set[int]:
    child = os.fork()
    if child == 0:
        os._exit(int(mask() == {ONE}))
    return {int(ONE)} if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) else set()


def by_spawn() -> set[int]:
    def run(command: list[str]) -> int:
        child = os.posix_spawn(command[0], command, os.environ)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return mask_of_child(run)


def natively() -> set[int]:
    import green

    return mask_of_child(lambda command: green.native.call(subprocess.call, command))


@isolated(**NO_LEAK_CHECK)
def test_a_child_begins_with_the_mask_of_the_green_that_starts_it() -> None:
    patch()
    ways = [lambda: mask_of_child(subprocess.call), by_spawn, by_fork, natively]

    def blocked() -> list[set[int]]:
        block(ONE)
        return [way() for way in ways]

    found = together(blocked, lambda: [way() for way in ways])

    assert found == [[{ONE}] * 4, [set()] * 4]


def test_greens_of_a_forked_child_have_masks_of_their_own() -> None:
    done = run_patched(
        "def mask(): return sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))\n"
        "def inner():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [2])\n"
        "    time.sleep(0)\n"
        "    return mask()\n"
        "def work():\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, [1])\n"
        "    child = os.fork()\n"
        "    time.sleep(0)\n"
        "    found = [green.spawn(inner).get(), green.spawn(mask).get(), mask()]\n"
        "    if child: os.waitpid(child, 0)\n"
        "    os.write(1, f'{found}\\n'.encode())\n"
        "green.spawn(work).get()\n"
        "print(mask())\n"
    )

    own = "[[1, 2], [1], [1]]\n"
    assert (done.stdout, done.stderr) == (own + own + "[]\n", "")


# --- When signals come


@isolated
def test_signals_reach_the_main_program_while_a_green_waits_that_has_blocked_them() -> None:
    patch()
    import green

    handled = green.Event()
    signal.signal(THREE, lambda *_: handled.set())
    blocks: Any = lambda: block(*signal.valid_signals())  # noqa: E731

    for wait in (lambda: green.sleep(60), lambda: [green.sleep(0) for _ in iter(int, 1)]):
        handled.clear()
        waiting = green.spawn(lambda w=wait: (blocks(), w()))
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with green.Timeout(20):
            handled.wait()
        waiting.kill()
        waiting.join()


@isolated
def test_a_signal_that_a_green_holds_off_comes_when_it_waits() -> None:
    patch()
    import green

    handled = green.Event()
    order: list[str] = []
    signal.signal(ONE, lambda *_: (order.append("handled"), handled.set()))

    def work() -> None:
        block(ONE)
        send(ONE)
        for _ in range(1000):
            pass
        order.append("worked")
        green.sleep(60)

    # Nobody is told of it but the main program, which asyncio's loops bring about as well.
    for wakeup in (None, -1):
        if wakeup is not None:
            signal.set_wakeup_fd(wakeup)
        handled.clear()
        working = green.spawn(work)
        with green.Timeout(20):
            handled.wait()
        working.kill()

    assert order == ["worked", "handled"] * 2


@isolated
@once("the mask that it leaves behind is the next one's")
def test_a_handler_that_unblocking_runs_may_wait() -> None:
    patch()
    import green

    during: list[set[int]] = []
    other = green.spawn(lambda: [(green.sleep(0), during.append(mask())) for _ in range(3)])

    def handle(number: int, frame: Any) -> None:
        assert mask() == {TWO}
        other.join()
        assert mask() == {TWO}

    signal.signal(ONE, handle)
    block(ONE, TWO)
    send(ONE)

    assert signal.pthread_sigmask(signal.SIG_UNBLOCK, iter([ONE])) == {ONE, TWO}
    assert mask() == {TWO}
    assert during == [set()] * 3


@isolated
def test_a_mask_is_changed_also_where_a_handler_raises() -> None:
    patch()

    def ring(number: int, frame: Any) -> None:
        raise LookupError("ring")

    signal.signal(ONE, ring)
    block(ONE, TWO)
    send(ONE)

    assert outcome(signal.pthread_sigmask, signal.SIG_SETMASK, [TWO]) == (LookupError, "ring")
    time.sleep(0)
    assert mask() == {TWO}


@isolated
def test_a_green_takes_a_signal_that_it_alone_has_blocked() -> None:
    patch()
    import green

    def take() -> int:
        block(ONE)
        send(ONE)
        return signal.sigwait([ONE])

    assert green.spawn(take).get() == ONE


# --- As unpatched


class Index:
    def __index__(self) -> int:
        time.sleep(0)
        return int(TWO)


@isolated
def test_the_answers_are_those_of_the_unpatched_function() -> None:
    def outcomes() -> list[Any]:
        change = signal.pthread_sigmask
        everything = range(1, 65)
        told = [
            outcome(change, signal.SIG_BLOCK, [ONE, TWO]),
            outcome(change, signal.SIG_UNBLOCK, (number for number in (ONE, 64))),
            outcome(change, signal.SIG_SETMASK, everything),
            kernels_mask() | {signal.SIGSEGV},
            outcome(change, signal.SIG_SETMASK, {Index()}),
            outcome(change, signal.SIG_BLOCK, [ONE, True]),
            kernels_mask(),
        ]
        for how in (99, -1, "x", None, 2**40):
            told.append(outcome(change, how, [ONE]))
        for wrong in (5, [0], [65], [-1], ["x"], [2**80], None):
            told.append(outcome(change, signal.SIG_BLOCK, wrong))
        told += [outcome(change), outcome(change, signal.SIG_BLOCK)]
        told.append(outcome(change, signal.SIG_BLOCK, [ONE, THREE, "x"]))
        time.sleep(0)
        told.append(kernels_mask())
        change(signal.SIG_SETMASK, [])
        return told

    before = outcomes()
    patch()

    assert_same(outcomes(), before)
    assert_same(together(outcomes)[0], before)
    assert_same(outcomes(), before)


# --- Faults


@isolated
def test_faults_that_a_green_blocks_are_told_as_blocked() -> None:
    patch()
    import green

    fault = int(signal.SIGSEGV)

    def change() -> list[set[int]]:
        told = [block(fault, ONE), block()]
        green.sleep(0)
        told.append(green.spawn(block).get())
        told.append(set(map(int, signal.pthread_sigmask(signal.SIG_UNBLOCK, [fault]))))
        return [*told, mask()]

    assert green.spawn(change).get() == [set(), {fault, ONE}, {fault, ONE}, {fault, ONE}, {ONE}]
    block(fault)
    assert mask() == {fault}
    assert green.spawn(block).get() == {fault}
    assert green.spawn(kernels_mask).get() == set()
    assert mask() == {fault}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [fault])


# --- Who needs it


@isolated
def test_sharing_a_descriptor_blocks_no_signals_of_other_greens() -> None:
    patch()
    import multiprocessing
    from multiprocessing import resource_sharer

    context = multiprocessing.get_context("fork")
    here, _ = context.Pipe()
    shared = resource_sharer.DupFd(here.fileno())  # type: ignore[attr-defined]
    descriptor = shared.detach()  # Its server, a thread, blocks every signal.
    os.close(descriptor)
    child = context.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(30)

    assert child.exitcode == -signal.SIGTERM
    assert mask() == set()
    resource_sharer.stop()  # type: ignore[attr-defined]
