"""Features averaged over the patches around: what is compared with the banks, if a bundle asks for it.

PatchCore calls them locally aware patch features (Roth et al. 2022, arXiv 2106.08265, equation 2): the noise of single
patches is averaged out, and a patch is compared together with its surroundings.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from .pooling import PATCH_GRID

Array = npt.NDArray[np.float32]


def neighborhood_mean(features: Array, foreground: npt.NDArray[np.bool_], size: int) -> Array:
    """Every patch's mean over the patches around it that carry part, itself among them.

    Args:
        features: (n, D) float32, of the patches that carry part.
        foreground: (3136,) bool, which patches these are, in order.
        size: patches on a side of the neighborhood, odd; 1 changes nothing.

    Returns:
        (n, D) float32.

    Example:
        >>> foreground = np.zeros(3136, bool)
        >>> foreground[:2] = True
        >>> neighborhood_mean(np.array([[1.0], [3.0]], np.float32), foreground, 3).ravel().tolist()
        [2.0, 2.0]
    """
    if size == 1:
        return features
    rows, columns = _neighbors(foreground, size)
    counts = np.bincount(rows, minlength=len(features))
    shares = (1 / counts[rows]).astype(np.float32)
    mean: Array = csr_array((shares, (rows, columns)), shape=(len(features), len(features))) @ features
    return mean


def _neighbors(foreground: npt.NDArray[np.bool_], size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pairs of patches of which one is in the other's neighborhood, by their numbers among those that carry part."""
    reach, width = size // 2, PATCH_GRID + 2 * (size // 2)
    number = np.full((width, width), -1, np.intp)
    inner = number[reach : reach + PATCH_GRID, reach : reach + PATCH_GRID]
    inner[foreground.reshape(PATCH_GRID, PATCH_GRID)] = np.arange(np.count_nonzero(foreground))
    around = np.lib.stride_tricks.sliding_window_view(number, (size, size)).reshape(PATCH_GRID**2, size * size)
    columns = around[foreground]
    rows, places = np.nonzero(columns >= 0)
    return rows, columns[rows, places]
