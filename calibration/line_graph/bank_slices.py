"""A bank's rows in slices of similar ones, each around its own center: how the line graph searches them.

A product tells rows apart up to its rounding error, which grows with the norms that enter it. Around the center of its
slice a row is short, and so is every query that is near it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

# Rows of a bank that are compared at once: 1,280 x 8,192 half-precision bounds take 20 MiB a scan.
SLICE_ROWS = 8192
# Smaller slices would be more operators for next to nothing.
LEAST_ROWS = 64
# A slice that is small enough is split where that takes away this share of its squared distances to the center.
WORTH = 0.5
# Rows that a slice's principal direction is found on, and the steps of its iteration; any direction is valid.
DIRECTION_ROWS = 2048
DIRECTION_STEPS = 16


@dataclass(frozen=True)
class BankSlice:
    """Some rows of a bank.

    Attributes:
        index: (s,) int64, which; ascending.
        center: (d,) float32, their mean.
    """

    index: IndexArray
    center: Float32Array


def slice_bank(rows_md: npt.NDArray[np.floating], kept: IndexArray) -> list[BankSlice]:
    """The rows `kept` (k,), ascending, of a bank's (m, d), each in one of its slices of at most `SLICE_ROWS`."""
    rows = rows_md.astype(np.float32, copy=False)
    return [_around_center(rows, np.sort(index)) for index in _split(rows, kept)]


def _around_center(rows_md: Float32Array, index: IndexArray) -> BankSlice:
    return BankSlice(index, rows_md[index].mean(axis=0, dtype=np.float64).astype(np.float32))


def _split(rows_md: Float32Array, index: IndexArray) -> Iterator[IndexArray]:
    """Halve along the principal direction, where that makes the two halves shortest, as often as it must or pays."""
    n = len(index)
    too_many = n > SLICE_ROWS
    least = max(1, n // 4) if too_many else LEAST_ROWS
    if n < 2 * least or n < 2:
        yield index
        return
    rows = rows_md[index]
    centered = rows - rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    along = (centered @ principal_direction(centered)).astype(np.float64)
    order = np.argsort(along, kind="stable")
    first = np.arange(1, n)
    total = np.cumsum(along[order])
    # What two means in place of one take away from the sum of squares (Otsu 1979), for every place to cut.
    gain = total[:-1] ** 2 / first + (total[-1] - total[:-1]) ** 2 / (n - first)
    cut = least + int(gain[least - 1 : n - least].argmax())
    spread = float(np.einsum("ij,ij->", centered, centered, dtype=np.float64))
    if not too_many and (spread == 0.0 or gain[cut - 1] < WORTH * spread):
        yield index
        return
    for half in (order[:cut], order[cut:]):
        yield from _split(rows_md, index[half])


def principal_direction(centered_nd: Float32Array) -> Float32Array:
    """(d,) float32 of length 1 along which points (n, d) around zero are spread the most, by power iteration."""
    sample = centered_nd[:: max(1, len(centered_nd) // DIRECTION_ROWS)].astype(np.float64)
    direction = sample[int(np.einsum("ij,ij->i", sample, sample).argmax())]
    for _ in range(DIRECTION_STEPS):
        direction = sample.T @ (sample @ direction)
        # Equal rows have no direction: any will do.
        direction /= np.linalg.norm(direction) or 1.0
    unit: Float32Array = direction.astype(np.float32)
    return unit
