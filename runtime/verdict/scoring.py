"""From patch distances to the image score and to the map of the network input's size."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import logsumexp

from ..patches.pooling import PATCH_GRID, SIZE

BLUR_SIGMA = 4.0
BLUR_TRUNCATE = 4.0  # standard deviations: a radius of 16 pixels
AVERAGED_PATCHES = 5  # by the score `top5`

Array = npt.NDArray[np.float32]


def image_score(s_star: float, neighbor_distances: npt.ArrayLike, dim: int) -> float:
    """Re-weight the largest patch distance: s = w s* (PatchCore, arXiv 2106.08265, equation 7).

    w = 1 - exp(s* / sqrt(d)) / sum over n of exp(|F_i* - n| / sqrt(d)), where n runs over the next neighbors
    of the bank row m* that is nearest to patch i*; m* itself is not among them, as in the published CMDIAD
    and M3DM. m* being the nearest row, w is at least 1 - 1/k for k neighbors. It is held at 0 from below, for
    neighbors nearer than m*, and is 1 without neighbors (a bank of one row).

    Args:
        s_star: the largest of the patch distances, of patch i*.
        neighbor_distances: (k,) distances of the same patch to the neighbors of its nearest bank row, in the
            same metric.
        dim: d, the feature's dimension.
    """
    exponents = np.asarray(neighbor_distances, np.float64) / math.sqrt(dim)
    if not exponents.size:
        return s_star
    surplus = s_star / math.sqrt(dim) - float(logsumexp(exponents))
    return -math.expm1(min(surplus, 0.0)) * s_star


def mean_of_largest(distances: Array) -> float:
    """The mean of the five largest fused patch distances, of any shape: the score `top5`."""
    flat = distances.ravel()
    return float(np.partition(flat, flat.size - AVERAGED_PATCHES)[-AVERAGED_PATCHES:].mean(dtype=np.float64))


@lru_cache(maxsize=1)
def upsample_blur_matrix() -> Array:
    """One axis of upsampling and blur together: U, (224, 56) float32, read-only, every row sums to one.

    Bilinear interpolation with half-pixel centers (torch's align_corners=False), then a Gaussian of sigma 4
    cut at 4 sigma, with the border mirrored about the pixels' edge (scipy's "reflect"), which loses no mass.
    """
    position = np.clip((np.arange(SIZE) + 0.5) * PATCH_GRID / SIZE - 0.5, 0, PATCH_GRID - 1)
    distance = np.abs(position[:, None] - np.arange(PATCH_GRID))
    bilinear = np.clip(1.0 - distance, 0.0, None)
    blurred = gaussian_filter1d(bilinear, BLUR_SIGMA, axis=0, mode="reflect", truncate=BLUR_TRUNCATE)
    matrix: Array = blurred.astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def upsample_blur(map_56: Array) -> Array:
    """The map at the network input's size: (56, 56) float32 -> (224, 224) float32, U map U^T."""
    matrix = upsample_blur_matrix()
    return (matrix @ map_56 @ matrix.T).astype(np.float32, copy=False)
