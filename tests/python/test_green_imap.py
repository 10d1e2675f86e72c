"""imap() and imap_unordered() of groups and pools."""

import itertools

import pytest
from workers import Crowd

import green


@pytest.fixture(params=["group", "pool"])
def many(request) -> green.Group:
    return green.Group() if request.param == "group" else green.Pool(2)


def test_imap_gives_values_in_the_order_of_the_items(many) -> None:
    def work(number):
        green.sleep((5 - number) / 1000)
        return number

    assert list(many.imap(work, range(5))) == list(range(5))
    assert list(many.imap(pow, [2, 3], [3, 2])) == [8, 9]
    assert list(many.imap(work, [])) == []


def test_imap_unordered_gives_values_as_they_come(many) -> None:
    gates = [green.Event() for _ in range(2)]

    def work(number):
        gates[number].wait()
        return number

    values = many.imap_unordered(work, range(2))
    gates[1].set()
    assert next(values) == 1
    gates[0].set()
    assert list(values) == [0]


@pytest.fixture(params=["imap", "imap_unordered"])
def imap(request):  # noqa: ANN201
    return lambda group: getattr(group, request.param)


def test_the_first_calls_begin_before_the_first_value_is_asked_for(many, imap) -> None:
    crowd = Crowd()

    values = imap(many)(crowd.work, range(2))
    green.sleep(0)

    assert crowd.started == 2
    assert sorted(values) == [0, 1]


def test_an_endless_iterable_is_taken_no_further_than_maxsize_ahead(many, imap) -> None:
    taken = []

    def numbers():
        for number in itertools.count():
            taken.append(number)
            yield number

    values = imap(many)(abs, numbers(), maxsize=2)
    for value in range(10):
        assert value - 2 <= next(values) <= value + 2
        assert len(taken) <= value + 1 + 2


def test_an_error_of_a_call_is_raised_in_its_turn_and_the_others_come(many, imap) -> None:
    values = imap(many)(lambda number: 10 // number, [1, 0, 2, 5])
    got = []

    while True:
        try:
            got.append(next(values))
        except ZeroDivisionError as error:
            got.append(type(error))
        except StopIteration:
            break

    assert sorted(got, key=str) == [10, 2, 5, ZeroDivisionError]
    if type(values).__name__ == "_Ordered":
        assert got == [10, ZeroDivisionError, 5, 2]
    with pytest.raises(StopIteration):
        next(values)


def test_an_error_of_the_iterable_comes_after_the_values_before_it(many, imap) -> None:
    def numbers():
        yield from range(3)
        raise KeyError("why")

    values = imap(many)(abs, numbers())

    assert sorted(next(values) for _ in range(3)) == [0, 1, 2]
    with pytest.raises(KeyError, match="why"):
        next(values)
    with pytest.raises(StopIteration):
        next(values)


@pytest.mark.parametrize("local", [False, True])
def test_a_consumer_that_is_killed_leaves_no_call_running(many, imap, local) -> None:
    crowd = Crowd()

    def consume():
        if local:  # The traceback of what killed it keeps this variable.
            values = imap(many)(crowd.work, range(4), itertools.repeat(100), maxsize=4)
            next(values)
        else:
            for _ in imap(many)(crowd.work, range(4), itertools.repeat(100), maxsize=4):
                pass

    consumer = green.spawn(consume)
    green.sleep(0)
    green.sleep(0)
    assert crowd.inside >= 2

    consumer.kill(block=True)
    many.join()

    assert crowd.inside == 0
    assert crowd.started <= 4


def test_an_iterator_that_is_dropped_leaves_no_call_running(many, imap) -> None:
    crowd = Crowd()
    values = imap(many)(crowd.work, range(4), itertools.repeat(100), maxsize=2)
    green.sleep(0)
    assert crowd.inside == 2

    del values
    many.join()

    assert crowd.inside == 0
    assert crowd.started == 2


def test_a_consumer_that_timed_out_may_go_on(many, imap) -> None:
    gate = green.Event()

    def work(number):
        gate.wait()
        return number

    values = imap(many)(work, range(3))
    assert green.with_timeout(0.001, next, values, timeout_value="late") == "late"
    gate.set()

    assert sorted(values) == [0, 1, 2]


def test_several_consumers_share_the_values(many, imap) -> None:
    def work(number):
        green.sleep(0.001)
        return number

    values = imap(many)(work, range(50), maxsize=2)
    consumers = [green.spawn(list, values) for _ in range(7)]
    shares = [each.get(timeout=20) for each in consumers]

    assert sorted(itertools.chain.from_iterable(shares)) == list(range(50))


def test_a_maxsize_below_one_is_refused(many, imap) -> None:
    with pytest.raises(ValueError, match="maxsize"):
        imap(many)(abs, [1], maxsize=0)


def test_several_consumers_may_share_an_iterable_that_waits(many, imap) -> None:
    def slowly():
        for number in range(20):
            green.sleep(0.001)
            yield number

    values = imap(many)(lambda value: value, slowly(), maxsize=1)
    consumers = [green.spawn(list, values) for _ in range(3)]

    shares = [each.get(timeout=20) for each in consumers]
    assert sorted(itertools.chain(*shares)) == list(range(20))
