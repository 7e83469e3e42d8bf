"""Results for whoever listens: a slow listener misses some, and stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ...files.json_encoding import encode_json
from ..arrival import PartRecord

_MOST_WAITING = 256
_STATUS_SECONDS = 1.0


class Events:
    """Those who listen now; results come from the station's thread, listeners live on the server's loop."""

    def __init__(self) -> None:
        self._listeners: set[tuple[asyncio.AbstractEventLoop, asyncio.Queue[bytes]]] = set()

    def tell(self, record: PartRecord) -> None:
        """Hand a result to everyone."""
        event = _event("part", record)
        for loop, queue in tuple(self._listeners):
            try:
                loop.call_soon_threadsafe(_put, queue, event)
            except RuntimeError:  # its loop has ended
                self._listeners.discard((loop, queue))

    async def heard(self, status: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
        """The events from now on, with the status first and then every second."""
        listener = (asyncio.get_running_loop(), asyncio.Queue[bytes](_MOST_WAITING))
        self._listeners.add(listener)
        try:
            told_at = -_STATUS_SECONDS
            while True:
                now = asyncio.get_running_loop().time()
                if now - told_at >= _STATUS_SECONDS:
                    told_at = now
                    yield _event("status", await asyncio.to_thread(status))
                try:
                    yield await asyncio.wait_for(listener[1].get(), _STATUS_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._listeners.discard(listener)


def _put(queue: asyncio.Queue[bytes], event: bytes) -> None:
    if not queue.full():
        queue.put_nowait(event)


def _event(name: str, value: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), encode_json(value))
