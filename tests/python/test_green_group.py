"""Group and Pool: many greens at once, without bound or with one."""

import gc
import itertools
import sys
import threading

import pytest
from workers import Crowd, fail

import green

# --- Group


def test_a_group_has_its_greens_until_they_are_done() -> None:
    group = green.Group([green.spawn(green.sleep, 0)])
    spawned = group.spawn(green.sleep, 0)
    outside = green.spawn(green.sleep, 0)
    group.add(outside)
    group.add(outside)

    assert len(group) == 3
    assert spawned in group
    assert list(group)[1:] == [spawned, outside]
    assert group.join()
    assert len(group) == 0
    group.add(outside)  # It is done.
    assert list(group) == []


def test_what_is_discarded_runs_on() -> None:
    group, go = green.Group(), green.Event()
    waiting = group.spawn(go.wait)

    group.discard(waiting)
    group.discard(waiting)

    assert group.join(timeout=0)
    go.set()
    assert waiting.get() is True


def test_join_waits_for_those_who_come_meanwhile_as_well() -> None:
    group, order = green.Group(), []

    def spawn_next(left):
        green.sleep(0)
        order.append(left)
        if left > 0:
            group.spawn(spawn_next, left - 1)

    group.spawn(spawn_next, 3)

    assert group.join()
    assert order == [3, 2, 1, 0]


def test_join_gives_up_after_its_timeout() -> None:
    group = green.Group()
    group.spawn(green.sleep, 100)

    assert group.join(timeout=0.001) is False
    assert len(group) == 1
    group.kill()


def test_join_raises_the_first_error_when_asked_to_after_all_are_done() -> None:
    group = green.Group()
    crowd = Crowd()
    group.spawn(crowd.work, seconds=0.005)
    group.spawn(fail, KeyError("why"))

    with pytest.raises(KeyError, match="why"):
        group.join(raise_error=True)

    assert crowd.started == 1
    assert crowd.inside == 0


def test_failures_that_nobody_asked_for_are_reported_once(monkeypatch) -> None:
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", lambda report: reports.append(report.exc_value))
    group = green.Group()
    group.spawn(fail, KeyError("why"))

    group.join()
    gc.collect()

    assert [str(error) for error in reports] == ["'why'"]


def test_kill_ends_all_also_those_who_come_meanwhile() -> None:
    group = green.Group()
    crowd = Crowd()

    def work():
        try:
            green.sleep(100)
        finally:
            group.spawn(crowd.work, seconds=100)
            green.sleep(0)

    greens = [group.spawn(work) for _ in range(3)]
    green.sleep(0)
    greens.append(group.spawn(work))

    group.kill(timeout=20)

    assert len(group) == 0
    assert all(each.dead for each in greens)
    assert crowd.inside == 0


def test_kill_throws_what_it_is_given_and_need_not_wait() -> None:
    group = green.Group()
    target = group.spawn(green.sleep, 100)
    green.sleep(0)

    group.kill(KeyError("why"), block=False)

    assert not target.dead
    with pytest.raises(KeyError, match="why"):
        target.get(timeout=10)


def test_a_member_that_kills_its_group_goes_last() -> None:
    group = green.Group()
    other = group.spawn(green.sleep, 100)
    member = group.spawn(group.kill)

    assert isinstance(member.get(timeout=10), green.GreenExit)
    assert other.dead
    assert len(group) == 0


def test_a_member_killed_before_it_starts_leaves_at_once() -> None:
    group = green.Group([green.spawn_later(100, int)])
    group.spawn(int)

    for each in group:
        each.kill()

    assert len(group) == 0


# --- apply and map, of both


@pytest.fixture(params=["group", "pool"])
def many(request) -> green.Group:
    return green.Group() if request.param == "group" else green.Pool(2)


def test_apply_returns_or_raises_what_the_function_does(many) -> None:
    assert many.apply(lambda *args, **kwargs: (args, kwargs), (1,), {"b": 2}) == ((1,), {"b": 2})
    with pytest.raises(KeyError, match="why"):
        many.apply(fail, (KeyError("why"),))


def test_a_member_that_applies_calls_in_place(many) -> None:
    def work(depth):
        return many.apply(work, (depth - 1,)) + 1 if depth else 0

    assert green.with_timeout(20, many.map, work, [5, 5, 5]) == [5, 5, 5]


def test_who_is_killed_in_apply_takes_the_call_along(many) -> None:
    crowd = Crowd()
    caller = green.spawn(many.apply, crowd.work, (1, 100))
    green.sleep(0)
    green.sleep(0)
    assert crowd.inside == 1

    caller.kill(block=True)
    many.join()

    assert crowd.inside == 0


def test_map_gives_values_in_the_order_of_the_items(many) -> None:
    def work(number, power):
        green.sleep((5 - number) / 1000)
        return number**power

    assert many.map(work, range(5), itertools.repeat(2)) == [0, 1, 4, 9, 16]
    assert many.starmap(pow, [(2, 3), (3, 2)]) == [8, 9]
    assert many.map(work, []) == []


def test_map_raises_an_error_and_kills_what_has_not_ended(many) -> None:
    crowd = Crowd()

    def work(number):
        if number == 0:
            raise KeyError("why")
        return crowd.work(number, 100)

    with pytest.raises(KeyError, match="why"):
        many.map(work, range(2))
    many.join()

    assert crowd.inside == 0


# --- Pool


def test_a_pool_runs_no_more_than_its_size_at_once() -> None:
    pool, crowd = green.Pool(3), Crowd()

    for number in range(20):
        pool.spawn(crowd.work, number)
    pool.join()

    assert crowd.started == 20
    assert crowd.most == 3
    assert pool.map(crowd.work, range(20)) == list(range(20))
    assert list(pool.imap(crowd.work, range(20))) == list(range(20))
    assert sorted(pool.imap_unordered(crowd.work, range(20), maxsize=9)) == list(range(20))
    assert crowd.most == 3


def test_a_full_pool_says_so_and_lets_spawn_wait() -> None:
    pool, gate = green.Pool(2), green.Event()

    pool.spawn(gate.wait)
    assert (pool.size, pool.free_count(), pool.full()) == (2, 1, False)
    pool.spawn(gate.wait)
    assert (pool.size, pool.free_count(), pool.full()) == (2, 0, True)
    spawner = green.spawn(pool.spawn, int)
    spawner.join(timeout=0.001)
    assert not spawner.dead
    gate.set()

    assert spawner.get(timeout=10).get(timeout=10) == 0
    assert pool.join()
    assert pool.free_count() == 2


def test_who_is_killed_while_waiting_for_a_place_takes_none() -> None:
    pool, gate = green.Pool(1), green.Event()
    pool.spawn(gate.wait)
    spawners = [green.spawn(pool.spawn, int) for _ in range(2)]
    green.sleep(0)

    gate.set()
    spawners[0].kill()

    assert spawners[1].get(timeout=10).get(timeout=10) == 0
    pool.join()
    assert pool.free_count() == 1


def test_a_place_is_given_back_however_a_green_ends(monkeypatch) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda report: None)
    pool = green.Pool(2)

    for _ in range(3):
        pool.spawn(int)
        pool.spawn(fail, KeyError())
        pool.spawn(green.sleep, 100).kill()
        pool.add(green.spawn_later(100, int))
        pool.kill()
        discarded = pool.spawn(int)
        pool.discard(discarded)
        pool.discard(discarded)
    with pytest.raises(TypeError):
        pool.spawn("not callable")
    green.sleep(0)

    assert pool.free_count() == 2
    assert len(pool) == 0


def test_adding_waits_for_a_place_and_takes_one() -> None:
    pool, gate = green.Pool(2), green.Event()
    waiting, another = [green.spawn(gate.wait) for _ in range(2)], green.spawn(gate.wait)
    for each in waiting * 2:
        pool.add(each)
    adders = [green.spawn(pool.add, another) for _ in range(2)]
    green.sleep(0)
    assert another not in pool

    for each in waiting:
        pool.discard(each)
    green.joinall(adders)
    assert list(pool) == [another]
    assert pool.free_count() == 1
    gate.set()
    green.joinall([*waiting, another])

    assert pool.free_count() == 2


def test_a_pool_can_grow_and_shrink_while_it_works() -> None:
    pool, crowd = green.Pool(4), Crowd()
    for _ in range(4):
        pool.spawn(crowd.work, seconds=0.001)

    pool.resize(2)
    assert (pool.size, pool.free_count()) == (2, 0)
    pool.resize(3)
    pool.resize(1)
    pool.join()
    assert pool.free_count() == 1
    crowd.most = 0
    pool.map(crowd.work, range(5))
    assert crowd.most == 1

    pool.resize(3)
    pool.map(crowd.work, range(9))
    assert crowd.most == 3
    assert pool.free_count() == 3


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="room"):
        green.Pool(0)
    with pytest.raises(ValueError, match="room"):
        green.Pool(1).resize(0)


def test_a_pool_serves_greens_of_several_threads() -> None:
    pool = green.Pool(3)
    lock, inside, most = threading.Lock(), [], []

    def work(number):
        with lock:
            inside.append(number)
            most.append(len(inside))
        green.sleep(0)
        with lock:
            inside.remove(number)
        return number

    def consume(results):
        results.extend(pool.imap_unordered(work, range(200)))

    shares = [[] for _ in range(4)]
    threads = [threading.Thread(target=consume, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [sorted(share) for share in shares] == [list(range(200))] * 4
    assert max(most) <= 3
    assert pool.free_count() == 3
