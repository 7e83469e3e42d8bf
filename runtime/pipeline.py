"""Stages that overlap: while one scan is in the networks, the next is read and the last one is written.

Three stages on three threads, the middle one on the caller's. Order is kept, and back-pressure comes by
construction: nothing begins that is more than `AHEAD` items, or a batch, away from the networks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

# Scans that wait before the networks, and results that wait after them; each holds one scan's arrays.
AHEAD = 2

Item = TypeVar("Item")
Ready = TypeVar("Ready")
Done = TypeVar("Done")
Result = TypeVar("Result")


def pipelined(
    items: Iterable[Item],
    before: Callable[[Item], Ready],
    middle: Callable[[list[Ready]], list[Done]],
    after: Callable[[Done], Result],
    batch: int = 1,
) -> Iterator[Result]:
    """Yield after(middle(before(item))) of every item, in order; the three overlap between items.

    An exception of any stage comes out after the results of the items before; those behind are given up.

    Args:
        items: taken one at a time, at most `AHEAD` + 1 (or a batch and one) before their results.
        before: runs on a thread of its own.
        middle: runs on the caller's thread, while the caller waits for the next result; takes one item, or a whole
            batch where as many are ready.
        after: runs on a thread of its own.
        batch: how many items the middle takes together.
    """
    source = iter(items)
    waiting: deque[Future[Ready]] = deque()
    finishing: deque[Future[Result]] = deque()
    reader = ThreadPoolExecutor(1, thread_name_prefix="read")
    writer = ThreadPoolExecutor(1, thread_name_prefix="write")
    try:
        waiting.extend(reader.submit(before, item) for item in islice(source, max(AHEAD, batch)))
        while waiting:
            try:
                ready = _taken(waiting, batch)
                waiting.extend(reader.submit(before, item) for item in islice(source, len(ready)))
                done = middle(ready)
            except Exception:
                yield from _finished(finishing, 0)
                raise
            finishing.extend(writer.submit(after, result) for result in done)
            yield from _finished(finishing, AHEAD)
        yield from _finished(finishing, 0)
    finally:
        reader.shutdown(cancel_futures=True)
        writer.shutdown(cancel_futures=True)


def _finished(finishing: deque[Future[Result]], ahead: int) -> Iterator[Result]:
    """Results in order: those that are there, and all but the last `ahead`, which are waited for."""
    while finishing and (finishing[0].done() or len(finishing) > ahead):
        yield finishing.popleft().result()


def _taken(waiting: deque[Future[Ready]], batch: int) -> list[Ready]:
    """The next batch, where all of it is ready by the time its first is; else the first alone.

    Nothing in between: a GPU plans anew for every number of items that it has not seen.
    """
    ready = [waiting.popleft().result()]
    others = list(islice(waiting, batch - 1))
    if len(others) == batch - 1 and all(future.done() and future.exception() is None for future in others):
        ready += [waiting.popleft().result() for _ in others]
    return ready
