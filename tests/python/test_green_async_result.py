"""AsyncResult: a value or an exception that others wait for."""

import threading
import traceback

import pytest

import green


def test_all_who_wait_and_who_come_later_get_the_value() -> None:
    result = green.AsyncResult()
    waiters = [green.spawn(result.get) for _ in range(3)]
    green.sleep(0)
    assert not result.ready()

    result.set(42)

    assert result.ready()
    assert [each.get() for each in waiters] == [42] * 3
    assert result.get() == 42


def test_an_exception_is_raised_in_who_waits() -> None:
    result = green.AsyncResult()

    result.set_exception(KeyError("why"))

    with pytest.raises(KeyError, match="why"):
        result.get()
    with pytest.raises(TypeError, match="not an exception"):
        green.AsyncResult().set_exception("why")


def test_a_result_that_does_not_come_in_time_raises_timeout() -> None:
    with pytest.raises(green.Timeout):
        green.AsyncResult().get(timeout=0.001)


def test_a_result_is_set_once() -> None:
    result = green.AsyncResult()
    result.set()

    with pytest.raises(RuntimeError, match="already"):
        result.set(1)
    with pytest.raises(RuntimeError, match="already"):
        result.set_exception(KeyError())

    assert result.get() is None


def test_a_thread_sets_what_a_green_waits_for_and_the_other_way_round() -> None:
    question, answer = green.AsyncResult(), green.AsyncResult()
    thread = threading.Thread(target=lambda: answer.set(question.get() + 1))
    thread.start()

    question.set(1)

    assert green.spawn(answer.get).get(timeout=10) == 2
    thread.join()


@pytest.mark.parametrize("kind", ["AsyncResult", "Green"])
def test_who_asks_for_a_failure_again_and_again_keeps_nothing(kind: str) -> None:
    def fail() -> None:
        raise ValueError("it")

    result = green.AsyncResult() if kind == "AsyncResult" else green.spawn(fail)
    if kind == "AsyncResult":
        result.set_exception(ValueError("it"))
    lengths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="it") as caught:
            result.get()
        lengths.add(len(traceback.extract_tb(caught.value.__traceback__)))

    assert len(lengths) == 1
