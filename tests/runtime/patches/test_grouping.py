"""Grouping agrees with plain formulas."""

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.patches.grouping import farthest_points, group_points, nearest_points
from hypothesis import given, settings
from hypothesis import strategies as st


def plain_farthest_points(points, n):
    chosen = [0]
    for _ in range(n - 1):
        distances = ((points[:, None].astype(np.float64) - points[chosen]) ** 2).sum(-1).min(axis=1)
        chosen.append(int(distances.argmax()))
    return chosen


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 80), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_farthest_points_equal_the_definition(n_points, n, seed):
    # Integer coordinates make every distance exact, so that ties are ties in both.
    points = np.random.default_rng(seed).integers(0, 1000, (n_points, 3)).astype(np.float32)
    assert farthest_points(points, n).tolist() == plain_farthest_points(points, n)


def every_point_measured_each_time(points, n):
    """The same in float32 without leaving out any point."""
    nearest, chosen = np.full(len(points), np.inf, np.float32), [0]
    for _ in range(n - 1):
        x, y, z = (points - points[chosen[-1]]).T
        nearest = np.minimum(nearest, (x * x + y * y) + z * z)
        chosen.append(int(nearest.argmax()))
    return chosen


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1e-25, 1e-21, 1e-4, 1.0, 3.0]),
    st.sampled_from([(1, 1, 1), (-1, 1, 0), (0, -1, 1), (0, 0, 0), (1, 0, 0)]),
    st.floats(0, 0.5),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_a_scan_that_are_left_out_change_nothing(height, width, step, signs, noise, seed):
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    rng = np.random.default_rng(seed)
    scan = np.stack([columns, rows, rng.integers(0, 4, rows.shape)], axis=1) + noise * rng.normal(size=(len(rows), 3))
    points = (scan * np.array(signs) * step).astype(np.float32)
    kept = points[rng.random(len(points)) < 0.8] if len(points) > 5 else points
    points = kept if len(kept) else points
    assert farthest_points(points, 60).tolist() == every_point_measured_each_time(points, 60)


def test_groups_hold_the_nearest_points_relative_to_their_center():
    points = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    groups = group_points(points, Grouping(n_groups=20, group_size=16))
    assert groups.groups.shape == (20, 16, 3) and groups.groups.dtype == np.float32
    np.testing.assert_array_equal(groups.centers, points[groups.center_idx])
    for center, members in zip(groups.centers, groups.groups, strict=True):
        expected = np.sort(np.linalg.norm(points.astype(np.float64) - center, axis=1))[:16]
        np.testing.assert_allclose(np.linalg.norm(members, axis=1), expected, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(20, 200), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_of_points_equally_near_the_first_ones_are_taken(n_points, count, seed):
    # A lattice of few places: many points, some at the same place, share a distance exactly.
    points = np.random.default_rng(seed).integers(0, 4, (n_points, 3)).astype(np.float32)
    distances, members = nearest_points(points, points[:10], count)
    squared = ((points[:10, None].astype(np.float64) - points) ** 2).sum(-1)
    expected = np.argsort(squared, axis=1, kind="stable")[:, :count]
    assert np.array_equal(np.sort(members, axis=1), np.sort(expected, axis=1))
    assert np.allclose(distances**2, np.take_along_axis(squared, members, axis=1))
    assert (np.diff(distances, axis=1) >= 0).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(20, 200), st.integers(1, 20), st.floats(1e-4, 1), st.integers(0, 2**32 - 1))
def test_points_equally_near_stand_in_the_scans_order(n_points, count, step, seed):
    # Axes in steps that are no power of two: sums of the same squares in another order differ, their roots may not.
    rng = np.random.default_rng(seed)
    points = (rng.integers(0, 5, (n_points, 3)) * np.float32(step)).astype(np.float32)
    distances, members = nearest_points(points, points[:10], count)
    squares = (points[:10, None].astype(np.float64) - points) ** 2
    expected_distances = np.sqrt(squares[..., 0] + squares[..., 1] + squares[..., 2])
    expected = np.argsort(expected_distances, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(members, expected)
    np.testing.assert_array_equal(distances, np.take_along_axis(expected_distances, expected, axis=1))


def test_a_group_of_all_points_is_everything():
    points = np.random.default_rng(2).normal(size=(8, 3)).astype(np.float32)
    _, members = nearest_points(points, points[:2], 8)
    assert np.array_equal(np.sort(members, axis=1), np.tile(np.arange(8), (2, 1)))


def test_fewer_points_than_groups_repeat_the_first_center():
    points = np.random.default_rng(2).normal(size=(10, 3)).astype(np.float32)
    groups = group_points(points, Grouping(n_groups=16, group_size=4))
    assert set(groups.center_idx[:10].tolist()) == set(range(10))
    assert set(groups.center_idx[10:].tolist()) == {0}


def test_too_few_points_for_a_group_are_refused():
    with pytest.raises(ScanError, match=r"only 5 valid points.*needs 8"):
        group_points(np.zeros((5, 3), np.float32), Grouping(n_groups=2, group_size=8))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 30), st.integers(50, 300), st.integers(1, 130), st.integers(0, 2**32 - 1))
def test_points_repeated_at_one_place_are_taken_in_order_too(n_places, times, count, seed):
    rng = np.random.default_rng(seed)
    points = np.repeat(rng.integers(0, 3, (n_places, 3)), times, axis=0).astype(np.float32)
    points = points[rng.permutation(len(points))]
    count = min(count, len(points))
    distances, members = nearest_points(points, points[:5], count)
    squared = ((points[:5, None].astype(np.float64) - points) ** 2).sum(-1)
    expected = np.argsort(squared, axis=1, kind="stable")[:, :count]
    assert np.array_equal(np.sort(members, axis=1), np.sort(expected, axis=1))
    assert np.allclose(distances**2, np.take_along_axis(squared, members, axis=1))


def test_ten_thousand_equal_points_are_searched_a_few_times_only(monkeypatch):
    from cmdiad.runtime.patches import grouping

    queries = []
    query = grouping._query
    monkeypatch.setattr(grouping, "_query", lambda *given: queries.append(given[2]) or query(*given))
    groups = group_points(np.full((10_000, 3), 0.4, np.float32), Grouping())
    assert not groups.groups.any() and len(queries) < 10 and max(queries) <= 1024
