"""Coreset selection: the plain greedy algorithm's choice, whatever the data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration import coreset
from cmdiad.calibration.coreset import greedy_k_center, select_coreset, sparse_random_projection
from cmdiad.runtime.bundle.parameters import Metric
from cmdiad.runtime.errors import UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float32]
SCIPY_NAME = {"l2": "euclidean", "l1": "cityblock", "cosine": "cosine"}
METRICS = list(SCIPY_NAME)


def uniform(rng: np.random.Generator) -> Array:
    return rng.uniform(-1, 1, (1500, 12)).astype(np.float32)


def clustered(rng: np.random.Generator) -> Array:
    centers = rng.standard_normal((40, 30)) * 4
    return (centers[rng.integers(0, 40, 1500)] + 0.1 * rng.standard_normal((1500, 30))).astype(np.float32)


def curved(rng: np.random.Generator) -> Array:
    return np.tanh(rng.standard_normal((1500, 4)) @ rng.standard_normal((4, 60)) + 2.0).astype(np.float32)


def mostly_repeated(rng: np.random.Generator) -> Array:
    distinct = rng.standard_normal((150, 20)).astype(np.float32)
    return np.concatenate([np.repeat(distinct[:1], 700, axis=0), distinct[rng.integers(0, 150, 800)], distinct])


def plain_greedy(points: Array, n_select: int, start: int, metric: str) -> list[int]:
    points_64 = points.astype(np.float64)
    nearest = np.full(len(points), np.inf)
    selected = [start]
    while len(selected) < n_select:
        to_last = cdist(points_64, points_64[selected[-1:]], SCIPY_NAME[metric])[:, 0]
        nearest = np.minimum(nearest, to_last)
        nearest[selected] = -1.0
        selected.append(int(nearest.argmax()))
    return selected


def assert_greedy(points: Array, selected: npt.NDArray[np.int64], metric: str) -> None:
    """Every selected point was among the farthest from those before it, but for rounding."""
    between = cdist(points.astype(np.float64), points[selected].astype(np.float64), SCIPY_NAME[metric])
    between = np.minimum.accumulate(between, axis=1)
    scale = float(between.max())
    for step in range(1, len(selected)):
        left = np.setdiff1d(np.arange(len(points)), selected[:step])
        farthest = between[left, step - 1].max()
        assert between[selected[step], step - 1] >= farthest * (1 - 1e-4) - 2e-6 * scale


@pytest.mark.parametrize("pool_size", [16, coreset.POOL_SIZE])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", [uniform, clustered, curved])
def test_the_selection_is_the_plain_algorithms(
    make: Callable[[np.random.Generator], Array],
    metric: Metric,
    pool_size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coreset, "POOL_SIZE", pool_size)
    points = make(np.random.default_rng(0))
    selected = greedy_k_center(points, 150, start=7, metric=metric)
    assert selected.dtype == np.int64
    assert selected.tolist() == plain_greedy(points, 150, 7, metric)


@pytest.mark.parametrize("pool_size", [16, coreset.POOL_SIZE])
@pytest.mark.parametrize("metric", ["l2", "l1"])
def test_repeated_points_are_selected_last_and_lowest_first(
    metric: Metric, pool_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreset, "POOL_SIZE", pool_size)
    points = mostly_repeated(np.random.default_rng(1))
    selected = greedy_k_center(points, 300, metric=metric)
    first_of_each = np.unique(points, axis=0, return_index=True)[1]
    assert set(selected[:150].tolist()) == set(first_of_each.tolist())
    assert selected[150:].tolist() == np.setdiff1d(np.arange(len(points)), first_of_each)[:150].tolist()


def test_every_point_can_be_selected() -> None:
    points = uniform(np.random.default_rng(2))[:200]
    assert sorted(greedy_k_center(points, 200).tolist()) == list(range(200))
    assert greedy_k_center(points[:1], 1).tolist() == [0]


def test_small_differences_beside_a_large_mean_are_told_apart() -> None:
    points = uniform(np.random.default_rng(3)) + np.float32(500.0)
    selected = greedy_k_center(points, 100)
    assert selected.tolist() == plain_greedy(points, 100, 0, "l2")


@settings(max_examples=60, deadline=None)
@given(
    points=arrays(np.float32, st.tuples(st.integers(1, 25), st.integers(1, 4)), elements=st.floats(-9, 9, width=16)),
    data=st.data(),
    metric=st.sampled_from(["l2", "l1"]),
)
def test_each_selection_is_the_farthest_point(points: Array, data: st.DataObject, metric: Metric) -> None:
    n_select = data.draw(st.integers(1, len(points)))
    start = data.draw(st.integers(0, len(points) - 1))
    selected = greedy_k_center(points, n_select, start, metric)
    assert selected[0] == start
    assert len(set(selected.tolist())) == n_select
    assert_greedy(points, selected, metric)


def test_progress_rises_to_the_end() -> None:
    calls: list[tuple[int, int]] = []
    greedy_k_center(uniform(np.random.default_rng(4)), 120, progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert calls[-1] == (120, 120)


@pytest.mark.parametrize(("n_select", "start"), [(0, 0), (6, 0), (2, 5), (2, -1)])
def test_counts_out_of_range_are_refused(n_select: int, start: int) -> None:
    with pytest.raises(UsageError, match="out of range"):
        greedy_k_center(np.ones((5, 2), np.float32), n_select, start)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UsageError, match="not finite"):
        greedy_k_center(np.array([[1.0, np.nan]], np.float32), 1)


def test_the_projection_keeps_distances_and_depends_on_its_seed_alone() -> None:
    points = np.random.default_rng(5).standard_normal((60, 768)).astype(np.float32)
    projected = sparse_random_projection(points, seed=3)
    assert projected.dtype == np.float32
    assert projected.shape == (60, 101)  # Johnson-Lindenstrauss: 4 ln 60 / (0.9^2 / 2 - 0.9^3 / 3)
    np.testing.assert_array_equal(projected, sparse_random_projection(points, seed=3))
    assert not np.array_equal(projected, sparse_random_projection(points, seed=4))
    ratio = cdist(projected, projected)[np.triu_indices(60, 1)] / cdist(points, points)[np.triu_indices(60, 1)]
    assert ratio.min() ** 2 > 0.1
    assert ratio.max() ** 2 < 1.9


def test_the_projection_is_skipped_where_it_would_not_shrink() -> None:
    points = np.random.default_rng(6).standard_normal((60, 101)).astype(np.float32)
    assert sparse_random_projection(points, seed=0) is points
    assert sparse_random_projection(points[:1], seed=0).shape == (1, 101)


def test_a_coreset_is_the_selection_on_projected_features() -> None:
    points = np.random.default_rng(7).standard_normal((300, 400)).astype(np.float32)
    expected = greedy_k_center(sparse_random_projection(points, 1), 30)
    assert select_coreset(points, 30, seed=1).tolist() == expected.tolist()
    assert len(select_coreset(points[:, :20], 300, seed=1)) == 300
