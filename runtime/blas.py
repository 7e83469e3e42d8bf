"""NumPy's own threads, held back while a part is inspected.

Threads of a BLAS spin for a while after each product that they shared (OpenBLAS: 2^26 cycles, some 25 ms), on the
processors that the networks need next. The inspection has threads of its own: the networks', and one for each bank.
The commands start with one thread (`cli/console.py`); this is for whoever calls the runtime in a process of theirs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Limit:
    """One limit for all threads that are inside at the same time; they come and leave in any order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._own = threading.local()
        self._controller: Any = None
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            self._own.inside = getattr(self._own, "inside", 0) + 1
            self._inside += 1
            if self._inside == 1:
                self._limiter = self._take_control().limit(limits=1, user_api="blas")

    def leave(self) -> None:
        with self._lock:
            self._own.inside -= 1
            self._inside -= 1
            if self._inside == 0:
                self._take_control()
                self._limiter.restore_original_limits()
                self._take_control()

    def renew(self) -> None:
        """In a fork, which has none of the other threads: what they held is nobody's any more."""
        self._lock = threading.Lock()
        self._inside = getattr(self._own, "inside", 0)

    def _take_control(self) -> Any:
        """threadpoolctl obeys one thread at a time, and the last to leave need not be the first that came."""
        from threadpoolctl import OpenBLASController, ThreadpoolController

        OpenBLASController.clear_controlling_thread(force=True)
        if self._controller is None:
            self._controller = ThreadpoolController()
        return self._controller


_LIMIT = _Limit()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_LIMIT.renew)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One thread for NumPy's matrix products while any such block runs, on whatever thread; then as before."""
    _LIMIT.enter()
    try:
        yield
    finally:
        _LIMIT.leave()
