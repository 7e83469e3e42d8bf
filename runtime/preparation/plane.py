"""The supporting plane: found on the image border by RANSAC, refined by least squares (paper, preprocessing).

Hypotheses are made and scored many at once, on a subsample of fixed size; where a few of them already explain most of
it, the rest are not made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

_Scalar = TypeVar("_Scalar", bound=np.generic)
_DISTANCES_AT_ONCE = 1 << 15  # computed, so that they stay in a processor's own cache
_SCORED_POINTS = 512  # enough to rank planes: the share of inliers is known to 2.2 % (one sigma) at worst
_FIRST_POINTS = 128  # of these tell which planes are not worth the others
_FIRST_PLANES = 64  # of a border without a part, most are right
# Mean misfit of the best plane, of the largest: then four fifths of the points are near it at least, and of the first
# planes half lie through such points alone.
_GOOD_FIT = 0.2
_FINALISTS = 8  # one plane of so many
_MIN_SHARE = 0.5  # a supporting plane explains most of the border; anything less is some other surface
_MIN_CLEAR = 1e-3  # a sample whose points lie on one line (second singular value this small) defines no plane
_MAX_REFINEMENTS = 30
_REFINED_POINTS = 10_000  # fix a plane to a hundredth of the noise
_TRIM_SIGMA = 3.0
_SIGMA_OF_MAD = 1.4826  # standard deviation of a normal distribution over its median absolute deviation


@dataclass(frozen=True)
class Plane:
    """All x with normal . x + offset = 0; `normal` has length 1, lengths are in meters."""

    normal: npt.NDArray[np.float64]
    offset: float

    def distances(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Signed distances in meters of (..., 3) points, in the points' own precision: (...)."""
        normal = self.normal.astype(points.dtype)
        # Not a matrix product: BLAS would split this thin one over threads, which costs more than it saves.
        signed: npt.NDArray[np.floating] = points[..., 0] * normal[0]
        signed += points[..., 1] * normal[1]
        signed += points[..., 2] * normal[2]
        signed += points.dtype.type(self.offset)
        return signed


def find_plane(
    points_n3: npt.NDArray[np.floating], threshold_m: float, iterations: int, sample: int, seed: int
) -> Plane | None:
    """The plane most of the points lie on, to within noise.

    Args:
        points_n3: (N, 3), meters.
        threshold_m: a point this near a hypothesis supports it.
        iterations: how many hypotheses.
        sample: how many points make a hypothesis, at least 3.
        seed: same points and seed, same plane.

    Returns:
        The refined plane; None where there are fewer points than a sample or no plane has half of the points.
    """
    if len(points_n3) < sample:
        return None
    center = points_n3.mean(axis=0, dtype=np.float64)
    centered = (points_n3 - center).astype(np.float64)
    start = _best_hypothesis(centered, threshold_m, iterations, sample, seed)
    refined = refine_plane(centered, start, threshold_m) if start is not None else None
    if refined is None or np.mean(np.abs(refined.distances(centered)) <= threshold_m) < _MIN_SHARE:
        return None
    return Plane(refined.normal, refined.offset - float(refined.normal @ center))


def refine_plane(points_n3: npt.NDArray[np.floating], plane: Plane, threshold_m: float) -> Plane | None:
    """Least squares on the points near a plane, repeated until the same points stay near.

    Points farther than three robust sigmas count as outliers even within the threshold, so that a part's foot
    does not pull a precise sensor's plane.

    Args:
        points_n3: (N, 3), meters.
        plane: where to start.
        threshold_m: the largest distance of an inlier.

    Returns:
        The refined plane; None where fewer than 3 points are near.
    """
    # Each coordinate by itself: what is done with all points at once is then done along memory.
    planes_3n = np.array(thinned(points_n3).T, np.float64, order="C")
    near = np.zeros(planes_3n.shape[1], dtype=bool)
    moments = np.zeros((4, 4))
    for _ in range(_MAX_REFINEMENTS):
        distances = np.abs(plane.distances(planes_3n.T))
        inliers = distances <= threshold_m
        if np.count_nonzero(inliers) < 3:
            return None
        inliers &= distances <= _TRIM_SIGMA * _SIGMA_OF_MAD * median(distances[inliers]) + 1e-6
        if np.array_equal(inliers, near):
            break
        # From the second time on few points come and go.
        moments += _moments(planes_3n, inliers & ~near) - _moments(planes_3n, near & ~inliers)
        near = inliers
        plane = _least_squares(moments)
    return plane


def thinned(items: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
    """Evenly chosen items, as many as a refinement needs: a view."""
    return items[:: max(1, len(items) // _REFINED_POINTS)]


def median(values: npt.NDArray[np.floating]) -> float:
    """`np.median`, which of many values orders those alone that a sample's middle is among."""
    sample = np.sort(values[::16])
    low, high = sample[int(0.44 * len(sample))], sample[int(0.56 * len(sample))]
    middle = values[(values >= low) & (values <= high)]
    below = int(np.count_nonzero(values < low))
    first, second = ((len(values) - 1) // 2 - below, len(values) // 2 - below)
    if first < 0 or second >= len(middle):
        return float(np.median(values))
    middle.partition([first, second])
    return float((middle[first] + middle[second]) / 2)


def _best_hypothesis(
    points_n3: npt.NDArray[np.float64], threshold_m: float, iterations: int, sample: int, seed: int
) -> Plane | None:
    """The plane through a random sample that fits most points best; None where every sample is a line."""
    rng = np.random.default_rng(seed)
    samples = rng.integers(len(points_n3), size=(iterations, sample))
    scored = points_n3[rng.integers(len(points_n3), size=_SCORED_POINTS)]
    plane = None
    for n_planes in sorted({min(_FIRST_PLANES, iterations), iterations}):
        plane, misfit = _best_through(points_n3[samples[:n_planes]], scored, threshold_m)
        if misfit <= _GOOD_FIT * _SCORED_POINTS * threshold_m**2:
            break
    return plane


def _best_through(
    samples: npt.NDArray[np.float64], scored_n3: npt.NDArray[np.float64], threshold_m: float
) -> tuple[Plane | None, float]:
    """The plane through one of the samples, (K, n, 3), that fits the scored points best, and its misfit."""
    normals, offsets, clear = _planes_through(samples) if samples.shape[1] == 3 else _planes_of(samples)
    if not clear.any():
        return None, np.inf
    normals, offsets = normals[clear], offsets[clear]
    order = _misfits(normals, offsets, scored_n3[:_FIRST_POINTS], threshold_m).argsort(kind="stable")
    finalists = order[: -(-len(order) // _FINALISTS)]
    misfits = _misfits(normals[finalists], offsets[finalists], scored_n3, threshold_m)
    best = int(misfits.argmin())
    return Plane(normals[finalists[best]], float(offsets[finalists[best]])), float(misfits[best])


def _misfits(
    normals_k3: npt.NDArray[np.float64],
    offsets_k: npt.NDArray[np.float64],
    points_n3: npt.NDArray[np.float64],
    threshold_m: float,
) -> npt.NDArray[np.float32]:
    """The sum of the points' squared distances to every plane, (K,), each at most the threshold's square.

    Truncated squares (MSAC), not a count: a plane tilted until it grazes a low part too does not win.
    """
    # Coordinates first: einsum then runs along the points, at the speed of BLAS and without its threads.
    normals, points = normals_k3.T.astype(np.float32, "C"), points_n3.T.astype(np.float32, "C")
    offsets = offsets_k.astype(np.float32)[:, None]
    misfits = np.empty(len(offsets), np.float32)
    n_planes = max(1, _DISTANCES_AT_ONCE // len(points_n3))
    for start in range(0, len(offsets), n_planes):
        block = slice(start, start + n_planes)
        distances = np.einsum("dk,dn->kn", normals[:, block], points)
        distances += offsets[block]
        np.square(distances, out=distances)
        np.minimum(distances, np.float32(threshold_m) ** 2, out=distances)
        distances.sum(axis=1, out=misfits[block])
    return misfits


def _moments(planes_3n: npt.NDArray[np.float64], chosen_n: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The sum over the chosen points of (x, y, z, 1) times itself: (4, 4)."""
    chosen = planes_3n.take(np.flatnonzero(chosen_n), axis=1)
    moments = np.empty((4, 4))
    # Not a matrix product: BLAS would split this thin one over threads, which costs more than it saves.
    moments[:3, :3] = np.einsum("in,jn->ij", chosen, chosen)
    moments[3, :3] = moments[:3, 3] = chosen.sum(axis=1)
    moments[3, 3] = chosen.shape[1]
    return moments


def _least_squares(moments: npt.NDArray[np.float64]) -> Plane:
    """The plane of least squares through points with these moments."""
    mean = moments[:3, 3] / moments[3, 3]
    normal = np.linalg.eigh(moments[:3, :3] - moments[3, 3] * np.outer(mean, mean))[1][:, 0]
    return Plane(normal, -float(normal @ mean))


def _planes_of(
    samples: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Least-squares planes of (K, n, 3) points: normals (K, 3), offsets (K,), and which are not lines (K,)."""
    means = samples.mean(axis=1)
    centered = samples - means[:, None]
    spread, axes = np.linalg.eigh(np.einsum("kni,knj->kij", centered, centered))
    normals = axes[:, :, 0]
    clear = spread[:, 1] > _MIN_CLEAR**2 * spread[:, 2]
    return normals, -np.einsum("kd,kd->k", normals, means), clear


def _planes_through(
    triples: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What `_planes_of` says of (K, 3, 3), in a fifth of the time: a plane lies through three points."""
    first, second, third = triples.transpose(1, 2, 0)
    one, other = second - first, third - first
    crossed = np.stack([one[i - 2] * other[i - 1] - one[i - 1] * other[i - 2] for i in range(3)])
    square = np.einsum("dk,dk->k", crossed, crossed)
    # The scatter's two eigenvalues that are not zero: their sum is the mean of the squared sides, their product a third
    # of the squared cross product.
    sides = np.stack([one, other, other - one])
    half = np.einsum("sdk,sdk->k", sides, sides) / 6
    larger = half + np.sqrt(np.maximum(half**2 - square / 3, 0))
    clear = square / 3 > _MIN_CLEAR**2 * larger**2
    normals = crossed / np.sqrt(np.where(clear, square, 1))
    return normals.T, -np.einsum("dk,dk->k", normals, first), clear
