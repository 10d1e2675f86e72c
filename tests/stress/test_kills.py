"""Greens that are killed and timed out wherever they wait: nothing is lost, held or left."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import random
import socket
import threading
from collections.abc import Callable
from typing import Any

from faults import assert_free, settled
from stress import PATIENCE, Dice, stressed

import green

CARRIERS = 20
HITS = 5_000

Move = Callable[[random.Random], object]


class Line:
    """A socket or a pipe as a queue of small numbers."""

    def __init__(
        self,
        send: Callable[[bytes], Any],
        receive: Callable[[int], bytes],
        *ends: Callable[[], Any],
    ) -> None:
        self.send, self.receive, self.ends = send, receive, ends

    def put(self, token: int) -> None:
        self.send(bytes([token]))

    def get(self) -> int:
        return self.receive(1)[0]

    def empty_out(self) -> list[int]:
        self.put(255)
        return list(iter(self.get, 255))

    def close(self) -> None:
        for end in self.ends:
            end()


def line_of_sockets() -> Line:
    one, two = socket.socketpair()
    return Line(one.sendall, two.recv, one.close, two.close)


def line_of_a_pipe() -> Line:
    ends = os.pipe()
    return Line(
        lambda data: os.write(ends[1], data),
        lambda size: os.read(ends[0], size),
        *(lambda end=end: os.close(end) for end in ends),
    )


def hit_at_random(
    chance: random.Random, hits: int, carry: Callable[[int], object], count: int
) -> None:
    """Greens that carry() for ever, each with its number; whoever is killed gets a successor."""
    carriers = [green.spawn(carry, number) for number in range(count)]
    for _ in range(hits):
        for _ in range(chance.randrange(3)):
            green.sleep(chance.choice([0, 0, 0, 0.0002]))
        number = chance.randrange(count)
        if chance.random() < 0.3:
            carriers[number].kill(green.Timeout)
            continue
        carriers[number].kill(block=chance.random() < 0.5)
        assert_killed(carriers[number])
        carriers[number] = green.spawn(carry, number)
    green.killall(carriers, timeout=PATIENCE)
    for each in carriers:
        assert_killed(each)


def assert_killed(each: green.Green) -> None:
    each.join(timeout=PATIENCE)
    assert each.dead, "a killed green goes on to wait"
    if not isinstance(each.exception, green.Timeout):  # That ends one that has not begun.
        assert isinstance(each.get(), green.GreenExit)


def patiently(move: Move, chance: random.Random) -> None:
    """At times with a time-out; what is raised by one is no fault."""
    with contextlib.suppress(green.Timeout), green.Timeout(chance.choice([None, 0, 0.001])):
        move(chance)


@stressed
def test_tokens_outlive_the_greens_that_carry_them(dice: Dice) -> None:
    """From queue to queue; who holds one when it is hit has it still, and puts it down first."""
    queues: list[Any] = [
        queue.Queue(2), queue.SimpleQueue(), queue.LifoQueue(2), green.Queue(1),
        green.PriorityQueue(1), green.LifoQueue(2), green.Channel(),
    ]  # fmt: skip
    lines = [line_of_sockets(), line_of_a_pipe()]
    places = queues + lines
    tokens = list(range(10))
    held: dict[int, int] = dict(zip(range(CARRIERS), tokens, strict=False))
    chances = [dice.of("carrier", number) for number in range(CARRIERS)]

    def carry(number: int) -> None:
        while True:
            patiently(lambda chance: step(number, chance), chances[number])

    def step(number: int, chance: random.Random) -> None:
        place = chance.choice(places)
        if number in held:
            place.put(held[number])
            del held[number]
        else:
            held[number] = place.get()

    hit_at_random(dice.of("hits"), HITS, carry, CARRIERS)

    found = list(held.values())
    for place in queues:
        found += [place.get_nowait() for _ in range(place.qsize())]
    for line in lines:
        found += line.empty_out()
        line.close()
    assert sorted(found) == tokens


class Guarded:
    """What no more than `places` may be in at once."""

    def __init__(self, lock: Any, places: int = 1) -> None:
        self.lock, self.places, self.inside = lock, places, 0

    def __call__(self, chance: random.Random) -> None:
        with self.lock:
            self.inside += 1
            try:
                assert self.inside <= self.places, f"{self.inside} hold {self.lock!r}"
                green.sleep(chance.choice([0, 0, 0.0005]))
            finally:
                self.inside -= 1


class Notified:
    """One in two gives, one takes, by a condition; no more is taken than was given."""

    def __init__(self, condition: Any) -> None:
        self.condition, self.given, self.taken = condition, 0, 0

    def __call__(self, chance: random.Random) -> None:
        with self.condition:
            if chance.random() < 0.5:
                self.given += 1
                self.condition.notify(chance.randrange(3))
                return
            while self.given == self.taken:
                self.condition.wait(chance.choice([None, 0.001]))
            self.taken += 1
            assert self.taken <= self.given


def wait_for(event: Any, chance: random.Random) -> None:
    if chance.random() < 0.3:
        event.set()
        event.clear()
    else:
        event.wait(chance.choice([None, 0.001]))


def spawn_in(pool: green.Pool, chance: random.Random) -> None:
    each = pool.spawn(green.sleep, chance.choice([0, 0, 0.0005]))
    if chance.random() < 0.2:
        each.kill()
    each.join()


@stressed
def test_nobody_holds_a_lock_after_its_holders_were_killed(dice: Dice) -> None:
    guarded = [
        *(Guarded(make()) for make in (threading.Lock, threading.RLock, green.Lock, green.RLock)),
        *(Guarded(make(2), 2) for make in (threading.Semaphore, threading.BoundedSemaphore)),
        *(Guarded(make(2), 2) for make in (green.Semaphore, green.BoundedSemaphore)),
    ]
    notified = [Notified(threading.Condition()), Notified(green.Condition())]
    events, pool = [threading.Event(), green.Event()], green.Pool(2)
    moves: list[Move] = [*guarded, *notified, lambda chance: spawn_in(pool, chance)]
    moves += [lambda chance, event=event: wait_for(event, chance) for event in events]
    chances = [dice.of("green", number) for number in range(CARRIERS)]

    def go_through(number: int) -> None:
        while True:
            patiently(chances[number].choice(moves), chances[number])

    before = None
    for hits in (100, HITS):
        hit_at_random(dice.of("hits", hits), hits, go_through, CARRIERS)
        assert pool.join(timeout=PATIENCE)
        for each in guarded:
            assert each.inside == 0
            assert_free(each.lock, each.places)
        for condition in notified:
            assert_free(condition.condition)
        assert pool.free_count() == 2
        before = before or settled(None)
    assert settled(before) == before


@stressed
def test_a_sum_moves_from_socket_to_socket_while_its_clients_are_killed(dice: Dice) -> None:
    """Each client's server sees every request whole, or its end; nobody waits for a dead peer."""
    served = itertools.count()
    chances = [dice.of("client", number) for number in range(CARRIERS)]

    def serve(peer: socket.socket) -> None:
        # Reset: the client was killed before it had read.
        with peer, contextlib.suppress(ConnectionError):
            while request := peer.recv(4096):
                peer.sendall(request.upper())
                next(served)

    def ask(chance: random.Random) -> None:
        with contextlib.ExitStack() as stack:
            one, two = socket.socketpair()
            stack.enter_context(one)
            server = green.spawn(serve, two)
            for number in range(chance.randrange(1, 5)):
                one.sendall(b"request %d" % number)
                assert one.recv(4096) == b"REQUEST %d" % number
            one.close()
            server.get(timeout=PATIENCE)

    def ask_again(number: int) -> None:
        while True:
            patiently(ask, chances[number])

    before = None
    for hits in (100, HITS):
        hit_at_random(dice.of("hits", hits), hits, ask_again, CARRIERS)
        before = before or settled(None)
    assert settled(before) == before
    assert next(served) > 0
