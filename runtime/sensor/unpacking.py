"""Threads that unpack one file together: of a compressed scan, that is most of what reading it takes.

A stream's workers read several files at a time, so the threads are one pool for all of them, as large as what the
inspector was given; whoever reads outside of `UnpackingThreads.shared` unpacks on the thread that reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_Piece = TypeVar("_Piece")


class UnpackingThreads:
    """Some threads for the pieces of files; they start when they are first needed, in a fork its own."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pools: dict[int, ThreadPoolExecutor] = {}

    @contextmanager
    def shared(self) -> Iterator[None]:
        """What this thread reads meanwhile is unpacked by these threads."""
        before = _SHARED.set(self)
        try:
            yield
        finally:
            _SHARED.reset(before)

    def each(self, unpack: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
        """Unpack every piece; an error is the first piece's that has one."""
        if min(self._count, len(pieces)) == 1:
            _one_by_one(unpack, pieces)
            return
        process = os.getpid()
        if process not in self._pools:
            # Of two callers that come first at the same time one keeps what the other made; no thread has started.
            self._pools.setdefault(process, ThreadPoolExecutor(self._count, "unpack"))
        list(self._pools[process].map(unpack, pieces))

    def close(self) -> None:
        """End the threads; whoever asks again gets new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown()


_SHARED: ContextVar[UnpackingThreads | None] = ContextVar("unpacking threads", default=None)


def for_each_piece(unpack: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
    """Unpack every piece of a file, on the threads that are shared here, or else one by one.

    Raises:
        Exception: what `unpack` raised of the first piece that failed.
    """
    threads = _SHARED.get()
    (_one_by_one if threads is None else threads.each)(unpack, pieces)


def _one_by_one(unpack: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
    for piece in pieces:
        unpack(piece)
