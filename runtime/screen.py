"""The fast exact search: rows are screened in a few dimensions, and only possible winners are measured.

Patch features are strongly correlated: a handful of principal directions holds nearly all of their spread. In
the reduced space (`Reduction`) no distance grows, so a row that is too far away there is too far away. Rows
are kept in cells around some of their number, and a whole cell is passed over when its ball is too far away.
Rounding is part of every bound, so that the answer is that of `nearest_rows`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .scores import half_distance_scores
from .search import (
    BLOCK_ROWS,
    Float32Array,
    FloatArray,
    IndexArray,
    Nearest,
    Reduction,
    block_slices,
    half_sq_norms,
    measure_pairs,
    nearest_rows,
    nothing_yet,
    score_error,
    score_limit,
)

Float64Array = npt.NDArray[np.float64]
# Queries, places of rows in the screen, and their scores.
_Pairs = tuple[IndexArray, IndexArray, Float32Array]

ROWS_PER_CELL = 256
# Many equal rows make one cell; it is split, so that its scores stay small.
MAX_CELL_ROWS = 2048
# Candidates that are gathered before they are measured.
MAX_PAIRS = 1 << 20
# Beyond this many measured rows a query a direct search is faster.
MAX_MEASURED = 256
# Terms of rounding beyond the product's own: both reduced points, the half norm and its sum.
EXTRA_TERMS = 12
CELL_SLACK = 1e-5


@dataclass(frozen=True)
class Screen:
    """Rows in the reduced space, cell by cell.

    Attributes:
        reduction: the map to that space.
        order: (m,) int64, the row at every place; ascending within a cell.
        starts: (c + 1,) int64, the first place of every cell.
        centers: (c, r + 1) float64, of the cells.
        radii: (c,) float64, the farthest row of every cell.
        reduced: (m, r + 1) float32, the reduced rows by place.
        half_norms: (m,) float32, half their squared norms.
    """

    reduction: Reduction
    order: IndexArray
    starts: IndexArray
    centers: Float64Array
    radii: Float64Array
    reduced: Float32Array
    half_norms: Float32Array


def build_screen(rows_md: FloatArray, reduction: Reduction) -> Screen:
    """Lay out rows (m, d), centered as for `nearest_rows`, in the reduced space."""
    reduced = reduction.apply(rows_md)
    centers = reduced[:: max(1, min(ROWS_PER_CELL, len(rows_md)))].astype(np.float64)
    cell = np.empty(len(reduced), np.int64)
    distance = np.empty(len(reduced))
    for block in block_slices(len(reduced), BLOCK_ROWS):
        between = product_distances(reduced[block], centers)
        cell[block] = between.argmin(axis=1)
        distance[block] = between.min(axis=1)
    radii = np.zeros(len(centers))
    np.maximum.at(radii, cell, distance)
    order = np.argsort(cell, kind="stable")
    placed = reduced[order]
    whole, starts = _split_cells(np.bincount(cell, minlength=len(centers)))
    return Screen(reduction, order, starts, centers[whole], radii[whole], placed, half_sq_norms(placed))


def _split_cells(counts: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Pieces of at most `MAX_CELL_ROWS`: which cell each is of, and where they start; empty cells have none."""
    pieces = -(-counts // MAX_CELL_ROWS)
    whole = np.repeat(np.arange(len(counts)), pieces)
    number = np.arange(len(whole)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(np.cumsum(counts) - counts, pieces) + number * MAX_CELL_ROWS
    return whole, np.append(starts, counts.sum())


def nearest_rows_screened(
    queries_nd: Float32Array,
    rows_md: FloatArray,
    half_norms_m: Float32Array,
    screen: Screen,
    count: int = 1,
    own_row: IndexArray | None = None,
) -> Nearest:
    """As `nearest_rows`, by way of the rows' screen."""
    forbidden = np.isinf(half_norms_m[screen.order])
    half_placed = np.where(forbidden, np.float32(np.inf), screen.half_norms)
    best = nothing_yet(len(queries_nd), count)
    for block in block_slices(len(queries_nd), BLOCK_ROWS):
        own = None if own_row is None else own_row[block]
        part = Nearest(best.distance[block], best.index[block])
        if not _ScreenedSearch(queries_nd[block], rows_md, screen, half_placed, part, own).run():
            direct = nearest_rows(queries_nd[block], rows_md, half_norms_m, count, own)
            best.distance[block], best.index[block] = direct.distance, direct.index
    return best


class _ScreenedSearch:
    """One block of queries on its way through the cells; `best` is improved in place."""

    def __init__(
        self,
        queries: Float32Array,
        rows: FloatArray,
        screen: Screen,
        half_placed: Float32Array,
        best: Nearest,
        own_row: IndexArray | None,
    ) -> None:
        self._queries, self._rows, self._screen, self._half_placed = queries, rows, screen, half_placed
        self._best, self._own_row = best, own_row
        self._measured = 0
        self._reduced = screen.reduction.apply(queries)
        self._half_query = half_sq_norms(self._reduced).astype(np.float64)
        terms = self._reduced.shape[1] + EXTRA_TERMS
        self._error = score_error(self._half_query, screen.half_norms, terms)
        self._to_centers = product_distances(self._reduced, screen.centers)

    def run(self) -> bool:
        """Search; False when the screen lets through too much to be worth while."""
        self._seed()
        near = self._near_cells()
        limit = self._limit()
        pairs: list[_Pairs] = []
        gathered = 0
        for cell in np.flatnonzero(near.any(axis=1)).tolist():
            query = np.flatnonzero(near[cell])
            scores = self._scores(query, cell)
            place = np.flatnonzero(scores <= limit[query, None])
            in_query, in_cell = np.divmod(place, scores.shape[1])
            pairs.append((query[in_query], in_cell + self._screen.starts[cell], scores.ravel()[place]))
            gathered += len(place)
            if gathered > MAX_PAIRS:
                if not self._settle(pairs):
                    return False
                pairs, gathered, limit = [], 0, self._limit()
        return self._settle(pairs)

    def _near_cells(self) -> npt.NDArray[np.bool_]:
        """(c, n) whether a cell may hold a row that is as near as the best so far."""
        reach = np.sqrt(self._best.distance[:, -1].astype(np.float64)) * (1.0 + CELL_SLACK)
        farthest = np.linalg.norm(self._screen.centers, axis=1).max()
        slack = CELL_SLACK * (np.sqrt(2.0 * self._half_query) + farthest)
        gap = (self._to_centers - self._screen.radii).T
        near: npt.NDArray[np.bool_] = gap <= reach + slack
        return near

    def _limit(self) -> FloatArray:
        return score_limit(self._best, self._half_query, self._error)

    def _scores(self, query: IndexArray, cell: int) -> Float32Array:
        """0.5 |b|^2 - q.b in the reduced space: (queries, rows of the cell)."""
        places = slice(self._screen.starts[cell], self._screen.starts[cell + 1])
        return half_distance_scores(self._reduced[query], self._screen.reduced[places], self._half_placed[places])

    def _seed(self) -> None:
        """Measure the most likely rows of every query's own cell: a first upper bound."""
        nearest_cell = self._to_centers.argmin(axis=1)
        count = self._best.index.shape[1] + (self._own_row is not None)
        found: list[_Pairs] = []
        for cell, query in _groups(nearest_cell):
            scores = self._scores(query, cell)
            columns = _lowest(scores, min(count, scores.shape[1]))
            every = np.repeat(query, columns.shape[1])
            score = np.take_along_axis(scores, columns, axis=1).ravel()
            found.append((every, columns.ravel() + self._screen.starts[cell], score))
        self._measure(*_joined(found))

    def _settle(self, pairs: list[_Pairs]) -> bool:
        """Measure candidates: the most likely of every query first, then those that can still be nearer."""
        if not pairs:
            return True
        query, place, score = _joined(pairs)
        order = np.lexsort((score, query))
        query, place, score = query[order], place[order], score[order]
        first = np.flatnonzero(np.diff(query, prepend=-1))
        self._measure(query[first], place[first], score[first])
        rest = np.setdiff1d(np.flatnonzero(score <= self._limit()[query]), first, assume_unique=True)
        self._measured += len(rest)
        if self._measured > MAX_MEASURED * len(self._queries):
            return False
        self._measure(query[rest], place[rest], score[rest])
        return True

    def _measure(self, query: IndexArray, place: IndexArray, score: Float32Array) -> None:
        row = self._screen.order[place]
        keep = np.isfinite(score) & (row[:, None] != self._best.index[query]).all(axis=1)
        # At distance zero only a lower row can still win.
        keep &= (self._best.distance[query, -1] > 0.0) | (row < self._best.index[query, -1])
        if self._own_row is not None:
            keep &= row != self._own_row[query]
        measure_pairs(self._best, self._queries, self._rows, query[keep], row[keep])


def _joined(pairs: list[_Pairs]) -> _Pairs:
    query, place, score = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return query, place, score


def _groups(label: IndexArray) -> Iterator[tuple[int, IndexArray]]:
    """Every label that occurs, with the places where it does."""
    order = np.argsort(label, kind="stable")
    labels, starts = np.unique(label[order], return_index=True)
    yield from zip(labels.tolist(), np.split(order, starts[1:]), strict=True)


def _lowest(scores: Float32Array, count: int) -> IndexArray:
    """(n, count) columns of the lowest scores of every row, in no order."""
    if count == 1:
        column: IndexArray = scores.argmin(axis=1, keepdims=True)
        return column
    columns: IndexArray = np.argpartition(scores, count - 1, axis=1)[:, :count]
    return columns


def product_distances(points: FloatArray, centers: Float64Array) -> Float64Array:
    """(n, c) Euclidean distances, by a float64 product."""
    points = points.astype(np.float64)
    squared = np.einsum("ij,ij->i", points, points)[:, None] + np.einsum("ij,ij->i", centers, centers)
    squared -= 2.0 * (points @ centers.T)
    distances: Float64Array = np.sqrt(np.maximum(squared, 0.0))
    return distances
