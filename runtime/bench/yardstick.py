"""A fixed piece of work, timed between inspections: it tells how fast the machine itself is at that moment.

Two runs at different times see different clocks and neighbors. Dividing by the yardstick removes what slowed both.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ..scores import half_distance_scores

_ROWS, _QUERIES, _DIM = 2048, 384, 256
_PASSES = 2


def make_yardstick(seed: int = 0) -> Callable[[], float]:
    """A function that does the work, on one thread, and returns the seconds it took.

    It multiplies matrices and sorts, as the inspection's own stages do; about 10 ms on one core of 2020 or later.
    """
    generator = np.random.default_rng(seed)
    queries = generator.standard_normal((_QUERIES, _DIM), np.float32)
    rows = generator.standard_normal((_ROWS, _DIM), np.float32)
    half_norms = np.zeros(_ROWS, np.float32)

    def measure() -> float:
        begin = time.perf_counter()
        for _ in range(_PASSES):
            half_distance_scores(queries, rows, half_norms)
            np.sort(rows, axis=1)
        return time.perf_counter() - begin

    measure()
    return measure
