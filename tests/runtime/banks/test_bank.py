"""The memory bank: nearest rows, left-out scans, neighbor tables, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.runtime.banks import bank as bank_module
from cmdiad.runtime.banks.bank import MIN_SCREENED_ROWS, MemoryBank, build_bank
from cmdiad.runtime.bundle.parameters import Metric
from cmdiad.runtime.errors import BundleError, NotFiniteError, UsageError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

SCIPY_NAME = {"l2": "euclidean", "l1": "cityblock", "cosine": "cosine"}
METRICS = list(SCIPY_NAME)
FEW, MANY = 300, MIN_SCREENED_ROWS + 500
SEARCHES = [
    pytest.param("l2", FEW, id="l2"),
    pytest.param("l2", MANY, id="l2 screened"),
    pytest.param("cosine", FEW, id="cosine"),
    pytest.param("cosine", MANY, id="cosine screened"),
    pytest.param("l1", FEW, id="l1"),
]


def correlated(rng: np.random.Generator, n: int, d: int = 48) -> npt.NDArray[np.float32]:
    """Features with a few strong directions and a common offset, as those of patches."""
    mixing = np.random.default_rng(99).standard_normal((6, d))
    noise = 0.02 * rng.standard_normal((n, d))
    return (np.tanh(rng.standard_normal((n, 6))) @ mixing + noise + 3.0).astype(np.float32)


def all_distances(queries: npt.NDArray[Any], rows: npt.NDArray[Any], metric: str) -> npt.NDArray[np.float64]:
    return cdist(queries.astype(np.float64), rows.astype(np.float64), SCIPY_NAME[metric])


@pytest.mark.parametrize(("metric", "n_rows"), SEARCHES)
def test_search_and_neighbors_agree_with_brute_force_in_double_precision(metric: Metric, n_rows: int) -> None:
    rng = np.random.default_rng(1)
    rows, queries = correlated(rng, n_rows), correlated(rng, 90)
    bank = build_bank(rows, metric)
    expected = all_distances(queries, rows, metric)
    matches = bank.search(queries)
    assert matches.distance.dtype == np.float32
    assert matches.index.dtype == np.int64
    np.testing.assert_array_equal(matches.index, expected.argmin(axis=1))
    np.testing.assert_allclose(matches.distance, expected.min(axis=1), rtol=1e-4)
    between = all_distances(rows, rows, metric)
    np.fill_diagonal(between, np.inf)
    np.testing.assert_array_equal(bank.neighbors, np.argsort(between, axis=1)[:, :2])


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_small_distances_keep_their_digits_beside_a_large_mean(offset: float) -> None:
    rng = np.random.default_rng(2)
    rows = (rng.standard_normal((500, 64)) + offset).astype(np.float32)
    queries = rows[:40] + np.float32(1e-2) * rng.standard_normal((40, 64)).astype(np.float32)
    matches = build_bank(rows).search(queries)
    np.testing.assert_array_equal(matches.index, np.arange(40))
    np.testing.assert_allclose(matches.distance, all_distances(queries, rows, "l2").min(axis=1), rtol=1e-4)


@pytest.mark.parametrize(("metric", "n_rows"), SEARCHES)
def test_a_row_of_the_bank_is_at_distance_zero_from_itself(metric: Metric, n_rows: int) -> None:
    rows = correlated(np.random.default_rng(3), n_rows)
    matches = build_bank(rows, metric).search(rows)
    np.testing.assert_array_equal(matches.distance, 0.0)
    np.testing.assert_array_equal(matches.index, np.arange(n_rows))


@pytest.mark.parametrize(("metric", "n_rows"), SEARCHES)
def test_of_equal_rows_the_lowest_index_wins(metric: Metric, n_rows: int) -> None:
    rows = correlated(np.random.default_rng(4), n_rows)
    tripled = np.concatenate([rows, rows, rows])
    queries = np.concatenate([rows[:50], correlated(np.random.default_rng(5), 50)])
    bank = build_bank(tripled, metric)
    matches = bank.search(queries)
    assert matches.index.max() < n_rows
    np.testing.assert_array_equal(matches.index, build_bank(rows, metric).search(queries).index)
    np.testing.assert_array_equal(bank.neighbors[:5], [[i + n_rows, i + 2 * n_rows] for i in range(5)])
    np.testing.assert_array_equal(bank.neighbors[n_rows], [0, 2 * n_rows])


@pytest.mark.parametrize(("metric", "n_rows"), SEARCHES)
def test_a_left_out_scan_never_matches(metric: Metric, n_rows: int) -> None:
    rng = np.random.default_rng(6)
    rows = correlated(rng, n_rows)
    groups = rng.integers(0, 5, n_rows)
    bank = build_bank(rows, metric, row_groups=groups)
    queries = rows[groups == 2]
    expected = all_distances(queries, rows, metric)
    expected[:, groups == 2] = np.inf
    matches = bank.search(queries, without_group=2)
    np.testing.assert_array_equal(matches.index, expected.argmin(axis=1))
    np.testing.assert_allclose(matches.distance, expected.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(bank.search(queries, without_group=77).distance, 0.0)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_to_chosen_rows(metric: Metric) -> None:
    rng = np.random.default_rng(7)
    rows, queries = correlated(rng, 60), correlated(rng, 8)
    bank = build_bank(rows, metric)
    index = rng.integers(0, 60, (8, 3))
    expected = np.take_along_axis(all_distances(queries, rows, metric), index, axis=1)
    np.testing.assert_allclose(bank.distances(queries, index), expected, rtol=1e-4)


def test_half_precision_rows_answer_for_the_rows_they_hold() -> None:
    rng = np.random.default_rng(8)
    bank = build_bank(correlated(rng, MIN_SCREENED_ROWS), dtype=np.float16)
    queries = correlated(rng, 40)
    assert bank.rows.dtype == np.float16
    held = bank.rows.astype(np.float64) + bank.mean
    expected = all_distances(queries, held, "l2")
    matches = bank.search(queries)
    np.testing.assert_array_equal(matches.index, expected.argmin(axis=1))
    np.testing.assert_allclose(matches.distance, expected.min(axis=1), rtol=1e-4)


def test_half_precision_rows_change_distances_by_their_rounding_alone() -> None:
    rng = np.random.default_rng(8)
    rows, queries = correlated(rng, MIN_SCREENED_ROWS), correlated(rng, 40)
    matches = build_bank(rows, dtype=np.float16).search(queries)
    np.testing.assert_allclose(matches.distance, all_distances(queries, rows, "l2").min(axis=1), rtol=1e-3)


def test_features_too_large_for_half_precision_are_refused() -> None:
    rows = np.array([[4e5, 0], [0, 1]], np.float32)
    with pytest.raises(UsageError, match="too large for float16"):
        build_bank(rows, dtype=np.float16)
    assert build_bank(rows).rows.dtype == np.float32


def test_a_bank_put_together_from_memory_mapped_arrays_answers_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    bank = build_bank(correlated(rng, 500), row_groups=np.arange(500) % 3)
    for name, array in bank.arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
    stored = {path.stem: np.load(path, mmap_mode="r") for path in tmp_path.iterdir()}
    again = MemoryBank.from_arrays(stored, bank.metric)
    queries = correlated(rng, 30)
    assert isinstance(again.rows, np.memmap)
    for group in (None, 1):
        first, second = bank.search(queries, group), again.search(queries, group)
        np.testing.assert_array_equal(first.index, second.index)
        np.testing.assert_array_equal(first.distance, second.distance)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_stored_layout_is_the_one_that_would_be_found_and_is_not_looked_for_again(
    metric: Metric, dtype: type[np.float32] | type[np.float16], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(12)
    bank = build_bank(correlated(rng, MIN_SCREENED_ROWS), metric, dtype=dtype)
    arrays = bank.arrays()
    assert arrays["cells"].dtype == np.int32 and arrays["basis"].dtype == np.float64
    unknown = {name: array for name, array in arrays.items() if name not in ("basis", "cells")}
    found = MemoryBank.from_arrays(unknown, metric)._screen
    monkeypatch.setattr(bank_module, "build_screen", None)
    stored = MemoryBank.from_arrays(arrays, metric)._screen
    assert found is not None and stored is not None
    for name in ("order", "starts", "centers", "radii", "extended", "balls"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(found, name))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_cells=st.integers(1, 3000))
def test_whatever_cells_are_stored_the_nearest_row_is_found(seed: int, n_cells: int) -> None:
    rng = np.random.default_rng(seed)
    rows, queries = correlated(rng, MIN_SCREENED_ROWS), correlated(rng, 20)
    bank = build_bank(rows, n_neighbors=0)
    cells = rng.integers(0, n_cells, len(rows)).astype(np.int32)
    found, direct = replace(bank, cells=cells).search(queries), bank.search(queries)
    np.testing.assert_array_equal(found.index, direct.index)
    np.testing.assert_array_equal(found.distance, direct.distance)


@pytest.mark.parametrize(("n_rows", "metric"), [(MIN_SCREENED_ROWS, "l1"), (MIN_SCREENED_ROWS - 1, "l2")])
def test_a_bank_that_is_searched_directly_stores_no_layout(n_rows: int, metric: Metric) -> None:
    assert not {"basis", "cells"} & build_bank(correlated(np.random.default_rng(13), n_rows), metric).arrays().keys()


def test_a_zero_feature_has_a_cosine_distance() -> None:
    rows = np.array([[0, 0], [3, 0], [0, 5]], np.float32)
    matches = build_bank(rows, "cosine").search(np.zeros((1, 2), np.float32))
    assert (matches.distance[0], matches.index[0]) == (0.0, 0)
    np.testing.assert_allclose(build_bank(rows[1:], "cosine").search(rows[:1]).distance, 0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_bank_of_one_row_has_no_neighbors(metric: Metric) -> None:
    bank = build_bank(np.ones((1, 4), np.float32), metric)
    assert bank.neighbors.shape == (1, 0)
    assert bank.search(np.ones((3, 4), np.float32)).index.tolist() == [0, 0, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_no_queries_give_no_matches(metric: Metric) -> None:
    for n_rows in (5, MIN_SCREENED_ROWS):
        bank = build_bank(correlated(np.random.default_rng(10), n_rows), metric)
        assert bank.search(np.empty((0, 48), np.float32)).index.shape == (0,)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), metric=st.sampled_from(METRICS))
def test_no_row_is_nearer_than_the_match(data: st.DataObject, metric: Metric) -> None:
    value = st.floats(-8.0, 8.0, width=16)
    shape = st.tuples(st.integers(1, 12), st.just(3))
    rows = data.draw(arrays(np.float32, shape, elements=value))
    queries = data.draw(arrays(np.float32, shape, elements=value))
    bank = build_bank(rows, metric)
    matches = bank.search(queries)
    every = bank.distances(queries, np.tile(np.arange(len(rows)), (len(queries), 1)))
    np.testing.assert_allclose(matches.distance, every.min(axis=1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(every[np.arange(len(queries)), matches.index], matches.distance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "metric"),
    [
        pytest.param(np.empty((0, 3), np.float32), "l2", id="no rows"),
        pytest.param(np.ones(3, np.float32), "l2", id="one axis"),
        pytest.param(np.array([[0.0, np.nan]], np.float32), "l2", id="not a number"),
        pytest.param(np.ones((2, 2), np.float32), "l3", id="unknown metric"),
    ],
)
def test_unusable_rows_are_refused(rows: npt.NDArray[np.float32], metric: Any) -> None:
    with pytest.raises(UsageError, match="memory bank"):
        build_bank(rows, metric)


def test_unusable_queries_are_refused() -> None:
    bank = build_bank(np.eye(3, dtype=np.float32), row_groups=np.zeros(3, np.int32))
    with pytest.raises(UsageError, match=r"expected \(n, 3\)"):
        bank.search(np.ones((1, 4), np.float32))
    with pytest.raises(NotFiniteError, match="not finite for 1 of 1 patches"):
        bank.search(np.full((1, 3), np.inf, np.float32))
    with pytest.raises(UsageError, match="no row is left"):
        bank.search(np.ones((1, 3), np.float32), without_group=0)
    with pytest.raises(UsageError, match="does not record"):
        build_bank(np.eye(3, dtype=np.float32)).search(np.ones((1, 3), np.float32), without_group=0)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("rows", np.ones((3, 2), np.float64)),
        ("mean", np.ones(5, np.float32)),
        ("half_norms", np.ones(2, np.float32)),
        ("neighbors", np.ones((2, 2), np.int32)),
        ("row_groups", np.ones(4, np.int32)),
        ("basis", np.ones((2, 1))),
        ("cells", np.ones(4, np.int32)),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(name: str, array: npt.NDArray[Any]) -> None:
    stored = build_bank(np.eye(3, dtype=np.float32)).arrays()
    with pytest.raises(BundleError, match=name):
        MemoryBank.from_arrays({**stored, name: array}, "l2")


def test_a_missing_array_is_refused_by_name() -> None:
    stored = build_bank(np.eye(3, dtype=np.float32)).arrays()
    del stored["mean"]
    with pytest.raises(BundleError, match="mean"):
        MemoryBank.from_arrays(stored, "l2")


def test_an_array_of_a_later_version_is_refused_by_name() -> None:
    stored = build_bank(np.eye(3, dtype=np.float32)).arrays()
    with pytest.raises(BundleError, match="does not know clusters"):
        MemoryBank.from_arrays({**stored, "clusters": np.zeros(3)}, "l2")
