"""Timeout: whose it is, when it fires, and what it leaves alone."""

import copy
import pickle
import time
from collections.abc import Callable

import pytest

import green
from green import _core


def test_a_timeout_raises_itself_in_its_own_green() -> None:
    with pytest.raises(green.Timeout) as caught, green.Timeout(0.001) as timeout:
        green.sleep(100)

    assert caught.value is timeout
    assert not timeout.pending


def test_one_of_no_time_is_raised_where_others_could_run() -> None:
    raised = 0
    for _ in range(1000):
        green.sleep(0)
        try:
            with green.Timeout(0):
                green.sleep(0)
        except green.Timeout:
            raised += 1

    assert raised == 1000


def test_false_leaves_the_block_quietly() -> None:
    reached = False
    with green.Timeout(0.001, False):
        green.sleep(100)
        reached = True

    assert not reached


def test_false_swallows_itself_and_nobody_elses() -> None:
    with (
        pytest.raises(green.Timeout) as caught,
        green.Timeout(0.001) as outer,
        green.Timeout(100, False),
    ):
        green.sleep(200)

    assert caught.value is outer


def test_an_exception_of_ones_own_is_raised_instead() -> None:
    with pytest.raises(KeyError, match="late"), green.Timeout(0.001, KeyError("late")):
        green.sleep(100)
    with pytest.raises(OSError), green.Timeout(0.001, OSError):
        green.sleep(100)


def test_none_never_fires() -> None:
    with green.Timeout(None) as timeout:
        green.sleep(0.001)
        assert not timeout.pending


def test_cancel_takes_back_one_that_has_fired_and_was_not_raised() -> None:
    timeout = green.Timeout(0)
    other = green.spawn(int)
    deadline = time.monotonic() + 0.001
    while time.monotonic() < deadline:
        pass

    timeout.cancel()
    other.join()

    green.sleep(0)
    assert not timeout.pending


def test_one_set_after_a_long_computation_counts_from_its_own_start() -> None:
    def work():
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            pass
        with green.Timeout(0.45):
            green.sleep(0.001)
        return "in time"

    assert green.spawn(work).get() == "in time"


def test_a_timeout_dies_with_the_green_that_made_it() -> None:
    before = _core.debug_counts()["timers"]

    green.spawn(lambda: green.Timeout(1000)).join()
    green.sleep(0)

    assert _core.debug_counts()["timers"] == before


def test_a_timeout_reaches_a_green_that_waits_for_another() -> None:
    sleeper = green.spawn(green.sleep, 100)

    with green.Timeout(0.001, False):
        sleeper.get()

    assert not sleeper.dead
    sleeper.kill(block=True)


def test_a_timeout_can_be_started_again() -> None:
    timeout = green.Timeout(1000)
    timeout.cancel()
    assert not timeout.pending

    timeout.start()
    timeout.start()

    assert timeout.pending
    timeout.cancel()


def test_it_is_no_exception_that_except_exception_would_catch() -> None:
    assert not issubclass(green.Timeout, Exception)
    assert str(green.Timeout.unstarted(5)) == "5 seconds"
    assert str(green.Timeout.unstarted(1)) == "1 second"


def test_a_subclass_may_be_told_apart() -> None:
    class Mine(green.Timeout):
        pass

    with pytest.raises(Mine), Mine(0.001):
        green.sleep(100)


def test_it_refuses_what_is_no_time_and_no_exception() -> None:
    with pytest.raises(ValueError, match="negative"):
        green.Timeout(-1)
    with pytest.raises(TypeError, match="exception"):
        green.Timeout(1, "text")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_a_copy_of_a_timeout_does_not_count(
    copied: Callable[[green.Timeout], green.Timeout],
) -> None:
    with green.Timeout(10, ValueError) as timeout:
        timeout.note = "own"
        other = copied(timeout)

        assert (other.pending, other.seconds, other.exception) == (False, 10, ValueError)
        assert other.note == "own"
