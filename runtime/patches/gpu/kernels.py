"""The kernels of the grouping, and the symbols that they are compiled with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...engines.device import Kernel
from ..pooling import PATCH_GRID, SIZE, axis_pooling

SOURCES = Path(__file__).resolve().parent
# Pixels along an axis that one patch is pooled from, at most.
WINDOW = int(np.count_nonzero(axis_pooling(), axis=1).max())


def _kernel(name: str, threads: int, **definitions: int) -> Kernel:
    """The kernel of a source that is called as its function."""
    symbols = (("THREADS", threads), *definitions.items())
    return Kernel(SOURCES / f"{name}.cu", name, threads, definitions=symbols)


FARTHEST_POINTS = _kernel("farthest_points", 1024)
NEAREST_MEMBERS = _kernel("nearest_members", 256, CANDIDATES=1024, ENOUGH=512)
NEAREST_CENTERS = _kernel("nearest_centers", 128)
POOLING_ROWS = _kernel("pooling_rows", 160, WINDOW=WINDOW, GRID=PATCH_GRID, SIZE=SIZE)
KERNELS = (FARTHEST_POINTS, NEAREST_MEMBERS, NEAREST_CENTERS, POOLING_ROWS)


def axis_windows() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """`axis_pooling` without its zeros: the first pixel of every row (56,) int32, and weights (56, WINDOW) float64."""
    matrix = axis_pooling()
    starts = (matrix > 0).argmax(axis=1)
    padded = np.pad(matrix, ((0, 0), (0, WINDOW)))
    weights = np.take_along_axis(padded, starts[:, None] + np.arange(WINDOW), axis=1)
    return starts.astype(np.int32), weights
