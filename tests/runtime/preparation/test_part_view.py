"""What is seen of a part, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.runtime.preparation.part_view import border_share, diameter, inner, measured_share, surface_area
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from .scenes import PITCH, dome, places, scan


@given(n_points=st.integers(2, 300), dimension=st.sampled_from([2, 3]), seed=st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_diameter_is_the_largest_distance_to_three_percent_and_never_more(
    n_points: int, dimension: int, seed: int
) -> None:
    points = np.random.default_rng(seed).normal(0, [1, 2, 0.5][:dimension], (n_points, dimension))
    largest = pdist(points).max()
    assert 0.97 * largest <= diameter(points.T) <= largest * (1 + 1e-9)


def test_the_diameter_of_nothing_and_of_one_point_is_zero() -> None:
    assert diameter(np.zeros((3, 0))) == 0 and diameter(np.ones((3, 1))) == 0


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_the_area_of_a_tilted_plate_is_its_own_not_its_shadow(slope: float) -> None:
    x, y = places((120, 160))
    points = scan(slope * x, noise_m=0)
    part = (abs(x) < 0.02) & (abs(y) < 0.015)
    expected = part.sum() * PITCH**2 * np.sqrt(1 + slope**2)
    assert surface_area(np.moveaxis(points, -1, 0), part) == pytest.approx(expected, rel=1e-3)


def test_noise_is_not_area() -> None:
    height, part = dome()
    quiet, noisy = (surface_area(np.moveaxis(scan(height, noise_m=noise), -1, 0), part) for noise in (0, 2e-4))
    assert noisy == pytest.approx(quiet, rel=0.1)


def test_something_too_thin_for_an_area_has_none() -> None:
    line = np.zeros((50, 50), bool)
    line[20] = True
    assert surface_area(np.moveaxis(scan(np.zeros((50, 50))), -1, 0), line) == 0
    np.testing.assert_array_equal(inner(line), line)


def test_the_inner_part_is_what_has_four_neighbors() -> None:
    part = np.random.default_rng(0).random((30, 40)) < 0.95
    padded = np.pad(part, 1)
    expected = part & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    np.testing.assert_array_equal(inner(part), expected)


def test_holes_that_were_not_measured_count_and_holes_that_show_the_table_do_not() -> None:
    _, part = dome()
    x, y = places(part.shape)
    hole = np.hypot(x, y) < 0.01
    ring = part & ~hole
    everything = np.ones_like(part)
    assert measured_share(ring, everything) == 1
    assert measured_share(ring, ~hole) == pytest.approx(ring.sum() / part.sum(), abs=0.01)


@pytest.mark.parametrize("cut, share", [(0, 0.0), (1, 0.25), (3, 0.75)])
def test_the_share_of_the_outline_on_the_edges(cut: int, share: float) -> None:
    assert border_share(np.ones((20, 20), bool), tuple(number < cut for number in range(4))) == share
