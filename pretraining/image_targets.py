"""What an image token should know: the colors and the texture around its patch, as histograms.

Brightness, two opponent colors and the gradients at two scales are counted in soft bins over the patch and over its
surroundings, part pixels alone. Square roots make the Euclidean distance of two tokens the Hellinger distance of their
histograms, as for points (`surface_targets`). Turning the part changes nothing but the light on it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..training.extractors.vit import IMAGE_SIZE, PATCH_SIZE

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

GRID = IMAGE_SIZE // PATCH_SIZE
# Bins, and the values of the first and the last bin's center; gray values are 0..1.
BRIGHTNESS, OPPONENT = (10, 0.0, 1.0), (7, -0.3, 0.3)
# Gradients of the smoothed image, a pixel; bins are even in log(1 + gradient / knee).
GRADIENT_SIGMAS, GRADIENT_BINS, GRADIENT_KNEE, GRADIENT_REACH = (0.7, 1.8), 8, 0.008, 3.2
# Standard deviations of the windows' blur, in patches: the patch itself, then its surroundings.
WINDOWS = (0.45, 1.4)
# A patch with less of the part has no target.
MIN_COVER = 0.3


def image_targets(image: Float32, inside: Bool) -> tuple[Float32, Bool]:
    """Square-root histograms around every patch.

    Args:
        image: (224, 224, 3) float32, 0..1, without noise.
        inside: (224, 224) bool, where the part is.

    Returns:
        (784, k) float32 and (784,) bool: the targets row by row, and which patches have one.
    """
    red, green, blue = np.moveaxis(image, 2, 0)
    brightness = (red + green + blue) / 3
    # Away from the outline: a gradient there is the background's.
    well_inside = ndimage.binary_erosion(inside, iterations=3)
    counted = [
        _counted(brightness, *BRIGHTNESS, inside),
        _counted(red - green, *OPPONENT, inside),
        _counted((red + green) / 2 - blue, *OPPONENT, inside),
    ]
    for sigma in GRADIENT_SIGMAS:
        gradient = ndimage.gaussian_gradient_magnitude(brightness, sigma)
        compressed = np.log1p(gradient / GRADIENT_KNEE)
        counted.append(_counted(compressed, GRADIENT_BINS, 0.0, GRADIENT_REACH, well_inside))
    targets = np.concatenate([_shares_around(*histogram, window) for window in WINDOWS for histogram in counted])
    cover = _patch_mean(inside.astype(np.float32))
    return np.sqrt(targets).reshape(len(targets), -1).T.astype(np.float32), cover.ravel() >= MIN_COVER


def _counted(values: Float32, bins: int, first: float, last: float, inside: Bool) -> tuple[Float32, Float32]:
    """A patch's pixels by value, each split between two bins (bins, 28, 28), and all of them (28, 28)."""
    position = np.clip((values - first) / (last - first), 0, 1) * (bins - 1)
    centers = np.arange(bins, dtype=np.float32)[:, None, None]
    shares = np.clip(1 - np.abs(position - centers), 0, 1) * inside
    return _patch_mean(shares), _patch_mean(inside.astype(np.float32))


def _patch_mean(maps: Float32) -> Float32:
    """(..., 224, 224) -> (..., 28, 28)."""
    blocks = maps.reshape(*maps.shape[:-2], GRID, PATCH_SIZE, GRID, PATCH_SIZE)
    return np.asarray(blocks.mean(axis=(-3, -1)), dtype=np.float32)


def _shares_around(counts: Float32, total: Float32, window: float) -> Float32:
    """Each bin's share of the pixels in a window around every patch."""
    blurred = ndimage.gaussian_filter(counts, (0, window, window))
    return np.asarray(np.maximum(blurred, 0) / np.maximum(ndimage.gaussian_filter(total, window), 1e-3))
