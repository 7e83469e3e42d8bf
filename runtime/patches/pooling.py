"""Tokens become patch features by one sparse matrix: R = A T.

The published pipeline interpolates every pixel from its 3 nearest centers, averages 3x3 and pools to 56x56.
All three steps are linear in the tokens and depend on the points alone, so they are one matrix A
(ALGORITHM.md, identities).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ..preparation.frame import SIZE as SIZE
from ..threads import single_threaded_blas
from .grouping import nearest_points

PATCH_GRID = 56
N_PATCHES = PATCH_GRID * PATCH_GRID
N_INTERPOLATED = 3
INTERPOLATION_EPS = 1e-8


def axis_pooling(size: int = SIZE, grid: int = PATCH_GRID) -> npt.NDArray[np.float64]:
    """3-mean without padding, then adaptive mean pooling, along one axis: (grid, size) float64."""
    averaged = size - 2
    matrix = np.zeros((grid, size))
    for row in range(grid):
        start, stop = row * averaged // grid, -(-(row + 1) * averaged // grid)
        for position in range(start, stop):
            matrix[row, position : position + 3] += 1.0 / (3 * (stop - start))
    return matrix


@lru_cache(maxsize=1)
def image_pooling() -> sparse.csr_array:
    """Both axes together: (3136, 50176) float32, every row sums to one."""
    axis = sparse.csr_array(axis_pooling())
    return sparse.csr_array(sparse.kron(axis, axis, format="csr"), dtype=np.float32)


def interpolation_matrix(
    points_n3: npt.NDArray[np.float32],
    pixels: npt.NDArray[np.int64],
    centers: npt.NDArray[np.float32],
    threads: int | None = None,
) -> sparse.csr_array:
    """Inverse-squared-distance weights of the 3 nearest centers of every valid pixel.

    Args:
        points_n3: (N, 3) float32, meters.
        pixels: (N,) int64, ascending, each point's place in the flattened 224x224 map.
        centers: (G, 3) float32, meters.
        threads: of the search for neighbors; None: all this process may use.

    Returns:
        (50176, G) float32; pixels without a point have empty rows.
    """
    neighbors = min(N_INTERPOLATED, len(centers))
    distance, index = nearest_points(centers, points_n3, neighbors, threads)
    weight = 1.0 / (distance**2 + INTERPOLATION_EPS)
    weight /= weight.sum(axis=1, keepdims=True)
    counts = np.zeros(SIZE * SIZE + 1, np.int64)
    counts[pixels + 1] = neighbors
    return sparse.csr_array(
        (weight.astype(np.float32).ravel(), index.ravel(), np.cumsum(counts)),
        shape=(SIZE * SIZE, len(centers)),
    )


def pooling_matrix(
    points_n3: npt.NDArray[np.float32],
    pixels: npt.NDArray[np.int64],
    centers: npt.NDArray[np.float32],
    threads: int | None = None,
) -> sparse.csr_array:
    """The matrix A of one scan: (3136, G) float32; a patch without points has an empty row."""
    return image_pooling() @ interpolation_matrix(points_n3, pixels, centers, threads)


@single_threaded_blas()
def foreground_patches(valid_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Patches that any valid pixel contributes to: (224, 224) bool -> (3136,) bool."""
    touched = (axis_pooling() > 0).astype(np.float32)
    return (touched @ valid_hw.astype(np.float32) @ touched.T > 0).ravel()
