"""A fixed piece of work, timed between inspections: it tells how fast the machine itself is at that moment.

Two runs at different times see different clocks and neighbors. Dividing by the yardstick removes what slowed both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...threads import single_threaded_blas

_ROWS, _QUERIES, _DIM = 2048, 384, 256
_PASSES = 2


def make_yardstick(seed: int = 0) -> Callable[[], float]:
    """A function that does the work on the caller's thread and one more, and returns the seconds until both are done.

    Two banks are searched by two threads, and a neighbor on either processor slows an inspection. It multiplies
    matrices and sorts, as the inspection's own stages do; about 10 ms on cores of 2020 or later.
    """
    generator = np.random.default_rng(seed)
    queries = generator.standard_normal((_QUERIES, _DIM), np.float32)
    rows = generator.standard_normal((_ROWS, _DIM), np.float32)
    pool = ThreadPoolExecutor(1, thread_name_prefix="yardstick")

    def work() -> None:
        for _ in range(_PASSES):
            np.matmul(queries, rows.T)
            np.sort(rows, axis=1)

    @single_threaded_blas()
    def measure() -> float:
        begin = time.perf_counter()
        other = pool.submit(work)
        work()
        other.result()
        return time.perf_counter() - begin

    measure()
    return measure
