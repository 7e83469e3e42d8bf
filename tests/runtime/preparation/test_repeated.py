"""A sensor that repeats itself is refused as that, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.preparation.repeated import refuse_repeated
from hypothesis import given, settings
from hypothesis import strategies as st

from .scenes import Points, dome, scan


def checked(points: Points) -> None:
    refuse_repeated(np.ascontiguousarray(np.moveaxis(points, -1, 0)), points.any(axis=-1))


def frozen(shape: tuple[int, int] = (400, 400)) -> Points:
    points = np.zeros((*shape, 3), np.float32)
    points[100:220, 100:220] = (0.01, 0.02, 0.4)
    return points


def test_a_frozen_sensor_is_refused_with_its_point() -> None:
    with pytest.raises(ScanError, match=r"14400 of 14400 measured points are the same point \(0.01, 0.02, 0.4\) m"):
        prepare(frozen(), STRUCTURED_LIGHT)


def test_two_alternating_points_are_refused() -> None:
    points = frozen()
    points[100:220:2, 100:220] = (0.05, 0.02, 0.4)
    with pytest.raises(ScanError, match="7200 of 14400 measured points are the same"):
        checked(points)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_repeated_line_is_refused(axis: int) -> None:
    points = scan(dome((300, 200))[0])
    repeated = np.broadcast_to(points.take([7], axis=axis), points.shape).copy()
    with pytest.raises(ScanError, match=rf"60000 points were measured, of which only {(200, 300)[axis]} are distinct"):
        checked(repeated)


def test_a_constant_that_marks_missing_points_is_refused() -> None:
    points = scan(dome()[0])
    points[:, :40] = -9999
    with pytest.raises(ScanError, match=r"6400 of 25600 .*\(-9999, -9999, -9999\).*zero or NaN"):
        checked(points)


def test_a_plane_of_duplicates_beside_a_real_part_is_refused() -> None:
    height, part = dome()
    points = scan(height)
    points[~part] = (0.01, 0.02, 0.5)
    with pytest.raises(ScanError, match="are the same point"):
        prepare(points, STRUCTURED_LIGHT)


@pytest.mark.parametrize("times", [2, 5])
def test_a_scan_whose_pixels_were_repeated_to_enlarge_it_passes(times: int) -> None:
    checked(scan(dome((80, 80))[0]).repeat(times, axis=0).repeat(times, axis=1))


def test_whole_millimetres_pass() -> None:
    checked(np.round(scan(dome()[0]), 3))


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), seed=st.integers(0, 1000), share=st.floats(0.05, 1))
@settings(max_examples=40, deadline=None)
def test_distinct_points_pass_however_few(rows: int, columns: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 1, (rows, columns, 3)).astype(np.float32)
    points[rng.random((rows, columns)) > share] = 0
    checked(points)
