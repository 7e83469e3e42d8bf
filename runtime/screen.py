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

from .blas import single_threaded_blas
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
# Queries, places of rows in the screen, and how close they are.
_Pairs = tuple[IndexArray, IndexArray, Float32Array]

# Smaller cells are passed over more often, but each that is not costs a call.
ROWS_PER_CELL = 64
# Many equal rows make one cell; it is split, so that its scores stay small.
MAX_CELL_ROWS = 2048
# Candidates that are gathered before they are measured.
MAX_PAIRS = 1 << 20
# Beyond this many measured rows a query a direct search is faster.
MAX_MEASURED = 256
# Terms of rounding beyond the product's own: both reduced points, the half norm and its sum.
EXTRA_TERMS = 12
CELL_SLACK = 1e-5
# The closeness of forbidden rows: below any other's, and finite, as products want it.
FORBIDDEN = np.float32(-1e38)


@dataclass(frozen=True)
class Screen:
    """Rows in the reduced space, cell by cell.

    Attributes:
        reduction: the map to that space.
        order: (m,) int64, the row at every place; ascending within a cell.
        starts: (c + 1,) int64, the first place of every cell.
        centers: (c, r + 1) float64, of the cells.
        radii: (c,) float64, the farthest row of every cell.
        extended: (m, r + 2) float32, by place: the reduced rows, and minus half their squared norms. Times a reduced
            query and a one it is the closeness q.b - 0.5 |b|^2, which ranks rows as their distances do.
        half_norms: (m,) float32, half the squared norms of the reduced rows.
    """

    reduction: Reduction
    order: IndexArray
    starts: IndexArray
    centers: Float64Array
    radii: Float64Array
    extended: Float32Array
    half_norms: Float32Array

    @property
    def reduced(self) -> Float32Array:
        """(m, r + 1) float32, the reduced rows by place."""
        return self.extended[:, :-1]


def build_screen(rows_md: FloatArray, reduction: Reduction, rows_per_cell: int = ROWS_PER_CELL) -> Screen:
    """Lay out rows (m, d), centered as for `nearest_rows`, in the reduced space."""
    reduced = reduction.apply(rows_md)
    centers = reduced[:: max(1, min(rows_per_cell, len(rows_md)))].astype(np.float64)
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
    half_norms = half_sq_norms(placed)
    whole, starts = _split_cells(np.bincount(cell, minlength=len(centers)))
    extended = np.column_stack([placed, -half_norms])
    return Screen(reduction, order, starts, centers[whole], radii[whole], extended, half_norms)


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
    extended = screen.extended
    if forbidden.any():
        extended = extended.copy()
        extended[forbidden, -1] = FORBIDDEN
    best = nothing_yet(len(queries_nd), count)
    for block in block_slices(len(queries_nd), BLOCK_ROWS):
        own = None if own_row is None else own_row[block]
        part = Nearest(best.distance[block], best.index[block])
        if not _ScreenedSearch(queries_nd[block], rows_md, screen, extended, part, own).run():
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
        extended: Float32Array,
        best: Nearest,
        own_row: IndexArray | None,
    ) -> None:
        self._queries, self._rows, self._screen, self._extended = queries, rows, screen, extended
        self._best, self._own_row = best, own_row
        self._measured = 0
        reduced = screen.reduction.apply(queries)
        self._half_query = half_sq_norms(reduced).astype(np.float64)
        self._error = score_error(self._half_query, screen.half_norms, reduced.shape[1] + EXTRA_TERMS)
        self._to_centers = product_distances(reduced, screen.centers)
        self._reduced = np.column_stack([reduced, np.ones(len(reduced), np.float32)])
        # Reused by all cells: memory that is new to the process costs more than the products.
        largest = int(np.diff(screen.starts).max(initial=0)) * len(queries)
        self._products, self._hits = np.empty(largest, np.float32), np.empty(largest, np.bool_)

    # Cells make small products, which a BLAS with threads would share out and wait for.
    @single_threaded_blas()
    def run(self) -> bool:
        """Search; False when the screen lets through too much to be worth while."""
        self._seed()
        near = self._near_cells()
        least = self._least_closeness()
        pairs: list[_Pairs] = []
        gathered = 0
        for cell in np.flatnonzero(near.any(axis=1)).tolist():
            query = np.flatnonzero(near[cell])
            closeness = self._closeness(query, cell)
            hits = self._hits[: closeness.size].reshape(closeness.shape)
            hit = np.flatnonzero(np.greater_equal(closeness, least[query, None], out=hits))
            if len(hit) == 0:
                continue
            in_query, in_cell = np.divmod(hit, closeness.shape[1])
            pairs.append((query[in_query], in_cell + self._screen.starts[cell], closeness.ravel()[hit]))
            gathered += len(hit)
            if gathered > MAX_PAIRS:
                if not self._settle(pairs):
                    return False
                pairs, gathered, least = [], 0, self._least_closeness()
        return self._settle(pairs)

    def _near_cells(self) -> npt.NDArray[np.bool_]:
        """(c, n) whether a cell may hold a row that is as near as the best so far."""
        reach = np.sqrt(self._best.distance[:, -1].astype(np.float64)) * (1.0 + CELL_SLACK)
        farthest = np.linalg.norm(self._screen.centers, axis=1).max()
        slack = CELL_SLACK * (np.sqrt(2.0 * self._half_query) + farthest)
        gap = (self._to_centers - self._screen.radii).T
        near: npt.NDArray[np.bool_] = gap <= reach + slack
        return near

    def _least_closeness(self) -> Float32Array:
        """(n,) what a row must reach to be among the best; rounded down to float32, in which it is compared."""
        exact = -score_limit(self._best, self._half_query, self._error)
        return np.nextafter(exact.astype(np.float32), np.float32(-np.inf))

    def _closeness(self, query: IndexArray, cell: int) -> Float32Array:
        """q.b - 0.5 |b|^2 in the reduced space: (queries, rows of the cell), until the next call."""
        rows = self._extended[self._screen.starts[cell] : self._screen.starts[cell + 1]]
        out = self._products[: len(query) * len(rows)].reshape(len(query), len(rows))
        return np.matmul(self._reduced[query], rows.T, out=out)

    def _seed(self) -> None:
        """Measure the most likely rows of every query's own cell: a first upper bound."""
        nearest_cell = self._to_centers.argmin(axis=1)
        count = self._best.index.shape[1] + (self._own_row is not None)
        found: list[_Pairs] = []
        for cell, query in _groups(nearest_cell):
            closeness = self._closeness(query, cell)
            columns = _highest(closeness, min(count, closeness.shape[1]))
            every = np.repeat(query, columns.shape[1])
            found.append(
                (
                    every,
                    columns.ravel() + self._screen.starts[cell],
                    np.take_along_axis(closeness, columns, axis=1).ravel(),
                )
            )
        self._measure(*_joined(found))

    def _settle(self, pairs: list[_Pairs]) -> bool:
        """Measure candidates: the closest of every query first, then those that can still be nearer."""
        if not pairs:
            return True
        query, place, closeness = _joined(pairs)
        highest = np.full(len(self._queries), -np.inf, np.float32)
        np.maximum.at(highest, query, closeness)
        likely = np.flatnonzero(closeness == highest[query])
        first = likely[np.unique(query[likely], return_index=True)[1]]
        self._measure(query[first], place[first], closeness[first])
        is_left = closeness >= self._least_closeness()[query]
        is_left[first] = False
        rest = np.flatnonzero(is_left)
        self._measured += len(rest)
        if self._measured > MAX_MEASURED * len(self._queries):
            return False
        self._measure(query[rest], place[rest], closeness[rest])
        return True

    def _measure(self, query: IndexArray, place: IndexArray, closeness: Float32Array) -> None:
        row = self._screen.order[place]
        keep = (closeness > FORBIDDEN / 2) & (row[:, None] != self._best.index[query]).all(axis=1)
        # At distance zero only a lower row can still win.
        keep &= (self._best.distance[query, -1] > 0.0) | (row < self._best.index[query, -1])
        if self._own_row is not None:
            keep &= row != self._own_row[query]
        measure_pairs(self._best, self._queries, self._rows, query[keep], row[keep])


def _joined(pairs: list[_Pairs]) -> _Pairs:
    query, place, closeness = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    return query, place, closeness


def _groups(label: IndexArray) -> Iterator[tuple[int, IndexArray]]:
    """Every label that occurs, with the places where it does."""
    order = np.argsort(label, kind="stable")
    labels, starts = np.unique(label[order], return_index=True)
    yield from zip(labels.tolist(), np.split(order, starts[1:]), strict=True)


def _highest(closeness: Float32Array, count: int) -> IndexArray:
    """(n, count) columns of the highest values of every row, in no order."""
    if count == 1:
        column: IndexArray = closeness.argmax(axis=1, keepdims=True)
        return column
    columns: IndexArray = np.argpartition(closeness, -count, axis=1)[:, -count:]
    return columns


def product_distances(points: FloatArray, centers: Float64Array) -> Float64Array:
    """(n, c) Euclidean distances, by a float64 product."""
    points = points.astype(np.float64)
    squared = np.einsum("ij,ij->i", points, points)[:, None] + np.einsum("ij,ij->i", centers, centers)
    squared -= 2.0 * (points @ centers.T)
    distances: Float64Array = np.sqrt(np.maximum(squared, 0.0))
    return distances
