"""Channels: a put waits until a get takes."""

import queue

import pytest
from greens import native, until

import green


def test_a_put_into_a_channel_waits_until_it_is_taken() -> None:
    channel = green.Channel()
    putters = [(green.spawn if n % 2 else native)(channel.put, n) for n in (1, 2)]
    until(lambda: channel.putting() == 2)

    assert (channel.qsize(), channel.empty(), channel.full()) == (0, True, True)
    assert sorted([channel.get(), channel.get_nowait()]) == [1, 2]
    for each in putters:
        each.join()
    with pytest.raises(queue.Empty):
        channel.get_nowait()
    assert channel.unfinished_tasks == 2


def test_a_channel_takes_what_somebody_waits_for() -> None:
    channel = green.Channel()
    with pytest.raises(queue.Full):
        channel.put_nowait(0)
    getter = green.spawn(channel.get)
    until(channel.getting)

    channel.put_nowait(1)

    with pytest.raises(queue.Full):
        channel.put_nowait(2)
    assert getter.get() == 1


def test_who_gives_up_takes_its_item_out_of_the_channel() -> None:
    channel = green.Channel()

    with pytest.raises(queue.Full):
        channel.put(1, timeout=0.001)
    killed = green.spawn(channel.put, 2)
    until(channel.putting)
    killed.kill(block=True)

    with pytest.raises(queue.Empty):
        channel.get_nowait()
    assert channel.unfinished_tasks == 0


def test_what_a_killed_getter_was_handed_stays_in_the_channel() -> None:
    channel = green.Channel()
    getter = green.spawn(channel.get)
    until(channel.getting)

    channel.put(1)
    getter.kill(block=True)

    assert channel.qsize() == 1
    assert channel.get_nowait() == 1


def test_a_peek_at_a_channel_takes_nothing() -> None:
    channel = green.Channel()
    looker = green.spawn(channel.peek)
    until(channel.getting)

    with pytest.raises(queue.Full):
        channel.put_nowait(0)
    putter = green.spawn(channel.put, 1)

    assert looker.get(timeout=10) == 1
    assert channel.peek() == 1
    assert not putter.dead
    assert channel.get() == 1
    putter.join()


def test_the_shutdown_of_a_channel_ends_all_waits() -> None:
    channel = green.Channel()
    putter = green.spawn(channel.put, 1)
    until(channel.putting)

    channel.shutdown()

    with pytest.raises(green.ShutDown):
        putter.get()
    with pytest.raises(green.ShutDown):
        channel.get()


def test_a_callback_that_gets_at_once_meets_who_puts() -> None:
    channel = green.Channel()
    found = []

    def get(_: object) -> None:
        getter = green.spawn(channel.get)
        found.append(getter)

    channel.rawlink(get)
    channel.put(1, timeout=10)

    assert found[0].get(timeout=10) == 1


def test_a_callback_that_shuts_a_channel_down_ends_who_puts() -> None:
    channel = green.Channel()
    channel.rawlink(lambda _: channel.shutdown())

    with pytest.raises(green.ShutDown):
        channel.put(1, timeout=10)
