"""Descriptors are closed under those who wait for them, and their numbers taken again at once."""

from __future__ import annotations

import os
import random
import socket
import tempfile
from collections.abc import Callable
from typing import Any

from faults import settled
from greens import until
from stress import PATIENCE, Dice, stressed

import green
from green import native

USERS = 8
CYCLES = 400


def end_them(waiting: list[green.Green], chance: random.Random) -> None:
    """Some are killed while they wait, the rest must notice that the descriptor is closed."""
    for each in waiting:
        if chance.random() < 0.2:
            each.kill(block=chance.random() < 0.5)


def assert_all_ended(waiting: list[green.Green]) -> None:
    for each in waiting:
        each.join(timeout=PATIENCE)
        assert each.dead, "a wake-up was lost"
        assert isinstance(each.exception, OSError | None), each.exception
        assert each.exception or each.value == b"" or isinstance(each.value, green.GreenExit), (
            f"it got what was another's: {each.value!r}"
        )


def close(closing: Callable[[], Any], chance: random.Random) -> None:
    """By this green, or by a native thread."""
    if chance.random() < 0.1:
        native.call(closing)
    else:
        closing()


def use_sockets(mine: bytes, chance: random.Random) -> None:
    one, two = socket.socketpair()
    waiting = [green.spawn(one.recv, 99) for _ in range(chance.randrange(4))]
    sending = [green.spawn(one.sendall, bytes(1_000_000)) for _ in range(chance.randrange(2))]
    for _ in range(chance.randrange(3)):
        green.sleep(0)
    end_them(waiting + sending, chance)
    ends = [one, two]
    chance.shuffle(ends)
    for end in ends:
        close(end.close, chance)
    again, peer = socket.socketpair()  # By the same numbers, most likely.
    with again, peer:
        reader = green.spawn(again.recv, 99)
        green.sleep(0)
        peer.sendall(mine)
        assert reader.get(timeout=PATIENCE) == mine
    assert_all_ended(waiting)
    assert_all_ended(sending)


def use_pipes(mine: bytes, chance: random.Random) -> None:
    reading, writing = os.pipe()
    begun: list[int] = []

    def read() -> bytes:
        begun.append(reading)  # Whoever begins later would read from what has the number then.
        return os.read(reading, 99)

    waiting = [green.spawn(read) for _ in range(chance.randrange(4))]
    until(lambda: len(begun) == len(waiting))
    end_them(waiting, chance)
    ends = [reading, writing]
    chance.shuffle(ends)
    for end in ends:
        close(lambda end=end: os.close(end), chance)
    again, peer = os.pipe()
    reader = green.spawn(os.read, again, 99)
    green.sleep(0)
    os.write(peer, mine)
    assert reader.get(timeout=PATIENCE) == mine
    os.close(again)
    os.close(peer)
    assert_all_ended(waiting)


def use_files(mine: bytes, chance: random.Random) -> None:
    size = chance.choice([1, 100, 100_000])
    with tempfile.TemporaryFile(buffering=chance.choice([0, 8192])) as file:
        file.write(mine * size)
        if chance.random() < 0.3:
            os.fsync(file.fileno())
        green.sleep(0)
        file.seek(0)
        assert file.read() == mine * size


@stressed
def test_descriptors_that_are_used_again_lose_no_wake_up_and_get_none(dice: Dice) -> None:
    def use(user: int, cycles: int) -> None:
        chance = dice.of("user", user)
        for number in range(cycles):
            move = chance.choice([use_sockets, use_sockets, use_pipes, use_pipes, use_files])
            move(b"%d of %d;" % (number, user), chance)

    def all_use(cycles: int) -> None:
        for each in green.joinall([green.spawn(use, user, cycles) for user in range(USERS)]):
            each.get()

    all_use(20)
    before = settled(None)
    all_use(CYCLES)
    assert settled(before) == before
