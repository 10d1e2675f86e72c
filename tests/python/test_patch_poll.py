"""Objects of select.poll under the patch."""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import time
from typing import Any

from leaks import once
from patched import (
    Index,
    Ticker,
    assert_same,
    isolated,
    outcome,
    patch,
    run_patched,
    start_natively,
    together,
)

import green

early = select.poll()


@isolated
@once("the poll object keeps what it waits for")
def test_a_poll_object_made_before_waits_on_the_hub_without_a_thread() -> None:
    patch()
    ends = [os.pipe() for _ in range(30)]
    for read_end, _ in ends:
        early.register(read_end, select.POLLIN)

    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = threads()

    def write() -> None:
        time.sleep(0.02)
        assert threads() == before
        os.write(ends[7][1], b"x")

    with Ticker() as ticker:
        assert together(early.poll, write)[0] == [(ends[7][0], select.POLLIN)]
        os.read(ends[7][0], 1)
        began = time.monotonic()
        assert together(lambda: early.poll(30.5)) == [[]]
        assert time.monotonic() - began >= 0.0305

    ticker.assert_kept_running()


def events_of_every_kind() -> list[Any]:
    """What poll() tells at once, without numbers of descriptors."""
    read_end, write_end = os.pipe()
    hung_up, other = os.pipe()
    os.close(other)
    broken_end, broken = os.pipe()
    os.close(broken_end)
    closed = os.dup(read_end)
    one, two = socket.socketpair()
    two.shutdown(socket.SHUT_WR)
    file = os.open("/etc/passwd", os.O_RDONLY)
    told = []
    for fd in (read_end, write_end, hung_up, broken, closed, one.fileno(), file):
        for events in (0, select.POLLIN, select.POLLOUT, select.POLLPRI, select.POLLRDHUP, 0x7FFF):
            poll = select.poll()
            poll.register(fd, events)
            if fd == closed and events == 0:
                os.close(closed)
            told.append([event for _, event in poll.poll(5)])
    for fd in (read_end, write_end, hung_up, broken, file):
        os.close(fd)
    return told


@isolated
def test_every_event_is_told_as_unpatched() -> None:
    before = events_of_every_kind()
    patch()

    assert_same(*together(events_of_every_kind), before)
    assert [select.POLLHUP] in before
    assert [select.POLLERR] in before
    assert [select.POLLNVAL] in before


@isolated
def test_what_nobody_asked_for_ends_a_wait_when_it_is_a_hang_up_or_an_error() -> None:
    patch()
    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, 0)

    def wake() -> None:
        time.sleep(0.01)
        os.write(write_end, b"x")  # Not asked for.
        time.sleep(0.03)
        os.close(write_end)

    began = time.monotonic()
    assert together(poll.poll, wake)[0] == [(read_end, select.POLLHUP)]
    assert time.monotonic() - began >= 0.04


@isolated
def test_a_second_poll_of_the_same_object_is_refused_meanwhile() -> None:
    patch()
    import green

    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    waiting = green.spawn(poll.poll, 60_000)
    green.sleep(0)

    refused = RuntimeError, "concurrent poll() invocation"
    assert together(lambda: outcome(poll.poll)) == [refused]
    assert outcome(poll.poll, 0) == refused
    with green.blocking():
        assert outcome(poll.poll, 0) == refused
    os.write(write_end, b"x")
    assert waiting.get() == [(read_end, select.POLLIN)]
    assert poll.poll() == [(read_end, select.POLLIN)]


@isolated
def test_a_killed_or_timed_out_poll_leaves_the_object_usable() -> None:
    patch()
    import green

    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    waiting = green.spawn(poll.poll)
    green.sleep(0)
    waiting.kill()
    waiting.join()
    with green.Timeout(0.01, False):
        poll.poll()

    os.write(write_end, b"x")
    assert poll.poll() == [(read_end, select.POLLIN)]


@isolated
def test_what_is_registered_meanwhile_counts_from_the_next_poll_on() -> None:
    patch()
    import green

    first, second = os.pipe(), os.pipe()
    os.write(second[1], b"x")
    poll = select.poll()
    poll.register(first[0], select.POLLIN)
    waiting = green.spawn(poll.poll, 60_000)
    green.sleep(0)
    poll.register(second[0], select.POLLIN)
    poll.modify(first[0], 0)
    green.sleep(0.01)
    assert not waiting.dead

    os.write(first[1], b"x")
    assert waiting.get() == [(first[0], select.POLLIN)]
    assert poll.poll() == [(second[0], select.POLLIN)]
    poll.unregister(second[0])
    poll.unregister(first[0])
    assert poll.poll(1) == []


@isolated
def test_time_outs_are_taken_as_unpatched() -> None:
    values = [0, 0.0, 1, 0.25, True, Index(1), Index(1 << 40), 1 << 31, float("nan"), "1", [], b""]

    def outcomes() -> list[Any]:
        poll = select.poll()
        poll.register(os.pipe()[0], select.POLLIN)
        told = [outcome(poll.poll, value) for value in values]
        return [*told, outcome(poll.poll, 1, 2), outcome(poll.poll, timeout=1)]

    before = outcomes()
    patch()

    assert_same(*together(outcomes), before)


@isolated
def test_negative_time_outs_and_none_wait_for_ever() -> None:
    patch()
    import green

    read_end, write_end = os.pipe()

    def wait(*timeout: Any) -> list[tuple[int, int]]:
        poll = select.poll()
        poll.register(read_end, select.POLLIN)
        return poll.poll(*timeout)

    waits = [green.spawn(wait, *timeout) for timeout in [(), (None,), (-1,), (-0.5,), (Index(-5),)]]
    with Ticker() as ticker:
        ticker.have_turns()
    os.write(write_end, b"x")

    assert [each.get() for each in waits] == [[(read_end, select.POLLIN)]] * 5
    ticker.assert_kept_running()


@isolated
def test_a_signal_handler_runs_while_the_main_program_polls() -> None:
    patch()
    read_end, write_end = os.pipe()
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    signal.signal(signal.SIGUSR1, lambda *_: os.write(write_end, b"x"))
    import green

    green.spawn(os.kill, os.getpid(), signal.SIGUSR1)

    assert poll.poll(60_000) == [(read_end, select.POLLIN)]


@isolated
def test_poll_selectors_cooperate() -> None:
    patch()
    one, two = socket.socketpair()
    selector = selectors.PollSelector()
    selector.register(one, selectors.EVENT_READ)

    def send() -> None:
        time.sleep(0.03)
        two.send(b"x")

    with Ticker() as ticker:
        assert selector.select(0.01) == []
        assert together(lambda: selector.select(60), send)[0][0][0].fileobj is one

    ticker.assert_kept_running()


@isolated
def test_a_native_thread_and_a_green_each_poll() -> None:
    patch()
    import threading

    ends = [os.pipe() for _ in range(2)]
    polls = [select.poll() for _ in ends]
    for poll, (read_end, _) in zip(polls, ends, strict=True):
        poll.register(read_end, select.POLLIN)
    told: list[Any] = []
    thread = threading.Thread(target=lambda: told.append(polls[0].poll(60_000)))
    start_natively(thread)

    def write() -> None:
        time.sleep(0.01)
        for _, write_end in ends:
            os.write(write_end, b"x")

    assert together(lambda: polls[1].poll(60_000), write)[0] == [(ends[1][0], select.POLLIN)]
    thread.join()
    assert told == [[(ends[0][0], select.POLLIN)]]


def test_a_child_forked_by_a_handler_goes_on_to_poll() -> None:
    done = run_patched(
        "import select\n"
        "children = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: children.append(os.fork()))\n"
        "poll = select.poll(); poll.register(os.pipe()[0], select.POLLIN)\n"
        "green.spawn(lambda: os.kill(os.getpid(), signal.SIGUSR1))\n"
        "os.write(1, b'%r\\n' % (poll.poll(200)))\n"
        "if children[0]: print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))\n"
    )

    assert (done.stdout, done.stderr) == ("[]\n[]\n0\n", "")


@isolated
def test_a_wait_for_nothing_at_all_can_be_ended() -> None:
    patch()

    for wait in (lambda: select.select([], [], []), lambda: select.poll().poll()):
        with green.Timeout(0.01, False):
            wait()
            raise AssertionError("it came back")
