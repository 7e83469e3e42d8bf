"""Threads that unpack one file together: of a compressed scan, that is most of what reading it takes.

A stream's workers read several files at a time, so the threads are one pool for all of them, as large as what the
inspector was given; whoever reads outside of `UnpackingThreads.shared` unpacks on the thread that reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ..threads import ProcessThreads

_Piece = TypeVar("_Piece")


class UnpackingThreads:
    """Some threads for the pieces of files."""

    def __init__(self, count: int) -> None:
        self._count, self._threads = count, ProcessThreads(count, "unpack")

    @contextmanager
    def shared(self) -> Iterator[None]:
        """What this thread reads meanwhile is unpacked by these threads."""
        before = _SHARED.set(self)
        try:
            yield
        finally:
            _SHARED.reset(before)

    def each(self, unpack: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
        """Unpack every piece; an error is the first piece's that has one. One thread is the caller's own."""
        alone = min(self._count, len(pieces)) == 1
        for _ in (map if alone else self._threads.pool().map)(unpack, pieces):
            pass

    def close(self) -> None:
        """End the threads; whoever asks again gets new ones."""
        self._threads.close()


_ALONE = UnpackingThreads(1)
_SHARED: ContextVar[UnpackingThreads] = ContextVar("unpacking threads")


def for_each_piece(unpack: Callable[[_Piece], None], pieces: Sequence[_Piece]) -> None:
    """Unpack every piece of a file, on the threads that are shared here, or else one by one.

    Raises:
        Exception: what `unpack` raised of the first piece that failed.
    """
    _SHARED.get(_ALONE).each(unpack, pieces)
