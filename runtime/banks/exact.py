"""Exact nearest rows, blockwise and in bounded memory.

For Euclidean distances every block of rows is first scored by a matrix product, 0.5 |b|^2 - q.b, whose rounding
error is bounded; only rows that can still win within that bound are measured, directly from the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

FloatArray = npt.NDArray[np.floating]
Float32Array = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.int64]

# Scores of one block of rows against one block of queries: small enough to stay in a shared cache.
BLOCK_ROWS = 2048
BLOCK_BYTES = 12 << 20
# Pairs that are measured, and rows that are held in float64, at once: pieces that stay in a processor's own cache, and
# small enough that the C library goes on giving larger ones back to the system once they are free.
PAIR_ROWS = 512
PRECISE_ROWS = 256
# Rows that the principal directions are fitted to, and the share of their energy that these may leave out: with less,
# the screen costs more than the rows that it saves from being measured (0.03 to 0.1 are alike).
# Few directions cost next to nothing: where one holds nearly everything, it still cannot tell rows apart.
FIT_ROWS = 4096
REST_ENERGY, MIN_DIRECTIONS = 6e-2, 40
# Twice the relative error of a measured squared distance of up to 1,600 dimensions.
MEASURED_SLACK = 1e-4
_UNIT_ROUNDOFF = 2.0**-24
# Sign, exponent and fraction of a float16 within a float32, and what the exponents differ by: 2 ** (127 - 15).
_FLOAT16_BITS = np.uint32(0x8FFFE000).view(np.int32)
_FLOAT16_BIAS = np.float32(2.0**112)


@dataclass(frozen=True)
class Nearest:
    """The best rows of every query, nearest first, equal distances by the lower index.

    Attributes:
        distance: (n, k) float32, squared for Euclidean searches; inf where a query has fewer than k rows.
        index: (n, k) int64 row indices; -1 where a query has fewer than k rows.
    """

    distance: Float32Array
    index: IndexArray


def block_slices(length: int, size: int) -> Iterator[slice]:
    """Yield consecutive slices of at most `size` that cover `range(length)`."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def as_float32(values: FloatArray, out: Float32Array | None = None) -> Float32Array:
    """Finite values as float32, in `out` where they have to be widened and it is given.

    float16 by its bits, which takes a sixth of the time of NumPy's own cast: exponent and fraction move to their places
    in a float32, whose exponent has another bias.
    """
    if values.dtype != np.float16:
        return values.astype(np.float32, copy=False)
    # The sign fills all bits above it, of which the mask leaves the first.
    widened = np.empty(values.shape, np.float32) if out is None else out
    bits = widened.view(np.int32)
    bits[...] = np.ascontiguousarray(values).view(np.int16)
    bits <<= 13
    bits &= _FLOAT16_BITS
    widened *= _FLOAT16_BIAS
    return widened


def half_sq_norms(rows_md: FloatArray) -> Float32Array:
    """(m,) float32 halves of the squared norms of the rows, summed in float64."""
    halves = np.empty(len(rows_md), np.float32)
    for block in block_slices(len(rows_md), PRECISE_ROWS):
        rows = rows_md[block].astype(np.float64)
        halves[block] = 0.5 * np.einsum("ij,ij->i", rows, rows)
    return halves


def pair_sq_distances(
    queries_nd: Float32Array, rows_md: FloatArray, query: IndexArray, row: IndexArray
) -> Float32Array:
    """(p,) float32 squared distances of the pairs (query[i], row[i]), directly from the differences."""
    distances = np.empty(len(query), np.float32)
    shape = (min(PAIR_ROWS, len(query)), queries_nd.shape[1])
    # Reused by all blocks: memory that is new to the process costs more than the differences.
    differences, widened, others = (
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, rows_md.dtype),
    )
    rows_md = np.asarray(rows_md)
    for block in block_slices(len(query), PAIR_ROWS):
        size = len(query[block])
        # With `clip` NumPy writes where it is told to; the indices are valid.
        difference = np.take(queries_nd, query[block], axis=0, out=differences[:size], mode="clip")
        taken = np.take(rows_md, row[block], axis=0, out=others[:size], mode="clip")
        difference -= as_float32(taken, widened[:size])
        distances[block] = np.einsum("ij,ij->i", difference, difference)
    return distances


def product_error(dim: int) -> float:
    """gamma_d: the relative error bound of a float32 product over `dim` terms (Higham 2002, section 3.1)."""
    return dim * _UNIT_ROUNDOFF / (1.0 - dim * _UNIT_ROUNDOFF)


@dataclass(frozen=True)
class Reduction:
    """A map to fewer dimensions in which no distance grows: (1) in docs/search.md.

    Coordinates along a few orthonormal directions, and the length of what is left: by the reverse triangle
    inequality | |u| - |v| | <= |u - v| on that rest. Any directions are valid; principal ones are tight.

    Attributes:
        basis: (d, r) float64, orthonormal columns.
    """

    basis: npt.NDArray[np.float64]

    def apply(self, points_nd: FloatArray) -> Float32Array:
        """(n, d) -> (n, r + 1) float32, computed in float64."""
        reduced = np.empty((len(points_nd), self.basis.shape[1] + 1), np.float32)
        for block in block_slices(len(points_nd), PRECISE_ROWS):
            points = as_float32(points_nd[block]).astype(np.float64)
            inside = points @ self.basis
            rest = np.einsum("ij,ij->i", points, points) - np.einsum("ij,ij->i", inside, inside)
            reduced[block, :-1] = inside
            reduced[block, -1] = np.sqrt(np.maximum(rest, 0.0))
        return reduced


def fit_reduction(points_md: FloatArray, rest: float = REST_ENERGY) -> Reduction:
    """Principal directions of centered points: those that leave at most the share `rest` of the energy, and a few."""
    sample = points_md[:: max(1, len(points_md) // FIT_ROWS)]
    products = np.zeros((sample.shape[1], sample.shape[1]))
    for block in block_slices(len(sample), PRECISE_ROWS):
        points = sample[block].astype(np.float64)
        products += points.T @ points
    energy, vectors = np.linalg.eigh(products)
    left = np.cumsum(np.maximum(energy, 0.0))
    if not left[-1] > 0.0:
        return Reduction(np.empty((len(left), 0)))
    kept = max(int(np.count_nonzero(left > rest * left[-1])), min(MIN_DIRECTIONS, len(left) // 4))
    return Reduction(np.ascontiguousarray(vectors[:, len(energy) - kept :][:, ::-1]))


def nearest_rows(
    queries_nd: Float32Array,
    rows_md: FloatArray,
    half_norms_m: Float32Array,
    count: int = 1,
    own_row: IndexArray | None = None,
) -> Nearest:
    """Find the `count` nearest rows of every query.

    Args:
        queries_nd: (n, d) float32.
        rows_md: (m, d) float32 or float16; may be memory-mapped. Rows and queries should share a mean near
            zero: the screen's error bound, and so its cost, grows with their norms.
        half_norms_m: (m,) from `half_sq_norms`; inf forbids a row.
        count: rows wanted of each query.
        own_row: (n,) a row that each query must not match, such as itself.

    Returns:
        The nearest rows; the same as a direct comparison with every row.
    """
    best = nothing_yet(len(queries_nd), count)
    half_query = half_sq_norms(queries_nd).astype(np.float64)
    error = score_error(half_query, half_norms_m, rows_md.shape[1])
    query_size = min(max(1, BLOCK_BYTES // (4 * BLOCK_ROWS)), max(1, len(queries_nd)))
    # One buffer for the scores of all blocks: memory that is new to the process costs more than the subtraction.
    buffer = np.empty(query_size * BLOCK_ROWS, np.float32)
    for row_block in block_slices(len(rows_md), BLOCK_ROWS):
        rows = as_float32(rows_md[row_block])
        for query_block in block_slices(len(queries_nd), query_size):
            some = queries_nd[query_block]
            scores = buffer[: len(some) * len(rows)].reshape(len(some), len(rows))
            np.matmul(some, rows.T, out=scores)
            np.subtract(half_norms_m[row_block], scores, out=scores)
            if own_row is not None:
                _forbid(scores, own_row[query_block] - row_block.start)
            part = Nearest(best.distance[query_block], best.index[query_block])
            _improve(part, scores, some, rows_md, row_block.start, half_query[query_block], error[query_block])
    return best


def nearest_rows_direct(
    queries_nd: Float32Array,
    rows_md: FloatArray,
    half_norms_m: Float32Array,
    distance: str,
    count: int = 1,
    own_row: IndexArray | None = None,
) -> Nearest:
    """As `nearest_rows`, by a distance as SciPy calls it, of which every one is computed in float64."""
    best = nothing_yet(len(queries_nd), count)
    query_size = max(1, BLOCK_BYTES // (8 * BLOCK_ROWS))
    for row_block in block_slices(len(rows_md), BLOCK_ROWS):
        rows = np.asarray(rows_md[row_block], np.float64)
        forbidden = np.isinf(half_norms_m[row_block])
        for query_block in block_slices(len(queries_nd), query_size):
            scores = cdist(queries_nd[query_block], rows, distance)
            scores[:, forbidden] = np.inf
            if own_row is not None:
                _forbid(scores, own_row[query_block] - row_block.start)
            part = Nearest(best.distance[query_block], best.index[query_block])
            every = np.arange(len(scores))
            for _ in range(count):
                column = scores.argmin(axis=1)
                matched = np.flatnonzero(np.isfinite(scores[every, column]))
                row = column[matched] + row_block.start
                _merge(part, matched, row, scores[matched, column[matched]].astype(np.float32))
                scores[every, column] = np.inf
    return best


def nothing_yet(n: int, count: int) -> Nearest:
    """No row for any of n queries: infinitely far, index -1."""
    return Nearest(np.full((n, count), np.inf, np.float32), np.full((n, count), -1, np.int64))


def score_error(half_query: npt.NDArray[np.float64], half_norms: Float32Array, dim: int) -> FloatArray:
    """Bound the rounding error of 0.5 |b|^2 - q.b: gamma_d |q||b| for the product."""
    half_row = float(np.max(half_norms, initial=0.0, where=np.isfinite(half_norms)))
    return product_error(dim + 4) * (2.0 * np.sqrt(half_query * half_row) + half_row + half_query)


def _forbid(scores: FloatArray, column: IndexArray) -> None:
    inside = np.flatnonzero((column >= 0) & (column < scores.shape[1]))
    scores[inside, column[inside]] = np.inf


def _improve(
    best: Nearest,
    scores: Float32Array,
    queries: Float32Array,
    rows_md: FloatArray,
    first_row: int,
    half_query: npt.NDArray[np.float64],
    error: FloatArray,
) -> None:
    """Bring one block of rows into `best`, in place."""
    count = best.index.shape[1]
    # At distance zero a later row can only tie, and the lower index wins.
    limit = np.where(best.distance[:, -1] == 0.0, -np.inf, score_limit(best, half_query, error))
    hit = np.flatnonzero(scores.min(axis=1) <= limit)
    if len(hit) == 0:
        return
    hit_scores = scores[hit]
    kth = min(count, scores.shape[1]) - 1
    if count <= scores.shape[1]:
        kth_score = np.partition(hit_scores, kth, axis=1)[:, kth] if kth else hit_scores.min(axis=1)
        limit[hit] = np.minimum(limit[hit], kth_score + 2.0 * error[hit])
    query, row = np.nonzero((hit_scores <= limit[hit, None]) & np.isfinite(hit_scores))
    query = hit[query]
    measure_pairs(best, queries, rows_md, query, row + first_row)


def score_limit(best: Nearest, half_query: npt.NDArray[np.float64], error: FloatArray) -> FloatArray:
    """The largest screened score that a row may have and still belong to the best."""
    worst = best.distance[:, -1].astype(np.float64)
    return 0.5 * worst * (1.0 + MEASURED_SLACK) - half_query + error


def measure_pairs(
    best: Nearest, queries_nd: Float32Array, rows_md: FloatArray, query: IndexArray, row: IndexArray
) -> None:
    """Measure pairs that are not in `best` yet and bring them in, in place."""
    distance = pair_sq_distances(queries_nd, rows_md, query, row)
    closer = np.flatnonzero(distance <= best.distance[query, -1])
    if len(closer):
        _merge(best, query[closer], row[closer], distance[closer])


def _merge(best: Nearest, query: IndexArray, row: IndexArray, sq_distance: Float32Array) -> None:
    """Merge measured pairs into `best`, in place, ordered by distance, then by row."""
    touched = np.unique(query)
    count = best.index.shape[1]
    old_query = np.repeat(touched, count)
    queries = np.concatenate([old_query, query])
    rows = np.concatenate([best.index[touched].ravel(), row])
    distances = np.concatenate([best.distance[touched].ravel(), sq_distance])
    order = np.lexsort((rows, distances, queries))
    starts = np.searchsorted(queries[order], touched)
    chosen = order[starts[:, None] + np.arange(count)]
    best.distance[touched] = distances[chosen]
    best.index[touched] = rows[chosen]
