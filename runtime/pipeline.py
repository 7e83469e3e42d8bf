"""Stages that overlap: workers read scans and write files, while the caller's thread runs the networks.

Every worker does what comes next, reading or writing, so that the slower of the two gets more of them. Order is kept
whatever is done first, and `most_under_way` bounds what is in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

# Items that may wait for each other beyond those in work: one that takes longer then stops nobody at once.
AHEAD = 2

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Done = TypeVar("Done")
Result = TypeVar("Result")


def most_under_way(workers: int, batch: int = 1) -> int:
    """The most items between being taken and their result: one a worker, a batch in the middle, another behind it."""
    return workers + 2 * batch + AHEAD


def pipelined(
    items: Iterable[Item],
    before: Callable[[Item], Ready],
    middle: Callable[[list[Ready]], list[Done]],
    after: Callable[[Done], Result],
    workers: int = 2,
    batch: int = 1,
) -> Iterator[Result]:
    """Yield after(middle(before(item))) of every item, in order; the three overlap between items.

    An exception of any stage comes out after the results of the items before; those behind are given up.

    Args:
        items: taken one at a time, so that at most `most_under_way` have no result yet.
        before: runs on a worker.
        middle: runs on the caller's thread, while the caller waits for the next result. It takes the items that are
            ready by then, up to a batch, and none waits for another: on a line the next one may be long in coming.
        after: runs on a worker.
        workers: threads.
        batch: how many items the middle takes together, at most.
    """
    source = iter(items)
    return pipelined_as_taken(lambda room, is_idle: list(islice(source, room)), before, middle, after, workers, batch)


def pipelined_as_taken(
    take: Callable[[int, bool], Sequence[Item]],
    before: Callable[[Item], Ready],
    middle: Callable[[list[Ready]], list[Done]],
    after: Callable[[Done], Result],
    workers: int = 2,
    batch: int = 1,
) -> Iterator[Result]:
    """The same for items that come one by one, none of whose results waits for the next item.

    Args:
        take: gives what is there: at most so many items, in their order. With true nothing is under way, and it may
            wait for an item; it ends the stream by giving none then. With false it must not wait.
        before, middle, after, workers, batch: as `pipelined` takes them.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
    try:
        yield from _overlapped(pool, most_under_way(workers, batch), take, before, middle, after, batch)
    finally:
        pool.shutdown(cancel_futures=True)


def _overlapped(
    pool: Executor,
    most: int,
    take: Callable[[int, bool], Sequence[Item]],
    before: Callable[[Item], Ready],
    middle: Callable[[list[Ready]], list[Done]],
    after: Callable[[Done], Result],
    batch: int,
) -> Iterator[Result]:
    reading: deque[Future[Ready]] = deque()
    finishing: deque[Future[Result]] = deque()
    while True:
        # No item has a name here: while `take` waits for the next one, nothing may hold the last.
        try:
            room = most - len(reading) - len(finishing)
            if room:
                reading.extend(pool.submit(before, item) for item in take(room, not (reading or finishing)))
            has_moved = _moved(pool, reading, finishing, middle, after, batch)
        except Exception:
            yield from (future.result() for future in finishing)
            raise
        if not (reading or finishing):
            return
        if not has_moved:
            wait(_heads(reading, finishing), return_when=FIRST_COMPLETED)
        while finishing and finishing[0].done():
            yield finishing.popleft().result()


def _moved(
    pool: Executor,
    reading: deque[Future[Ready]],
    finishing: deque[Future[Result]],
    middle: Callable[[list[Ready]], list[Done]],
    after: Callable[[Done], Result],
    batch: int,
) -> bool:
    """Take what is ready through the middle; whether there was something."""
    ready = _taken(reading, batch)
    finishing.extend(pool.submit(after, done) for done in (middle(ready) if ready else ()))
    return bool(ready)


def _heads(*queues: deque[Future[Any]]) -> list[Future[Any]]:
    """What each queue waits for."""
    return [queue[0] for queue in queues if queue]


def _taken(reading: deque[Future[Ready]], batch: int) -> list[Ready]:
    """What is ready at the head, up to a batch; an exception comes out when it is the first."""
    ready: list[Ready] = []
    while reading and len(ready) < batch and reading[0].done() and not (ready and reading[0].exception()):
        ready.append(reading.popleft().result())
    return ready
