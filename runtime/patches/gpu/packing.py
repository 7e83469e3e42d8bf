"""The points of a batch of parts in one buffer, as `part.cuh` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..pooling import SIZE

# A point a pixel, at most.
MOST_POINTS = SIZE * SIZE
_HEADER_WORDS, _POINT_WORDS = 2, 4


@dataclass(frozen=True)
class PartPoints:
    """What is grouped of one part.

    Attributes:
        points: (N, 3) float32, meters, finite: the valid points row by row.
        pixels: (N,) ascending, each point's place in the flattened 224x224 map.
    """

    points: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what the kernels would read wrongly. Raises ValueError."""
        if self.points.dtype != np.float32 or self.points.shape != (len(self.pixels), 3):
            raise ValueError(f"points are (N, 3) float32 with N pixels, not {self.points.shape} {self.points.dtype}")
        steps = np.diff(self.pixels, prepend=-1, append=MOST_POINTS)
        if (steps <= 0).any():
            raise ValueError(f"pixels ascend from 0 to {MOST_POINTS - 1} at most")
        if not np.isfinite(self.points).all():
            raise ValueError("points that are grouped are finite")


def words_of(batch: int) -> int:
    """How many words of 32 bits the largest parts of a batch take."""
    return batch * (_HEADER_WORDS + _POINT_WORDS * MOST_POINTS)


def pack(parts: Sequence[PartPoints], batch: int, words: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Write parts into a buffer that holds `batch` of them.

    Args:
        parts: no more than `batch`.
        batch: how many the buffer has a header for.
        words: (words_of(batch),) int32; numbers of points, numbers of those before, then each part's x, y, z, pixels.

    Returns:
        The words that were written, from the first on.
    """
    begin, first = batch * _HEADER_WORDS, 0
    for number, part in enumerate(parts):
        n = len(part.points)
        words[_HEADER_WORDS * number : _HEADER_WORDS * (number + 1)] = n, first
        rows = words[begin : begin + _POINT_WORDS * n].reshape(_POINT_WORDS, n)
        rows[:3].view(np.float32)[...] = part.points.T
        rows[3] = part.pixels
        begin, first = begin + _POINT_WORDS * n, first + n
    return words[:begin]
