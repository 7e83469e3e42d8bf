"""What a point token should know: how high the true surface lies around it, as histograms.

Heights are read on rings around a place of the noise-free, unoccluded surface, relative to the place itself and to
its tangent plane, and counted in logarithmic bins ring pair by ring pair. Square roots make the Euclidean distance of
two tokens the Hellinger distance of their histograms: bounded, so that an edge does not outweigh a scratch. Turning
the part about the viewing axis changes nothing. Regression on what the sensor did not see right teaches a token to
see through noise and missing points.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..training.synth.camera import GRID_EXTENT_M

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

# In pixel pitches of the 224x224 map.
RING_RADII = np.array([1.5, 3.0, 5.0, 8.0, 11.0, 16.0])
RINGS_PER_HISTOGRAM = 2
# Rings that the tangent plane is fitted to, and the steepest slope it takes.
TANGENT_RINGS, MAX_SLOPE = 3, 1.5
ANGLES = np.arange(24) * (2 * np.pi / 24)
# Bins are even in log(1 + |height| / KNEE) up to LOG_REACH; heights in pixel pitches.
N_BINS, KNEE, LOG_REACH = 13, 0.22, 4.6


def surface_targets(height_m: Float32, places_n2: Float32, pitch_m: float) -> Float32:
    """Square-root histograms of the heights around places on a surface.

    Args:
        height_m: (N, N) float32, meters over the plane, on the grid of `training.synth.camera`.
        places_n2: (n, 2) float32, meters on the plane.
        pitch_m: the scan's pixel pitch, meters.

    Returns:
        (n, 6, N_BINS) float32: three ring pairs relative to the place, then three relative to its tangent plane,
        inner rings first.
    """
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1)
    around = places_n2[:, None, None] + (RING_RADII * pitch_m)[:, None, None] * circle
    center = _heights_at(height_m, places_n2)
    relative = (_heights_at(height_m, around) - center[:, None, None]) / pitch_m
    histograms = [_histograms(heights) for heights in (relative, relative - _tangent(relative))]
    return np.sqrt(np.concatenate(histograms, axis=1)).astype(np.float32)


def _tangent(relative: Float64) -> Float64:
    """Heights (n, rings, angles) of the plane through the innermost rings."""
    slopes = relative[:, :TANGENT_RINGS] / RING_RADII[:TANGENT_RINGS, None]
    down_x, down_y = (
        np.clip(2 * (slopes * wave).mean(axis=(1, 2)), -MAX_SLOPE, MAX_SLOPE)[:, None, None]
        for wave in (np.cos(ANGLES), np.sin(ANGLES))
    )
    return np.asarray((down_x * np.cos(ANGLES) + down_y * np.sin(ANGLES)) * RING_RADII[:, None])


def _histograms(heights: Float64) -> Float64:
    """(n, rings, angles) -> (n, ring pairs, N_BINS): shares, each height split between the two nearest bins."""
    logarithmic = np.sign(heights) * np.log1p(np.abs(heights) / KNEE)
    position = np.clip((logarithmic / LOG_REACH + 1) * (N_BINS - 1) / 2, 0, N_BINS - 1)
    samples = position.reshape(-1, RINGS_PER_HISTOGRAM * len(ANGLES))
    lower = np.minimum(samples.astype(np.int64), N_BINS - 2)
    first = np.arange(len(samples))[:, None] * N_BINS
    upper_share = samples - lower
    size = len(samples) * N_BINS
    counts = np.bincount((first + lower).ravel(), (1 - upper_share).ravel(), size)
    counts += np.bincount((first + lower + 1).ravel(), upper_share.ravel(), size)
    return counts.reshape(len(heights), -1, N_BINS) / samples.shape[1]


def _heights_at(height_m: Float32, places: npt.NDArray[np.floating]) -> Float64:
    size = height_m.shape[0]
    cells = places * (size / GRID_EXTENT_M) + (size / 2 - 0.5)
    rows_columns = [cells[..., 1].ravel(), cells[..., 0].ravel()]
    heights = ndimage.map_coordinates(height_m, rows_columns, output=np.float64, order=1, mode="nearest")
    return np.asarray(heights).reshape(places.shape[:-1])
