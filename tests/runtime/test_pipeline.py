from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest
from cmdiad.runtime.pipeline import most_under_way, pipelined, pipelined_as_taken


def same(value: int) -> int:
    return value


def goes(item: weakref.ref[object], patience_seconds: float = 5.0) -> bool:
    """Whether something is let go; a worker may be a moment behind its result."""
    deadline = time.monotonic() + patience_seconds
    while item() is not None and time.monotonic() < deadline:
        time.sleep(0.001)
    return item() is None


def each(step: Callable[[int], int]) -> Callable[[list[int]], list[int]]:
    """A middle stage that takes its items one by one."""
    return lambda items: [step(item) for item in items]


def test_results_come_in_order_through_all_three_stages() -> None:
    results = pipelined(range(50), lambda n: n + 1, each(lambda n: n * 10), str)
    assert list(results) == [str((n + 1) * 10) for n in range(50)]


def test_no_items_give_no_results() -> None:
    assert list(pipelined([], same, each(same), same)) == []


def test_the_next_item_is_read_while_one_is_in_the_middle() -> None:
    read = [threading.Event() for _ in range(4)]

    def before(n: int) -> int:
        read[n].set()
        return n

    def middle(n: int) -> int:
        # Without overlap the next item would only be read after this returned.
        assert n == 3 or read[n + 1].wait(timeout=30)
        return n

    assert list(pipelined(range(4), before, each(middle), same)) == [0, 1, 2, 3]


def test_the_middle_goes_on_while_an_item_is_written() -> None:
    second = threading.Event()

    def middle(n: int) -> int:
        if n == 1:
            second.set()
        return n

    def after(n: int) -> int:
        assert second.wait(timeout=30)
        return n

    assert list(pipelined(range(2), same, each(middle), after)) == [0, 1]


def test_an_item_whose_result_was_taken_is_held_by_nobody_while_the_next_is_waited_for() -> None:
    class Item:
        """Something that can be seen to go."""

    items: list[weakref.ref[Item]] = []
    alive_while_idle: list[bool] = []

    def take(room: int, is_idle: bool) -> list[Item]:
        if not is_idle or len(items) == 3:
            return []
        alive_while_idle.extend(not goes(item) for item in items)
        taken = Item()
        items.append(weakref.ref(taken))
        return [taken]

    def slowly(item: Item) -> Item:
        time.sleep(0.01)
        return item

    # A result that is there at once and one that is waited for take different ways.
    for after in (lambda item: item, slowly):
        items.clear()
        alive_while_idle.clear()
        for result in pipelined_as_taken(take, after, lambda ready: ready, after):
            del result
        assert alive_while_idle == [False, False, False]


def test_items_are_taken_only_as_they_are_needed() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(100):
            taken += 1
            yield n

    done = 0
    most_ahead = 0

    def middle(n: int) -> int:
        nonlocal most_ahead
        most_ahead = max(most_ahead, taken - n)
        return n

    for _ in pipelined(items(), same, each(middle), same):
        done += 1
    assert done == taken == 100
    assert most_ahead <= most_under_way(2)


def test_a_slow_last_stage_holds_the_others_back() -> None:
    started, release = [], threading.Event()

    def middle(n: int) -> int:
        started.append(n)
        return n

    def after(n: int) -> int:
        assert release.wait(timeout=30)
        return n

    results = pipelined(range(20), same, each(middle), after)
    consumer = threading.Thread(target=lambda: next(results))
    consumer.start()
    consumer.join(timeout=0.2)
    assert len(started) <= most_under_way(2)
    release.set()
    consumer.join(timeout=30)
    assert list(results) == list(range(1, 20))


@pytest.mark.parametrize(("workers", "batch"), [(1, 1), (2, 1), (5, 1), (3, 4)])
def test_no_more_are_under_way_than_the_bound_however_long_the_first_takes(workers: int, batch: int) -> None:
    """The first result is held back until as many are taken as may be; then one more is taken a result."""
    most = most_under_way(workers, batch)
    full, taken = threading.Event(), 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(60):
            taken += 1
            if taken == most:
                full.set()
            yield n

    def after(n: int) -> int:
        assert n or full.wait(timeout=30)
        return n

    for n, result in enumerate(pipelined(items(), same, each(same), after, workers, batch)):
        assert result == n and taken - n <= most
    assert taken == 60


@pytest.mark.parametrize("stage", ["before", "after"])
def test_several_workers_are_in_the_same_stage_at_a_time_and_order_is_kept(stage: str) -> None:
    """Of every three, none is done before all have begun, and the last is done first."""
    together = threading.Barrier(3)
    done = [threading.Event() for _ in range(13)]

    def shuffled(n: int) -> int:
        together.wait(timeout=30)
        assert n % 3 == 2 or done[n + 1].wait(timeout=30)
        done[n].set()
        return n

    stages = {name: shuffled if name == stage else same for name in ("before", "after")}
    assert list(pipelined(range(12), stages["before"], each(same), stages["after"], 3)) == list(range(12))


def test_a_worker_writes_where_there_is_nothing_to_read() -> None:
    """Workers belong to no stage: with two of them, two results are written at the same time."""
    together = threading.Barrier(2)

    def after(n: int) -> int:
        together.wait(timeout=30)
        return n

    assert list(pipelined(range(6), same, each(same), after, workers=2)) == list(range(6))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("broken", ["before", "middle", "after"])
def test_an_exception_comes_out_after_the_results_before_it(broken: str, workers: int) -> None:
    threads = threading.active_count()

    def failing(n: int) -> int:
        if n == 2:
            raise ZeroDivisionError(n)
        return n

    stages = {name: failing if name == broken else same for name in ("before", "middle", "after")}
    results = pipelined(range(10), stages["before"], each(stages["middle"]), stages["after"], workers)
    seen = []
    with pytest.raises(ZeroDivisionError):
        for result in results:
            seen.append(result)  # noqa: PERF402
    assert seen == [0, 1]
    assert threading.active_count() == threads


def test_an_exception_does_not_overtake_a_result_that_takes_longer() -> None:
    """The second item fails on another worker while the first is still being read."""
    failed = threading.Event()

    def before(n: int) -> int:
        if n == 1:
            failed.set()
            raise ZeroDivisionError(n)
        assert n or failed.wait(timeout=30)
        return n

    results = pipelined(range(5), before, each(same), same, 3)
    assert next(results) == 0
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("broken", ["before", "middle", "after"])
def test_an_interruption_in_any_stage_leaves_no_thread_behind(broken: str) -> None:
    threads = threading.active_count()

    def interrupted(n: int) -> int:
        if n == 2:
            raise KeyboardInterrupt
        return n

    stages = {name: interrupted if name == broken else same for name in ("before", "middle", "after")}
    with pytest.raises(KeyboardInterrupt):
        list(pipelined(range(50), stages["before"], each(stages["middle"]), stages["after"], 3))
    assert threading.active_count() == threads


def test_what_waits_is_given_up_when_the_caller_is_interrupted() -> None:
    """An interruption reaches the caller at any place: here while it takes an item, with others in work."""
    threads, begun = threading.active_count(), []

    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    def before(n: int) -> int:
        begun.append(n)
        return n

    with pytest.raises(KeyboardInterrupt):
        list(pipelined(items(), before, each(same), same, 1))
    assert threading.active_count() == threads and len(begun) <= 3


def test_no_thread_is_left_when_the_caller_stops_early() -> None:
    before = threading.active_count()
    results = pipelined(range(1000), same, each(same), same)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("batch", [1, 4])
def test_a_middle_takes_whole_batches_or_single_items(batch: int) -> None:
    taken: list[list[int]] = []

    def middle(items: list[int]) -> list[int]:
        taken.append(items)
        return items

    assert list(pipelined(range(10), same, middle, same, 2, batch)) == list(range(10))
    assert {len(items) for items in taken} <= set(range(1, batch + 1))
    assert [item for items in taken for item in items] == list(range(10))


@pytest.mark.parametrize(("n_read", "second"), [(1, [1]), (3, [1, 2, 3]), (6, [1, 2, 3, 4])])
def test_what_is_ready_goes_together_and_waits_for_no_more(n_read: int, second: list[int]) -> None:
    """While item 0 is in the middle, `n_read` behind it are read, and the next one takes until the middle goes on."""
    begun = [threading.Event() for _ in range(9)]
    first_call, second_call, taken = threading.Event(), threading.Event(), []

    def before(n: int) -> int:
        begun[n].set()
        assert n != 1 or first_call.wait(timeout=30)
        assert n <= n_read or second_call.wait(timeout=30)
        return n

    def middle(items: list[int]) -> list[int]:
        taken.append(items)
        first_call.set()
        # The one worker begins an item when those before it are handed over.
        assert begun[n_read + 1].wait(timeout=30)
        if len(taken) > 1:
            second_call.set()
        return items

    assert list(pipelined(range(9), before, middle, same, workers=1, batch=4)) == list(range(9))
    assert taken[:2] == [[0], second]
    assert [n for items in taken for n in items] == list(range(9))


def test_an_item_that_cannot_be_read_does_not_spoil_those_before_it() -> None:
    def before(n: int) -> int:
        if n == 2:
            raise ZeroDivisionError(n)
        return n

    results, seen = pipelined(range(10), before, each(same), same, 2, 4), []
    with pytest.raises(ZeroDivisionError):
        for result in results:
            seen.append(result)  # noqa: PERF402
    assert seen == [0, 1]
