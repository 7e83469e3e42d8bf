"""The fast exact search: rows are screened in a few dimensions, and only possible winners are measured.

In the reduced space no distance grows, rows lie in cells that are passed over whole, and rounding is part of every
bound, so that the answer is that of `nearest_rows`. Why, step by step: docs/search.md, whose numbers `(1)` to `(3)`
stand beside the code. Few and large products leave the interpreter's lock to the search of another bank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..threads import SharedSearch, single_threaded_blas
from .exact import (
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
    product_error,
    score_error,
    score_limit,
)

Float64Array = npt.NDArray[np.float64]
# Queries, places of rows in the screen, and how close they are.
_Pairs = tuple[IndexArray, IndexArray, Float32Array]

# Smaller cells are passed over more often, but every query is compared with the center of each.
ROWS_PER_CELL = 16
# Of so many rows one tells where a cell's middle is.
SKETCHED = 4
# Rows that are assigned to their cells at once.
LAID_OUT_ROWS = 256
# Queries that look into the same cells together: more of them look into more cells in vain.
TILE_QUERIES = 64
# Rows that a tile is compared with at once: its scores stay in a processor's own cache.
TILE_ROWS = 8192
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
        centers: (c, r + 1) float64, the means of the cells.
        radii: (c,) float64, the farthest row of every cell.
        extended: (m, r + 2) float32, by place: the reduced rows, and minus half their squared norms. Times a reduced
            query and a one it is the closeness q.b - 0.5 |b|^2, which ranks rows as their distances do.
        balls: (c, r + 5) float32: the center c, the radius p, 0.5 p^2, -0.5 |c|^2, and a one. Times a reduced query q,
            its reach t, two ones, and 0.5 (t^2 - |q|^2) it is 0.5 ((t + p)^2 - |q - c|^2): below zero where all rows
            are farther away than t.
    """

    reduction: Reduction
    order: IndexArray
    starts: IndexArray
    centers: Float64Array
    radii: Float64Array
    extended: Float32Array
    balls: Float32Array

    @property
    def reduced(self) -> Float32Array:
        """(m, r + 1) float32, the reduced rows by place."""
        return self.extended[:, :-1]

    @property
    def half_norms(self) -> Float32Array:
        """(m,) float32, half the squared norms of the reduced rows by place."""
        return -self.extended[:, -1]

    @property
    def cells(self) -> npt.NDArray[np.int32]:
        """(m,) int32, the cell of every row: what took the time to find, for `screen_of_cells`."""
        cells = np.empty(len(self.order), np.int32)
        cells[self.order] = np.repeat(np.arange(len(self.radii), dtype=np.int32), np.diff(self.starts))
        return cells


def build_screen(rows_md: FloatArray, reduction: Reduction, rows_per_cell: int = ROWS_PER_CELL) -> Screen:
    """Lay out rows (m, d), centered as for `nearest_rows`, in the reduced space, in cells of like rows."""
    reduced = reduction.apply(rows_md)
    # As k-means begins: around evenly spaced rows, then around the means of what, of some rows, was nearest to each.
    some = reduced[::SKETCHED]
    *_, centers = _by_cell(some, _nearest_of(some, reduced[::rows_per_cell]))
    return _laid_out(reduced, reduction, _nearest_of(reduced, centers.astype(np.float32)))


def screen_of_cells(rows_md: FloatArray, reduction: Reduction, cells: npt.NDArray[np.integer]) -> Screen:
    """Lay out rows (m, d) in cells (m,) that are known already, such as those of `Screen.cells`: any are valid."""
    return _laid_out(reduction.apply(rows_md), reduction, cells)


def _laid_out(reduced: Float32Array, reduction: Reduction, cells: npt.NDArray[np.integer]) -> Screen:
    order, starts, placed, centers = _by_cell(reduced, cells)
    cell = np.repeat(np.arange(len(centers)), np.diff(starts))
    away = np.empty(len(placed))
    for block in block_slices(len(placed), BLOCK_ROWS):
        away[block] = np.linalg.norm(placed[block] - centers[cell[block]], axis=1)
    radii = np.maximum.reduceat(away, starts[:-1])
    extended = np.column_stack([placed, -half_sq_norms(placed)])
    halves = 0.5 * np.column_stack([radii**2, -np.einsum("ij,ij->i", centers, centers)])
    balls = np.column_stack([centers, radii, halves, np.ones(len(centers))]).astype(np.float32)
    return Screen(reduction, order, starts, centers, radii, extended, balls)


def _by_cell(
    points: Float32Array, cells: npt.NDArray[np.integer]
) -> tuple[IndexArray, IndexArray, Float32Array, Float64Array]:
    """Points (n, d) cell by cell: order (n,), starts (c + 1,) of the cells that have any, points, means (c, d)."""
    order = np.argsort(cells, kind="stable")
    _, starts = np.unique(cells[order], return_index=True)
    placed = points[order]
    starts = np.append(starts, len(placed))
    means = np.add.reduceat(placed, starts[:-1], dtype=np.float64) / np.diff(starts)[:, None]
    return order, starts, placed, means


def _nearest_of(points: Float32Array, centers: Float32Array) -> IndexArray:
    """(n,) int64 the center nearest to each of the points, up to rounding."""
    extended_points = np.column_stack([points, np.ones(len(points), np.float32)])
    extended_centers = np.column_stack([centers, -half_sq_norms(centers)])
    nearest = np.empty(len(points), np.int64)
    closeness = np.empty((LAID_OUT_ROWS, len(centers)), np.float32)
    for block in block_slices(len(points), LAID_OUT_ROWS):
        out = closeness[: len(points[block])]
        nearest[block] = np.matmul(extended_points[block], extended_centers.T, out=out).argmax(axis=1)
    return nearest


def nearest_rows_screened(
    queries_nd: Float32Array,
    rows_md: FloatArray,
    half_norms_m: Float32Array,
    screen: Screen,
    count: int = 1,
    own_row: IndexArray | None = None,
    shared: SharedSearch | None = None,
) -> Nearest:
    """As `nearest_rows`, by way of the rows' screen; blocks of queries are searched by threads that share the work."""
    forbidden = np.isinf(half_norms_m[screen.order])
    extended = screen.extended
    if forbidden.any():
        extended = extended.copy()
        extended[forbidden, -1] = FORBIDDEN
    best = nothing_yet(len(queries_nd), count)

    def search(block: slice) -> None:
        own = None if own_row is None else own_row[block]
        part = Nearest(best.distance[block], best.index[block])
        if not _ScreenedSearch(queries_nd[block], rows_md, screen, extended, part, own).run():
            direct = nearest_rows(queries_nd[block], rows_md, half_norms_m, count, own)
            best.distance[block], best.index[block] = direct.distance, direct.index

    if shared is None:
        for block in block_slices(len(queries_nd), BLOCK_ROWS):
            search(block)
        return best
    size = min(BLOCK_ROWS, max(TILE_QUERIES, -(-len(queries_nd) // shared.threads)))
    list(shared.pool.map(search, block_slices(len(queries_nd), size)))
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
        self._reduced = np.column_stack([reduced, np.ones(len(reduced), np.float32)])
        self._tiles = _alike(reduced, TILE_QUERIES)
        # Reused by all tiles: memory that is new to the process costs more than the products.
        self._gathered = np.empty((TILE_ROWS, self._reduced.shape[1]), np.float32)
        self._products = np.empty(TILE_QUERIES * max(TILE_ROWS, len(screen.balls)), np.float32)
        self._hits = np.empty(TILE_QUERIES * TILE_ROWS, np.bool_)

    # What threads of a BLAS would share here is too small, and the networks need the processors next.
    @single_threaded_blas()
    def run(self) -> bool:
        """Search; False when the screen lets through too much to be worth while."""
        self._seed()
        reaching, least = self._reaching(), self._least_closeness()
        pairs: list[_Pairs] = []
        gathered = 0
        for tile in self._tiles:
            near = np.flatnonzero(self._ball_products(reaching[tile]).max(axis=0) >= 0.0)
            for places, closeness in self._closeness(tile, near):
                hits = self._hits[: closeness.size].reshape(closeness.shape)
                hit = np.flatnonzero(np.greater_equal(closeness, least[tile, None], out=hits))
                in_tile, column = np.divmod(hit, len(places))
                pairs.append((tile[in_tile], places[column], closeness.ravel()[hit]))
                gathered += len(hit)
            if gathered > MAX_PAIRS:
                if not self._settle(pairs):
                    return False
                pairs, gathered, least = [], 0, self._least_closeness()
        return self._settle(pairs)

    def _reaching(self) -> Float32Array:
        """(n, r + 5) float32, the queries as `Screen.balls` want them: (3), with the rounding of that product."""
        balls = self._screen.balls
        largest = np.sqrt(2.0 * self._half_query) + np.linalg.norm(self._screen.centers, axis=1).max()
        # No center is farther away than `largest`, and the products want a number.
        reach = np.minimum(np.sqrt(self._best.distance[:, -1].astype(np.float64)) * (1.0 + CELL_SLACK), largest)
        terms = largest**2 + (reach + self._screen.radii.max()) ** 2
        power = 0.5 * reach**2 - self._half_query + product_error(balls.shape[1] + EXTRA_TERMS) * terms
        ones = np.ones((len(reach), 2))
        return np.column_stack([self._reduced[:, :-1], reach, ones, power]).astype(np.float32)

    def _ball_products(self, reaching: Float32Array) -> Float32Array:
        """(queries, c) whether balls are near, by sign, until the next product."""
        balls = self._screen.balls
        out = self._products[: len(reaching) * len(balls)].reshape(len(reaching), len(balls))
        return np.matmul(reaching, balls.T, out=out)

    def _least_closeness(self) -> Float32Array:
        """(n,) what a row must reach to be among the best: (2); rounded down to float32, in which it is compared."""
        exact = -score_limit(self._best, self._half_query, self._error)
        return np.nextafter(exact.astype(np.float32), np.float32(-np.inf))

    def _closeness(self, tile: IndexArray, cells: IndexArray) -> Iterator[tuple[IndexArray, Float32Array]]:
        """Places of the rows of cells, and q.b - 0.5 |b|^2 in the reduced space (queries, rows), until the next."""
        queries = self._reduced[tile]
        every = _places(self._screen.starts, cells)
        for block in block_slices(len(every), TILE_ROWS):
            places = every[block]
            rows = np.take(self._extended, places, axis=0, out=self._gathered[: len(places)], mode="clip")
            out = self._products[: len(tile) * len(rows)].reshape(len(tile), len(rows))
            yield places, np.matmul(queries, rows.T, out=out)

    def _seed(self) -> None:
        """Measure the most likely rows of the cells that a tile is nearest to: a first upper bound."""
        count = self._best.index.shape[1] + (self._own_row is not None)
        # Without a reach and the radii the products rank centers as their distances do.
        placed = np.zeros((len(self._queries), self._screen.balls.shape[1]), np.float32)
        placed[:, : self._reduced.shape[1] - 1] = self._reduced[:, :-1]
        placed[:, -2] = 1.0
        candidates: list[_Pairs] = []
        for tile in self._tiles:
            cells = np.unique(self._ball_products(placed[tile]).argmax(axis=1))
            for places, closeness in self._closeness(tile, cells):
                columns = _highest(closeness, min(count, len(places)))
                candidates.append(
                    (
                        np.repeat(tile, columns.shape[1]),
                        places[columns.ravel()],
                        np.take_along_axis(closeness, columns, axis=1).ravel(),
                    )
                )
        self._measure(*_joined(candidates))

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


def _places(starts: IndexArray, cells: IndexArray) -> IndexArray:
    """The places of all rows of some cells, one cell after the other."""
    counts = starts[cells + 1] - starts[cells]
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts[cells] - before, counts)


def _alike(points: Float32Array, size: int) -> list[IndexArray]:
    """Groups of at most `size` points that lie near each other: halves along the widest axis, again and again."""
    tiles, left = [], [np.arange(len(points))]
    while left:
        index = left.pop()
        if len(index) <= size:
            tiles.append(index)
            continue
        along = points[index]
        along = along[:, along.var(axis=0).argmax()]
        middle = -(-len(index) // (2 * size)) * size
        order = np.argpartition(along, middle)
        left += [index[order[:middle]], index[order[middle:]]]
    return tiles


def _highest(closeness: Float32Array, count: int) -> IndexArray:
    """(n, count) columns of the highest values of every row, in no order."""
    if count == 1:
        column: IndexArray = closeness.argmax(axis=1, keepdims=True)
        return column
    columns: IndexArray = np.argpartition(closeness, -count, axis=1)[:, -count:]
    return columns
