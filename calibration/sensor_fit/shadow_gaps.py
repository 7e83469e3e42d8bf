"""Pieces of one part that a shadow parts: how far apart they are, so that they are joined and other parts are not.

What stands before another piece hides the ground behind it from camera or projector. Such a gap is as wide as the part
is high, however fine the sensor's pixels are, and nothing is measured in it; between two parts the table is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from ...runtime.bundle.parameters import Preprocessing
from ...runtime.preparation.clusters import Clusters, find_clusters
from ...runtime.preparation.part_choice import objects_among
from ...runtime.preparation.prepare import without_plane
from ...runtime.sensor.missing import valid_mask

# Gaps wider than this share of all that stands on the table are not looked at: beyond, separate parts are joined.
_WIDEST = 1 / 6
_STEP = 1.25
# A gap is a shadow where less of it was measured.
_MOST_MEASURED = 0.5
# Strays do not count for the size of what stands there.
_PERCENTILES = (1, 99)

_Mask = npt.NDArray[np.bool_]


def joining_distance(points_hw3: npt.NDArray[np.float32], preprocessing: Preprocessing) -> float | None:
    """The distance that joins all pieces in view across shadows, meters.

    Args:
        points_hw3: (H, W, 3) float32, meters, missing points zero.
        preprocessing: as proposed so far; its `cluster_distance_m` is the least.

    Returns:
        None where one piece is in view; infinity where pieces are parted by the table, or too far from each other.

    Raises:
        ScanError: there is no table, or nothing on it.
    """
    standing, valid = without_plane(points_hw3, preprocessing), valid_mask(points_hw3)
    planes = np.ascontiguousarray(np.moveaxis(points_hw3, -1, 0))
    distance, least_points = preprocessing.cluster_distance_m, preprocessing.cluster_min_points
    clusters = find_clusters(planes, standing, distance, least_points)
    if not len(clusters.sizes) or objects_among(clusters) == 1:
        return None
    if not all(_is_shadow(gap, valid) for gap in _gaps(clusters)):
        return math.inf
    longest = _WIDEST * _extent(points_hw3[(clusters.labels > 0) & (clusters.labels <= objects_among(clusters))])
    while (distance := distance * _STEP) <= longest:
        if objects_among(find_clusters(planes, standing, distance, least_points)) == 1:
            return distance
    return math.inf


def agreed_distance(distances: Sequence[float | None]) -> float | None:
    """What joins the pieces in most of the scans that show several; None where that is nothing to be joined.

    Example:
        >>> agreed_distance([None, 0.004, 0.005, float("inf")])
        0.005
    """
    several = [distance for distance in distances if distance is not None]
    joining = [distance for distance in several if math.isfinite(distance)]
    return max(joining) if len(joining) > len(several) / 2 else None


def _gaps(clusters: Clusters) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """From every object but the largest, the pixels on the straight way to the nearest other one: rows and columns."""
    gaps = []
    for number in range(2, objects_among(clusters) + 1):
        own = clusters.mask(number)
        others = (clusters.labels > 0) & (clusters.labels <= objects_among(clusters)) & ~own
        apart, nearest = distance_transform_edt(~others, return_indices=True)
        row, column = divmod(int(np.where(own, apart, np.inf).argmin()), own.shape[1])
        to_row, to_column = (int(axis[row, column]) for axis in nearest)
        steps = max(abs(to_row - row), abs(to_column - column)) + 1
        way = np.linspace((row, column), (to_row, to_column), steps).round().astype(np.intp)[1:-1]
        gaps.append((way[:, 0], way[:, 1]))
    return gaps


def _is_shadow(gap: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], valid_hw: _Mask) -> bool:
    measured = valid_hw[gap]
    return not len(measured) or float(measured.mean()) < _MOST_MEASURED


def _extent(points_n3: npt.NDArray[np.float32]) -> float:
    low, high = np.percentile(points_n3, _PERCENTILES, axis=0)
    return float(np.linalg.norm(high - low))
