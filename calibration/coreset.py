"""Which patches a memory bank keeps: greedy k-center selection, exact except for ties by rounding.

The plain algorithm compares every new center with every point. Here the greedy steps run inside a small pool
of the points that are farthest from their centers. The other points catch up later with many new centers at
once: by the triangle inequality distances do not grow in a few principal directions (`Reduction`), so one thin
matrix product passes over nearly every pair, and only the rest is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim

from ..runtime.banks.exact import block_slices, fit_reduction, pair_sq_distances, product_error
from ..runtime.banks.metrics import DISTANCES
from ..runtime.banks.screen import CELL_SLACK, EXTRA_TERMS, Screen, build_screen
from ..runtime.bundle.parameters import Metric
from ..runtime.errors import UsageError
from ..runtime.progress import StepProgress
from ..runtime.threads import single_threaded_blas

Float32Array = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

POOL_SIZE = 1024
BLOCK_BYTES = 4 << 20
# Larger than the search's: every cell that is looked into costs a call, whatever the number of centers.
ROWS_PER_CELL = 256
# Rows whose scores are held at once.
MAX_PIECE_ROWS = 2048
# Distances this close are a tie: float32 products do not tell them apart.
_TIE = np.float32(5e-7)
# Points whose squared distance is a smaller share of their squared norms are equal in float32.
_CANCELLED = 1e-13


def select_coreset(
    features: Float32Array,
    count: int,
    seed: int,
    metric: Metric = "l2",
    eps: float = 0.9,
    progress: StepProgress | None = None,
) -> IndexArray:
    """Choose the patches that a memory bank keeps (paper, Table 5).

    Args:
        features: (n, d) float32.
        count: how many to keep.
        seed: of the random projection in which the distances are taken.
        metric: the bank's distance.
        eps: distortion of the projection.
        progress: called with the rows selected so far and the rows wanted.

    Returns:
        (count,) int64 indices in the order of selection.

    Raises:
        UsageError: `count` is not within 1 and n, or a feature is not finite.
    """
    projected = sparse_random_projection(features, seed, eps)
    return greedy_k_center(projected, count, metric=metric, progress=progress)


def sparse_random_projection(features: Float32Array, seed: int, eps: float = 0.9) -> Float32Array:
    """Project (n, d) features to the Johnson-Lindenstrauss dimension of n points: (n, d') float32.

    The features are returned as they are where that dimension is not below d.
    """
    if len(features) < 2 or johnson_lindenstrauss_min_dim(len(features), eps=eps) >= features.shape[1]:
        return features
    projection = SparseRandomProjection(n_components="auto", eps=eps, dense_output=True, random_state=seed)
    return np.ascontiguousarray(projection.fit_transform(features), np.float32)


def greedy_k_center(
    features: Float32Array,
    n_select: int,
    start: int = 0,
    metric: Metric = "l2",
    progress: StepProgress | None = None,
) -> IndexArray:
    """Select points one by one, each the farthest from those selected before it.

    Args:
        features: (n, d) float32.
        n_select: how many to select, 1 to n.
        start: the first point.
        metric: l2, l1 or cosine.
        progress: called with the points selected so far and `n_select`.

    Returns:
        (n_select,) int64 distinct indices in the order of selection; of equally far points the lowest first.

    Raises:
        UsageError: `n_select` or `start` is out of range, or a feature is not finite.

    Example:
        >>> greedy_k_center(np.array([[0], [1], [9]], np.float32), n_select=2)
        array([0, 2])
    """
    if not 0 < n_select <= len(features) or not 0 <= start < len(features):
        raise UsageError(f"coreset: {n_select} of {len(features)} points from point {start} is out of range")
    if not np.isfinite(features).all():
        raise UsageError("coreset: a feature has a value that is not finite")
    cover = _Cover(_space(features, metric), n_select)
    cover.add(np.array([start]))
    while cover.count < n_select:
        if progress is not None:
            progress(cover.count, n_select)
        cover.add(_select_in_pool(cover, n_select - cover.count))
    if progress is not None:
        progress(n_select, n_select)
    return cover.selected


class _Space(Protocol):
    """Points and the distance between them."""

    def __len__(self) -> int: ...

    def between(self, index: IndexArray) -> npt.NDArray[np.float64]:
        """(k, k) distances between the points `index`."""
        ...

    def nearer(self, centers: IndexArray, distance: Float32Array) -> Iterator[tuple[IndexArray, Float32Array]]:
        """Yield points, and their distances to one of `centers`, that are below `distance` (n,).

        A point may come several times.
        """
        ...


class _Direct:
    """Distances of which every one is measured, by their name in SciPy."""

    def __init__(self, points: Float32Array, distance: str) -> None:
        self._points, self._distance = points, distance

    def __len__(self) -> int:
        return len(self._points)

    def between(self, index: IndexArray) -> npt.NDArray[np.float64]:
        distances: npt.NDArray[np.float64] = cdist(self._points[index], self._points[index], self._distance)
        return distances

    def nearer(self, centers: IndexArray, distance: Float32Array) -> Iterator[tuple[IndexArray, Float32Array]]:
        for rows in block_slices(len(self._points), max(1, BLOCK_BYTES // (8 * len(centers)))):
            nearest = cdist(self._points[rows], self._points[centers], self._distance).min(axis=1)
            yield np.arange(rows.start, rows.stop), nearest.astype(np.float32)


class _Euclidean:
    """Euclidean distances; most pairs are passed over by their `Screen`."""

    def __init__(self, points: Float32Array) -> None:
        self._points = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._screen = build_screen(self._points, fit_reduction(self._points), ROWS_PER_CELL)
        self._place = np.argsort(self._screen.order)
        self._half_norms = self._screen.half_norms
        self._largest = float(np.sqrt(2.0 * self._half_norms.max()))
        terms = self._screen.reduced.shape[1] + EXTRA_TERMS
        self._slack = np.float32(product_error(terms) * 2.0 * self._largest**2)

    def __len__(self) -> int:
        return len(self._points)

    def between(self, index: IndexArray) -> npt.NDArray[np.float64]:
        points = self._points[index].astype(np.float64)
        half = 0.5 * np.einsum("ij,ij->i", points, points)
        sums = half[:, None] + half
        halves = sums - points @ points.T
        # What is left of equal points after cancellation is no distance.
        halves[halves < _CANCELLED * sums] = 0.0
        distances: npt.NDArray[np.float64] = np.sqrt(2.0 * halves)
        return distances

    def nearer(self, centers: IndexArray, distance: Float32Array) -> Iterator[tuple[IndexArray, Float32Array]]:
        screen = self._screen
        reduced, half = screen.reduced[self._place[centers]], self._half_norms[self._place[centers]]
        to_cells = _product_distances(reduced, screen.centers) - screen.radii - CELL_SLACK * self._largest
        for cell, places in _pieces(screen):
            points = screen.order[places]
            bar = distance[points]
            near = np.flatnonzero(to_cells[:, cell] < bar.max(initial=-1.0))
            if len(near) == 0:
                continue
            # Half the squared distance in the reduced space is at most this. A selected point's bar is below zero.
            limit = np.where(bar > 0.0, np.float32(0.5) * bar * bar + self._slack, -np.inf)
            limit -= self._half_norms[places]
            scores = half[near] - screen.reduced[places] @ reduced[near].T
            row, column = np.divmod(np.flatnonzero(scores < limit[:, None]), len(near))
            point = points[row]
            yield point, np.sqrt(pair_sq_distances(self._points, self._points, point, centers[near[column]]))


def _product_distances(points_nd: Float32Array, centers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, c) Euclidean distances, by a float64 product."""
    points = points_nd.astype(np.float64)
    squared = np.einsum("ij,ij->i", points, points)[:, None] + np.einsum("ij,ij->i", centers, centers)
    squared -= 2.0 * (points @ centers.T)
    distances: npt.NDArray[np.float64] = np.sqrt(np.maximum(squared, 0.0))
    return distances


def _pieces(screen: Screen) -> Iterator[tuple[int, slice]]:
    """Every cell with the places of its rows, bit by bit where many equal rows crowd it."""
    for cell in range(len(screen.radii)):
        for start in range(screen.starts[cell], screen.starts[cell + 1], MAX_PIECE_ROWS):
            yield cell, slice(start, min(start + MAX_PIECE_ROWS, screen.starts[cell + 1]))


def _space(features: Float32Array, metric: Metric) -> _Space:
    distance = DISTANCES[metric]
    points = distance.prepare(np.ascontiguousarray(features, np.float32))
    return _Euclidean(points) if distance.direct is None else _Direct(points, distance.direct)


class _Cover:
    """The selected points, and the distance of every point to the nearest of them."""

    def __init__(self, space: _Space, capacity: int) -> None:
        self.space = space
        self.selected = np.empty(capacity, np.int64)
        self.count = 0
        # A selected point's own distance is set below zero, so that it is never selected again.
        self.distance = np.full(len(space), np.inf, np.float32)

    # Cells make small products, which a BLAS with threads would share out and wait for.
    @single_threaded_blas()
    def add(self, new: IndexArray) -> None:
        """Select the points `new`, in this order."""
        for point, distance in self.space.nearer(new, self.distance):
            np.minimum.at(self.distance, point, distance)
        self.selected[self.count : self.count + len(new)] = new
        self.count += len(new)
        self.distance[new] = -1.0


def _select_in_pool(cover: _Cover, limit: int) -> IndexArray:
    """The next selections, at most `limit`, as long as they are certain to lie in the pool."""
    farthest = cover.distance.max()
    if farthest <= 0.0:
        return np.flatnonzero(cover.distance == 0.0)[:limit]
    outside = _largest_outside(cover.distance)
    pool = np.flatnonzero(cover.distance > outside)
    distance = cover.distance[pool]
    between = cover.space.between(pool)
    chosen: list[int] = []
    while len(chosen) < limit:
        bar = distance.max(initial=-1.0) * (1.0 - _TIE)
        if bar <= outside:
            break
        chosen.append(int(np.argmax(distance >= bar)))
        np.minimum(distance, between[chosen[-1]], out=distance, casting="same_kind")
        distance[chosen[-1]] = -1.0
    if chosen:
        return pool[chosen]
    return np.array([np.argmax(cover.distance >= farthest * (1.0 - _TIE))])


def _largest_outside(distance: Float32Array) -> np.float32:
    """The distance that no point outside the pool exceeds."""
    rank = len(distance) - 1 - POOL_SIZE
    outside: np.float32 = np.partition(distance, rank)[rank] if rank >= 0 else np.float32(-1.0)
    return outside
