"""The memory bank: features of normal patches, and the exact search for the nearest of them.

A bank holds its rows minus their mean: distances by |q|^2 - 2 q.b + |b|^2 lose digits when features share a
large mean. What differs between metrics is in `metrics.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Metric
from ..errors import BundleError, NotFiniteError, UsageError
from ..threads import SharedSearch
from .exact import Nearest, Reduction, fit_reduction, half_sq_norms, nearest_rows, nearest_rows_direct
from .metrics import DISTANCES
from .screen import Screen, build_screen, nearest_rows_screened, screen_of_cells

FloatArray = npt.NDArray[np.floating]
Float32Array = npt.NDArray[np.float32]

IndexArray = npt.NDArray[np.int64]

# Fewer rows are searched directly.
MIN_SCREENED_ROWS = 2048


@dataclass(frozen=True)
class Matches:
    """The nearest row of every query.

    Attributes:
        distance: (n,) float32, in the bank's metric (not squared).
        index: (n,) int64, rows of the bank; of rows at the same distance the lowest.
    """

    distance: Float32Array
    index: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MemoryBank:
    """Features of normal patches. Made by `build_bank`, or from the arrays of one.

    Attributes:
        rows: (m, d) float32 or float16, the features minus `mean` (cosine: of unit length before that);
            may be a read-only memory map.
        mean: (d,) float32.
        half_norms: (m,) float32, half the squared norm of every row.
        neighbors: (m, k) int32, the nearest other rows of every row, nearest first.
        metric: the distance.
        row_groups: (m,) int32, the training scan of every row; None where not recorded.
        basis: (d, r) float64, the orthonormal directions that rows are screened in, and
        cells: (m,) int32, the cell of every row in the screen; None: the first search finds both, where a
            screen is worth while.

    Example:
        >>> bank = build_bank(np.eye(3, dtype=np.float32))
        >>> bank.search(np.array([[0.0, 0.5, 0.0]], np.float32)).index
        array([1])
    """

    rows: FloatArray
    mean: Float32Array
    half_norms: Float32Array
    neighbors: npt.NDArray[np.int32]
    metric: Metric
    row_groups: npt.NDArray[np.int32] | None = None
    basis: npt.NDArray[np.float64] | None = None
    cells: npt.NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.dtype not in (np.float32, np.float16):
            raise BundleError(f"memory bank: rows are {self.rows.dtype} {self.rows.shape}, expected float (m, d)")
        m, d = self.rows.shape
        expected = {"mean": (d,), "half_norms": (m,), "row_groups": (m,), "cells": (m,)}
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise BundleError(f"memory bank: {name} has shape {array.shape}, expected {shape}")
        if self.neighbors.ndim != 2 or len(self.neighbors) != m:
            raise BundleError(f"memory bank: neighbors has shape {self.neighbors.shape}, expected ({m}, k)")
        if self.basis is not None and (self.basis.ndim != 2 or len(self.basis) != d):
            raise BundleError(f"memory bank: basis has shape {self.basis.shape}, expected ({d}, r)")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], metric: Metric) -> MemoryBank:
        """Put a bank together again from `arrays()`; memory-mapped rows stay on disk until they are read.

        Raises:
            BundleError: an array is missing, not known, or does not fit the others.
        """
        missing = {"rows", "mean", "half_norms", "neighbors"} - arrays.keys()
        if missing:
            raise BundleError(f"memory bank: {', '.join(sorted(missing))} missing: calibrate again")
        unknown = arrays.keys() - set(_array_names())
        if unknown:
            raise BundleError(f"memory bank: this version does not know {', '.join(sorted(unknown))}: upgrade cmdiad")
        return cls(**arrays, metric=metric)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What to store of the bank, by name."""
        return {name: getattr(self, name) for name in _array_names() if getattr(self, name) is not None}

    def search(
        self, queries: Float32Array, without_group: int | None = None, shared: SharedSearch | None = None
    ) -> Matches:
        """Find the nearest row of every query, exactly.

        The first search of a large bank also lays out its screen (`screen.py`), in the cells that are stored.

        Args:
            queries: (n, d) float32 features, as they were given to `build_bank`.
            without_group: leave out the rows of this training scan.
            shared: threads that share a screened search; None: that of the caller alone.

        Raises:
            UsageError: wrong dimension, or no row is left to match.
            NotFiniteError: a query has a value that is not finite.
        """
        return self.search_prepared(self.prepared(queries), without_group, shared)

    def search_prepared(
        self, queries: Float32Array, without_group: int | None = None, shared: SharedSearch | None = None
    ) -> Matches:
        """As `search`, of what `prepared` gives.

        Raises:
            UsageError: no row is left to match.
        """
        half_norms = self._half_norms_without(without_group)
        nearest = _nearest(self.metric, queries, self.rows, half_norms, self._screen, shared=shared)
        return Matches(DISTANCES[self.metric].finish(nearest.distance[:, 0]), nearest.index[:, 0])

    def distances(self, queries: Float32Array, index: npt.NDArray[np.integer]) -> Float32Array:
        """(n, k) float32 distances of every query (n, d) to its own rows `index` (n, k), e.g. neighbors."""
        return self.distances_prepared(self.prepared(queries), index)

    def distances_prepared(self, queries: Float32Array, index: npt.NDArray[np.integer]) -> Float32Array:
        """As `distances`, of what `prepared` gives."""
        differences = queries[:, None, :] - self.rows[index].astype(np.float32)
        distance = DISTANCES[self.metric]
        return distance.finish(distance.compare(differences))

    @cached_property
    def _screen(self) -> Screen | None:
        if self.basis is None or self.cells is None:
            return _fit_screen(self.metric, self.rows)
        return screen_of_cells(self.rows, Reduction(self.basis), self.cells)

    def prepared(self, queries: Float32Array) -> Float32Array:
        """Queries (n, d) as the rows are held: less the mean; cosine: of unit length before that.

        Raises:
            UsageError: wrong dimension.
            NotFiniteError: a query has a value that is not finite.
        """
        if queries.ndim != 2 or queries.shape[1] != len(self.mean):
            raise UsageError(f"memory bank: queries have shape {queries.shape}, expected (n, {len(self.mean)})")
        self.require_finite(queries)
        prepared: Float32Array = DISTANCES[self.metric].prepare(queries) - self.mean
        return prepared

    @staticmethod
    def require_finite(queries: Float32Array) -> None:
        """Refuse queries (n, d) of which nothing can be said.

        Raises:
            NotFiniteError: a query has a value that is not finite.
        """
        if not np.isfinite(queries).all():
            wrong = np.count_nonzero(~np.isfinite(queries).all(axis=1))
            raise NotFiniteError(
                f"the networks return features that are not finite for {wrong} of {len(queries)} patches, so "
                "there is no verdict: check the scan for absurd coordinates"
            )

    def _half_norms_without(self, group: int | None) -> Float32Array:
        if group is None:
            return self.half_norms
        if self.row_groups is None:
            raise UsageError("memory bank: it does not record which scan its rows came from")
        left_out = self.row_groups == group
        if left_out.all():
            raise UsageError(f"memory bank: no row is left without scan {group}: calibrate with more scans")
        return np.where(left_out, np.float32(np.inf), self.half_norms)


def _array_names() -> list[str]:
    return [field.name for field in fields(MemoryBank) if field.name != "metric"]


def build_bank(
    rows: FloatArray,
    metric: Metric = "l2",
    n_neighbors: int = 2,
    row_groups: npt.NDArray[np.integer] | None = None,
    dtype: type[np.float32] | type[np.float16] = np.float32,
) -> MemoryBank:
    """Make a bank of features (m, d), and tabulate the neighbors of every row.

    A bank of fewer than `n_neighbors` + 1 rows has a table of m - 1 columns.

    Args:
        rows: (m, d) features of normal patches.
        metric: the distance: l2, l1 or cosine.
        n_neighbors: nearest other rows to tabulate for every row.
        row_groups: (m,) the training scan of every row.
        dtype: how to hold the rows.

    Raises:
        UsageError: no rows, a value that is not finite or too large for `dtype`, or an unknown metric.
    """
    if metric not in DISTANCES:
        raise UsageError(f"memory bank: unknown metric {metric!r}: choose one of {', '.join(DISTANCES)}")
    if rows.ndim != 2 or 0 in rows.shape:
        raise UsageError(f"memory bank: rows have shape {rows.shape}, expected (m, d) with at least one row")
    if not np.isfinite(rows).all():
        raise UsageError("memory bank: a row has a value that is not finite")
    features = DISTANCES[metric].prepare(rows.astype(np.float32, copy=False))
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    with np.errstate(over="ignore"):
        held = (features - mean).astype(dtype, copy=False)
    if not np.isfinite(held).all():
        raise UsageError(f"memory bank: a feature is too large for {np.dtype(dtype).name}: hold the bank in fp32")
    half_norms = half_sq_norms(held)
    groups = None if row_groups is None else np.asarray(row_groups, np.int32)
    screen = _fit_screen(metric, held)
    neighbors = _tabulate_neighbors(metric, held, half_norms, screen, min(n_neighbors, len(held) - 1))
    bank = MemoryBank(held, mean, half_norms, neighbors, metric, groups)
    return bank if screen is None else replace(bank, basis=screen.reduction.basis, cells=screen.cells)


def _tabulate_neighbors(
    metric: Metric, rows: FloatArray, half_norms: Float32Array, screen: Screen | None, count: int
) -> npt.NDArray[np.int32]:
    """(m, count) the nearest other rows of every row."""
    if count == 0:
        return np.empty((len(rows), 0), np.int32)
    queries, own = rows.astype(np.float32, copy=False), np.arange(len(rows))
    nearest = _nearest(metric, queries, rows, half_norms, screen, count, own)
    return nearest.index.astype(np.int32)


def _fit_screen(metric: Metric, rows: FloatArray) -> Screen | None:
    """The rows' screen, where one is worth while."""
    if DISTANCES[metric].direct is not None or len(rows) < MIN_SCREENED_ROWS:
        return None
    reduction = fit_reduction(rows)
    return build_screen(rows, reduction) if 2 * reduction.basis.shape[1] < rows.shape[1] else None


def _nearest(
    metric: Metric,
    queries: Float32Array,
    rows: FloatArray,
    half_norms: Float32Array,
    screen: Screen | None,
    count: int = 1,
    own_row: IndexArray | None = None,
    shared: SharedSearch | None = None,
) -> Nearest:
    direct = DISTANCES[metric].direct
    if direct is not None:
        return nearest_rows_direct(queries, rows, half_norms, direct, count, own_row)
    if screen is None:
        return nearest_rows(queries, rows, half_norms, count, own_row)
    return nearest_rows_screened(queries, rows, half_norms, screen, count, own_row, shared)
