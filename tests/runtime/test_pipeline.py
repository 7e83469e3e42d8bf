from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from cmdiad.runtime.pipeline import AHEAD, pipelined


def same(value: int) -> int:
    return value


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
    assert most_ahead <= AHEAD + 1


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
    assert len(started) <= AHEAD + 1
    release.set()
    consumer.join(timeout=30)
    assert list(results) == list(range(1, 20))


@pytest.mark.parametrize("broken", ["before", "middle", "after"])
def test_an_exception_comes_out_after_the_results_before_it(broken: str) -> None:
    def failing(n: int) -> int:
        if n == 2:
            raise ZeroDivisionError(n)
        return n

    stages = {name: failing if name == broken else same for name in ("before", "middle", "after")}
    results = pipelined(range(10), stages["before"], each(stages["middle"]), stages["after"])
    seen = []
    with pytest.raises(ZeroDivisionError):
        for result in results:
            seen.append(result)  # noqa: PERF402
    assert seen == [0, 1]


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

    assert list(pipelined(range(10), same, middle, same, batch)) == list(range(10))
    assert {len(items) for items in taken} <= {1, batch}
    assert [item for items in taken for item in items] == list(range(10))


def test_items_that_wait_go_together() -> None:
    """While the first item is in the middle, the four behind it are read."""
    read, taken = [threading.Event() for _ in range(9)], []

    def before(n: int) -> int:
        read[n].set()
        return n

    def middle(items: list[int]) -> list[int]:
        taken.append(items)
        last = items[-1]
        for behind in range(last + 1, min(last + 5, 9)):
            assert read[behind].wait(timeout=30)
        threading.Event().wait(0.05)  # the last one is read, but may not have been handed over
        return items

    assert list(pipelined(range(9), before, middle, same, 4)) == list(range(9))
    assert all(len(items) in (1, 4) for items in taken) and len(taken) < 9


def test_an_item_that_cannot_be_read_does_not_spoil_those_before_it() -> None:
    def before(n: int) -> int:
        if n == 2:
            raise ZeroDivisionError(n)
        return n

    results, seen = pipelined(range(10), before, each(same), same, 4), []
    with pytest.raises(ZeroDivisionError):
        for result in results:
            seen.append(result)  # noqa: PERF402
    assert seen == [0, 1]
