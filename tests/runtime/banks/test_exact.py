"""The direct and the screened search: the same, exact answers whatever the data and the screen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.runtime.banks import screen as screen_module
from cmdiad.runtime.banks.exact import (
    BLOCK_ROWS,
    MIN_DIRECTIONS,
    Nearest,
    Reduction,
    as_float32,
    fit_reduction,
    half_sq_norms,
    nearest_rows,
    nearest_rows_direct,
    pair_sq_distances,
)
from cmdiad.runtime.banks.screen import build_screen, nearest_rows_screened
from cmdiad.runtime.threads import SharedSearch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

Array = npt.NDArray[np.float32]


def random_reduction(dim: int, kept: int, seed: int = 0) -> Reduction:
    matrix = np.random.default_rng(seed).standard_normal((dim, dim))
    return Reduction(np.linalg.qr(matrix)[0][:, :kept])


def isotropic(rng: np.random.Generator, n: int) -> Array:
    return rng.standard_normal((n, 24)).astype(np.float32)


def clustered(rng: np.random.Generator, n: int) -> Array:
    centers = np.random.default_rng(7).standard_normal((9, 24)) * 5
    return (centers[rng.integers(0, 9, n)] + 1e-3 * rng.standard_normal((n, 24))).astype(np.float32)


def low_rank(rng: np.random.Generator, n: int) -> Array:
    return (rng.standard_normal((n, 3)) @ np.random.default_rng(7).standard_normal((3, 24))).astype(np.float32)


def few_values(rng: np.random.Generator, n: int) -> Array:
    return np.repeat(rng.integers(-1, 2, (n, 3)), 8, axis=1).astype(np.float32)


def offset(rng: np.random.Generator, n: int) -> Array:
    return isotropic(rng, n) + np.float32(100.0)


DATA = [isotropic, clustered, low_rank, few_values, offset]


def expected_best(queries: Array, rows: Array, count: int, own: npt.NDArray[np.int64] | None = None) -> Nearest:
    distances = cdist(queries.astype(np.float64), rows.astype(np.float64), "sqeuclidean").astype(np.float32)
    if own is not None:
        distances[np.arange(len(queries)), own] = np.inf
    index = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return Nearest(np.take_along_axis(distances, index, axis=1), index)


def assert_same_but_for_rounding(found: Nearest, expected: Nearest, queries: Array, rows: Array) -> None:
    np.testing.assert_allclose(found.distance, expected.distance, rtol=1e-4, atol=1e-9)
    differing = found.index != expected.index
    np.testing.assert_allclose(found.distance[differing], expected.distance[differing], rtol=1e-5, atol=1e-12)
    query = np.repeat(np.arange(len(queries)), found.index.shape[1])
    np.testing.assert_array_equal(pair_sq_distances(queries, rows, query, found.index.ravel()), found.distance.ravel())


@pytest.mark.parametrize("make", DATA)
def test_the_direct_search_is_brute_force(make: object) -> None:
    rng = np.random.default_rng(0)
    rows, queries = make(rng, BLOCK_ROWS + 300), make(rng, 120)
    found = nearest_rows(queries, rows, half_sq_norms(rows), 3)
    assert_same_but_for_rounding(found, expected_best(queries, rows, 3), queries, rows)


@pytest.mark.parametrize("kept", [0, 2, 24])
@pytest.mark.parametrize("make", DATA)
def test_the_screened_search_gives_the_direct_answers_through_any_screen(make: object, kept: int) -> None:
    rng = np.random.default_rng(1)
    rows, queries = make(rng, 1500), make(rng, 120)
    screen = build_screen(rows, random_reduction(24, kept))
    for count in (1, 2):
        direct = nearest_rows(queries, rows, half_sq_norms(rows), count)
        screened = nearest_rows_screened(queries, rows, half_sq_norms(rows), screen, count)
        np.testing.assert_array_equal(screened.distance, direct.distance)
        np.testing.assert_array_equal(screened.index, direct.index)


@pytest.mark.parametrize("make", DATA)
def test_no_query_matches_its_own_row(make: object) -> None:
    rows = make(np.random.default_rng(2), 900)
    own = np.arange(900)
    direct = nearest_rows(rows, rows, half_sq_norms(rows), 2, own)
    assert_same_but_for_rounding(direct, expected_best(rows, rows, 2, own), rows, rows)
    screened = nearest_rows_screened(rows, rows, half_sq_norms(rows), build_screen(rows, fit_reduction(rows)), 2, own)
    np.testing.assert_array_equal(screened.index, direct.index)


@pytest.mark.parametrize("limit", ["MAX_PAIRS", "MAX_MEASURED"])
def test_limits_of_the_screened_search_change_no_answer(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows, queries = isotropic(rng, 1200), isotropic(rng, 60)
    direct = nearest_rows(queries, rows, half_sq_norms(rows))
    monkeypatch.setattr(screen_module, limit, 1)
    found = nearest_rows_screened(queries, rows, half_sq_norms(rows), build_screen(rows, random_reduction(24, 3)))
    np.testing.assert_array_equal(found.index, direct.index)


@pytest.mark.parametrize("screened", [False, True])
def test_forbidden_rows_are_never_found(screened: bool) -> None:
    rng = np.random.default_rng(4)
    rows, queries = low_rank(rng, 700), low_rank(rng, 50)
    half_norms = half_sq_norms(rows)
    half_norms[2:] = np.inf
    if screened:
        found = nearest_rows_screened(queries, rows, half_norms, build_screen(rows, fit_reduction(rows)), 3)
    else:
        found = nearest_rows(queries, rows, half_norms, 3)
    assert set(found.index[:, :2].ravel().tolist()) == {0, 1}
    assert (found.index[:, 2] == -1).all()
    assert np.isinf(found.distance[:, 2]).all()


def test_every_finite_float16_is_widened_exactly() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    np.testing.assert_array_equal(as_float32(finite).view(np.int32), finite.astype(np.float32).view(np.int32))


def test_rows_beyond_forbidden_ones_are_found_though_all_cells_are_points() -> None:
    rows = np.repeat(isotropic(np.random.default_rng(9), 2), 100, axis=0)
    half_norms = half_sq_norms(rows)
    half_norms[:100] = np.inf
    found = nearest_rows_screened(rows[:1], rows, half_norms, build_screen(rows, random_reduction(24, 5)), 2)
    np.testing.assert_array_equal(found.index, [[100, 101]])


def test_the_l1_search_is_brute_force() -> None:
    rng = np.random.default_rng(5)
    rows, queries = isotropic(rng, BLOCK_ROWS + 50), isotropic(rng, 30)
    found = nearest_rows_direct(queries, rows, half_sq_norms(rows), "cityblock", 2)
    distances = cdist(queries, rows, "cityblock")
    np.testing.assert_array_equal(found.index, np.argsort(distances, axis=1)[:, :2])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kept=st.integers(0, 24), scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_no_distance_grows_in_the_reduced_space(seed: int, kept: int, scale: float) -> None:
    points = np.random.default_rng(seed).standard_normal((20, 24)).astype(np.float32) * np.float32(scale)
    reduced = random_reduction(24, kept, seed).apply(points)
    true = cdist(points.astype(np.float64), points.astype(np.float64))
    assert (cdist(reduced.astype(np.float64), reduced.astype(np.float64)) <= true + 1e-5 * scale).all()


def test_threads_that_share_a_search_change_no_answer() -> None:
    rng = np.random.default_rng(10)
    rows, queries = low_rank(rng, 1500), low_rank(rng, 200)
    screen = build_screen(rows, fit_reduction(rows))
    alone = nearest_rows_screened(queries, rows, half_sq_norms(rows), screen, 2)
    with ThreadPoolExecutor(2) as pool:
        shared = nearest_rows_screened(queries, rows, half_sq_norms(rows), screen, 2, shared=SharedSearch(pool, 2))
    np.testing.assert_array_equal(shared.index, alone.index)
    np.testing.assert_array_equal(shared.distance, alone.distance)


def test_rows_that_a_tile_does_not_hold_at_once_are_searched_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_module, "TILE_ROWS", 50)
    rng = np.random.default_rng(8)
    rows = np.concatenate([np.ones((900, 24), np.float32), isotropic(rng, 300)])
    screen = build_screen(rows, random_reduction(24, 5))
    assert np.diff(screen.starts).max() >= 900
    queries = np.concatenate([rows[400:410], isotropic(rng, 90)])
    direct = nearest_rows(queries, rows, half_sq_norms(rows), 2)
    screened = nearest_rows_screened(queries, rows, half_sq_norms(rows), screen, 2)
    np.testing.assert_array_equal(screened.index, direct.index)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 400), rows_per_cell=st.integers(1, 64))
def test_every_row_lies_in_the_ball_of_its_cell(seed: int, m: int, rows_per_cell: int) -> None:
    rows = isotropic(np.random.default_rng(seed), m)
    screen = build_screen(rows, random_reduction(24, 6, seed), rows_per_cell)
    np.testing.assert_array_equal(np.sort(screen.order), np.arange(m))
    counts = np.diff(screen.starts)
    assert counts.min() > 0
    away = np.linalg.norm(screen.reduced - np.repeat(screen.centers, counts, axis=0), axis=1)
    assert (away <= np.repeat(screen.radii, counts) + 1e-12).all()


def test_principal_directions_keep_the_energy_asked_for() -> None:
    rng = np.random.default_rng(6)
    scale = np.concatenate([np.ones(60), np.full(140, 0.01)]).astype(np.float32)
    points = rng.standard_normal((2000, 200), dtype=np.float32) * scale
    basis = fit_reduction(points, rest=0.06).basis
    assert 50 < basis.shape[1] <= 60
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
    inside, whole = np.square(points @ basis).sum(), np.square(points).sum()
    assert inside >= 0.93 * whole


def test_where_one_direction_holds_nearly_everything_others_still_tell_rows_apart() -> None:
    rng = np.random.default_rng(6)
    points = rng.standard_normal((500, 200), dtype=np.float32)
    points[:, 0] *= 1000
    assert fit_reduction(points).basis.shape == (200, MIN_DIRECTIONS)


def test_constant_rows_need_no_direction() -> None:
    rows = np.zeros((30, 5), np.float32)
    reduction = fit_reduction(rows)
    assert reduction.basis.shape == (5, 0)
    found = nearest_rows_screened(rows[:4], rows, half_sq_norms(rows), build_screen(rows, reduction))
    assert found.index.ravel().tolist() == [0, 0, 0, 0]
