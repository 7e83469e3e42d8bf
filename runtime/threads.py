"""How many processors this process may use, threads that live as long as what they work for, and NumPy's own threads.

Threads of a BLAS spin for a while after each product that they shared (OpenBLAS: 2^26 cycles, some 25 ms), on the
processors that the networks need next. The inspection has threads of its own: the networks', and one for each bank.
The commands start with one BLAS thread (`cli/console.py`); `single_threaded_blas` is for whoever calls the runtime in a
process of theirs.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import UsageError

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
# What blocks of `processor_share` that run now leave this process.
_shares: list[int] = []


def usable_processors() -> int:
    """Processors that this process may keep busy: those it may run on, within the quota of its control group.

    A container may run on every processor of its machine and still get the time of two; threads beyond that only stop
    each other.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(min(_quota(), allowed)), *_shares))


@contextmanager
def processor_share(count: int) -> Iterator[None]:
    """Of a process that works beside others on its machine: no more usable processors than its share of them.

    Args:
        count: the share, 1 or more; it holds for all threads of the process while the block runs.

    Example:
        >>> with processor_share(1):
        ...     usable_processors()
        1
    """
    _shares.append(count)
    try:
        yield
    finally:
        _shares.remove(count)


def thread_count(asked: int | None) -> int:
    """The threads that were asked for; None: as many as there are usable processors.

    Raises:
        UsageError: fewer than one.
    """
    if asked is None:
        return usable_processors()
    if asked < 1:
        raise UsageError(f"{asked} threads: give 1 or more, or leave it out for all that this process may use")
    return asked


@lru_cache(maxsize=1)
def _quota() -> float:
    """Processors' worth of time that this process may use; as it was when first asked."""
    return control_group_quota(CONTROL_GROUPS, OWN_GROUPS)


def control_group_quota(root: Path, own: Path) -> float:
    """Processors' worth of time that the control groups of a process leave it; infinite without a limit.

    Args:
        root: where control groups are mounted.
        own: the file that names the groups of the process, as /proc/self/cgroup does.
    """
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return math.inf
    return min((limit for group in groups if len(group) == 3 for limit in _limits(root, *group[1:])), default=math.inf)


def _limits(root: Path, controllers: str, path: str) -> Iterator[float]:
    """The limits of a group and of all above it; in a container its own is the mounted one."""
    if controllers and "cpu" not in controllers.split(","):
        return
    top = root / "cpu" if controllers else root
    group = top / path.strip("/")
    for folder in (group, *group.parents):
        if folder == top or folder.is_relative_to(top):
            yield _limit(folder / "cpu.max" if not controllers else folder / "cpu.cfs_quota_us")


def _limit(file: Path) -> float:
    """A quota over its period: of version 2 both in one file, of version 1 beside each other."""
    try:
        values = file.read_text().split()
        if file.name == "cpu.cfs_quota_us":
            values += file.with_name("cpu.cfs_period_us").read_text().split()
        quota, period = float(values[0]), float(values[1])
    except (OSError, ValueError, IndexError):
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf


@dataclass(frozen=True)
class SharedSearch:
    """Threads that share the search of a bank, and how many they are."""

    pool: Executor
    threads: int


class ProcessThreads:
    """Threads that start when they are first needed and are those of this process.

    A fork, which has none of its parent's threads, starts its own.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._pools: dict[int, ThreadPoolExecutor] = {}

    def pool(self) -> ThreadPoolExecutor:
        """The threads of this process."""
        process = os.getpid()
        if process not in self._pools:
            # Of two callers that come first at the same time one keeps what the other made; no thread has started.
            self._pools.setdefault(process, ThreadPoolExecutor(self._count, self._name))
        return self._pools[process]

    def close(self) -> None:
        """End the threads; whoever asks again gets new ones."""
        pool = self._pools.pop(os.getpid(), None)
        if pool is not None:
            pool.shutdown()


class SearchThreads:
    """The threads of one decision: some that share a bank's search, and one for the second bank at the same time.

    Attributes:
        count: how many share a search; one is the caller's own.
    """

    def __init__(self, count: int | None = None) -> None:
        """Threads that share a search; None: as many as there are usable processors."""
        self.count = thread_count(count)
        self._sharing, self._second = ProcessThreads(self.count, "search"), ProcessThreads(1, "second")

    def pools(self) -> tuple[SharedSearch, ThreadPoolExecutor]:
        """Those that share a search, and the one for the second bank."""
        return SharedSearch(self._sharing.pool(), self.count), self._second.pool()

    def close(self) -> None:
        """End the threads; whoever asks again gets new ones."""
        self._sharing.close()
        self._second.close()


class _BlasLimit:
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


_BLAS_LIMIT = _BlasLimit()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_BLAS_LIMIT.renew)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """One thread for NumPy's matrix products while any such block runs, on whatever thread; then as before."""
    _BLAS_LIMIT.enter()
    try:
        yield
    finally:
        _BLAS_LIMIT.leave()
