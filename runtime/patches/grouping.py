"""Points become groups: farthest point sampling, then the nearest points of every center.

CMDIAD section 3 / Point-MAE: G centers by farthest point sampling from point 0, and for each its M nearest
points, with coordinates relative to the center. Scans are lattices, so that points at the very same distance are
common: of those the first ones in the scan's order are taken, whatever library searches.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ..bundle.parameters import Grouping
from ..errors import ScanError
from ..threads import thread_count

# How many more neighbors are looked at where the last place is shared, and then ever more.
FURTHER = 8
# A lattice's ties are over after so many more.
MANY = 48
# Places that are worth a thread of their own: fewer are found before it has started.
PLACES_A_THREAD = 64
# More than the rounding of float32 takes from a difference and its square; squares of less than the second are zero.
_ROUNDED_UP, _UNDERFLOW_M = 1.000001, 1e-18


@dataclass(frozen=True)
class Groups:
    """One scan's groups.

    Attributes:
        center_idx: (G,) int64, the centers' indices among the points.
        centers: (G, 3) float32, meters.
        groups: (G, M, 3) float32, meters, relative to their center, nearest first.
    """

    center_idx: npt.NDArray[np.int64]
    centers: npt.NDArray[np.float32]
    groups: npt.NDArray[np.float32]


def farthest_points(points_n3: npt.NDArray[np.float32], n: int, start: int = 0) -> npt.NDArray[np.int64]:
    """Exact farthest point sampling: each next index is the point farthest from all chosen ones.

    Of a scan's points, row by row, only a range of rows can become nearer by the next choice: no point is farther from
    the chosen ones than that choice was, so none at such a distance from it, along any axis, changes.

    Args:
        points_n3: (N, 3) float32, meters.
        n: how many to choose; beyond N distinct points, point 0 repeats.
        start: the first chosen index.

    Returns:
        (n,) int64 in order of selection; the lowest index wins a tie.
    """
    planes = np.ascontiguousarray(points_n3.T)
    along, highest_before, lowest_from = _ordered_axis(planes)
    nearest = np.full(len(along), np.inf, np.float32)
    room = np.empty_like(planes)
    chosen = np.empty(n, np.int64)
    index, reach = start, math.inf
    for k in range(n):
        chosen[k] = index
        first = bisect_left(highest_before, along[index] - reach)
        last = bisect_right(lowest_from, along[index] + reach)
        squared = room[:, : last - first]
        np.subtract(planes[:, first:last], planes[:, index, None], out=squared)
        np.multiply(squared, squared, out=squared)
        total, near = squared[0], nearest[first:last]
        np.add(total, squared[1], out=total)
        np.add(total, squared[2], out=total)
        np.minimum(near, total, out=near)
        index = int(nearest.argmax())
        reach = math.sqrt(nearest[index]) * _ROUNDED_UP + _UNDERFLOW_M
    return chosen


def _ordered_axis(planes_3n: npt.NDArray[np.float32]) -> tuple[list[float], list[float], list[float]]:
    """The coordinate, or its negative, along which the points are most in order, as rows of a scan are.

    Args:
        planes_3n: (3, N) float32.

    Returns:
        Of every point: the coordinate, the highest one up to there, and the lowest one from there on.
    """
    best: tuple[float, tuple[npt.NDArray[np.float32], ...]] = (math.inf, ())
    for plane in (*planes_3n, *-planes_3n):
        highest, lowest = np.maximum.accumulate(plane), np.minimum.accumulate(plane[::-1])[::-1]
        extent = float(highest[-1] - lowest[0])
        disorder = float(np.subtract(highest, lowest).mean(dtype=np.float64)) / extent if extent > 0 else 1.0
        if disorder < best[0]:
            best = disorder, (plane, highest, lowest)
    along, highest, lowest = best[1]
    return along.tolist(), highest.tolist(), lowest.tolist()


def group_points(points_n3: npt.NDArray[np.float32], grouping: Grouping, threads: int | None = None) -> Groups:
    """Group a scan's valid points.

    Args:
        points_n3: (N, 3) float32, meters: the valid points of the prepared scan, row by row.
        grouping: G and M.
        threads: of the search for neighbors; None: all this process may use.

    Raises:
        ScanError: there are fewer points than one group needs.
    """
    require_group(len(points_n3), grouping)
    center_idx = farthest_points(points_n3, grouping.n_groups)
    centers = points_n3[center_idx]
    _, members = nearest_points(points_n3, centers, grouping.group_size, threads)
    return Groups(center_idx, centers, points_n3[members] - centers[:, None, :])


def require_group(n_points: int, grouping: Grouping) -> None:
    """Refuse a part whose points do not make one group.

    Raises:
        ScanError: there are fewer points than one group needs.
    """
    if n_points < grouping.group_size:
        raise ScanError(
            f"only {n_points} valid points are left of the part, a group needs {grouping.group_size}: "
            "check the sensor's view, or the plane and clean-up parameters"
        )


def nearest_points(
    points_n3: npt.NDArray[np.float32], places: npt.NDArray[np.float32], count: int, threads: int | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The points nearest to every place; of those equally near, the lower index comes first and is taken first.

    Args:
        points_n3: (N, 3) float32, meters, N >= count.
        places: (P, 3) float32, meters.
        count: how many.
        threads: that share the places; None: all this process may use.

    Returns:
        Distances (P, count) float64, meters, and indices (P, count) int64, nearest first.
    """
    tree, n_points = cKDTree(points_n3), len(points_n3)
    # One more than wanted shows whether the last place is shared.
    reach = min(count + 1, n_points)
    further, indices = _query(tree, places, reach, threads)
    distances, members = further[:, :count].copy(), indices[:, :count].copy()
    shared = np.flatnonzero(further[:, count - 1] == further[:, -1])
    kept, step = None, FURTHER
    while len(shared):
        if kept is None and reach > count + MANY:
            # No lattice: points at the very same place, of which no more than `count` can be among the nearest.
            kept = _without_surplus(points_n3, count)
            tree, n_points = cKDTree(points_n3[kept]), len(kept)
        reach = min(reach + step, n_points)
        step *= 2
        further, indices = _query(tree, places[shared], reach, threads)
        if kept is not None:
            indices = kept[indices]
        first = np.lexsort((indices, further))[:, :count]
        distances[shared] = np.take_along_axis(further, first, axis=1)
        members[shared] = np.take_along_axis(indices, first, axis=1)
        shared = shared[(further[:, count - 1] == further[:, -1]) & (reach < n_points)]
    _order_equals(distances, members, len(points_n3))
    return distances, members


def _order_equals(distances: npt.NDArray[np.float64], members: npt.NDArray[np.int64], n_points: int) -> None:
    """Put members of the same distance into ascending order, in place: (P, count) each, nearest first."""
    equal = distances[:, 1:] == distances[:, :-1]
    rows = np.flatnonzero((equal & (members[:, 1:] < members[:, :-1])).any(axis=1))
    # A rank of distances times the number of points, plus the index: one key, which sorts faster than two.
    ranks = np.zeros((len(rows), members.shape[1]), np.int64)
    np.cumsum(~equal[rows], axis=1, out=ranks[:, 1:])
    ranks *= n_points
    members[rows] = np.sort(ranks + members[rows], axis=1) - ranks


def _without_surplus(points_n3: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Ascending indices of the points, of those at the very same place only the first `count`."""
    # Adding zero makes -0 and 0 one place.
    order = np.lexsort((points_n3 + np.float32(0)).T)
    ordered = points_n3[order]
    begins = np.flatnonzero(np.append(True, (ordered[1:] != ordered[:-1]).any(axis=1)))
    lengths = np.diff(np.append(begins, len(order)))
    rank = np.arange(len(order)) - np.repeat(begins, lengths)
    return np.sort(order[rank < count])


def _query(
    tree: cKDTree, places: npt.NDArray[np.float32], count: int, threads: int | None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Distances and indices of the `count` nearest points, (P, count) each; a list of one is not flattened."""
    workers = min(thread_count(threads), -(-len(places) // PLACES_A_THREAD))
    distances, indices = tree.query(places, k=count, workers=workers)
    return np.reshape(distances, (len(places), count)), np.reshape(indices, (len(places), count)).astype(np.int64)
