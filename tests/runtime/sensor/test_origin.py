"""Scans far from the origin keep their digits, those near it their bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.sensor.scan import read_scan
from hypothesis import given, settings
from hypothesis import strategies as st

PITCH_M = 5e-4


def scene(offset: tuple[float, float, float] = (0, 0, 0)) -> Any:
    """A rough surface, (20, 30, 3) float64 metres."""
    y, x = np.mgrid[:20, :30] * PITCH_M
    points = np.dstack([x, y, np.random.default_rng(0).normal(0.5, 1e-4, x.shape)])
    return points + np.array(offset)


def with_holes(points: Any) -> Any:
    points[2, 3:6] = 0
    points[7, 7] = np.nan
    points[9, 1, 2] = np.inf
    return points


def save(folder: Path, points: Any) -> Path:
    np.save(folder / "scan.npy", points)
    return folder / "scan.npy"


OFFSETS = st.floats(-1e7, 1e7) | st.floats(-100, 100) | st.sampled_from([16.0, -16.0, 1e5, 5e6])


@settings(max_examples=60, deadline=None)
@given(st.tuples(OFFSETS, OFFSETS, OFFSETS), st.sampled_from([None, 1.0, 0.001]))
def test_points_and_origin_together_are_the_file_s(
    tmp_path_factory: pytest.TempPathFactory, offset: tuple[float, float, float], unit: float | None
) -> None:
    in_metres = with_holes(scene(offset))
    stored = in_metres if unit is None else in_metres / unit
    scan = read_scan(save(tmp_path_factory.mktemp("scan"), stored), unit)
    measured = np.isfinite(in_metres).all(axis=2) & in_metres.any(axis=2)
    np.testing.assert_array_equal(valid_mask(scan.points), measured)
    assert not scan.points[~measured].any()
    np.testing.assert_allclose((scan.points + scan.origin)[measured], in_metres[measured], rtol=0, atol=1e-6)
    assert np.abs(scan.points).max() < 17
    assert not (scan.origin % 16).any()
    far = np.abs(np.median(in_metres[measured], axis=0)) >= 16
    np.testing.assert_array_equal(scan.origin != 0, far)


def test_only_the_axes_that_are_far_are_moved(tmp_path: Path) -> None:
    points = scene(offset=(1e5, -2e6, 0))
    scan = read_scan(save(tmp_path, points))
    np.testing.assert_array_equal(scan.origin, [1e5, -2e6, 0])
    np.testing.assert_array_equal(scan.points[..., 2], points[..., 2].astype(np.float32))


@pytest.mark.parametrize("offset", [0.0, 8.0, 15.9, -15.9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scans_near_the_origin_keep_their_bytes(tmp_path: Path, offset: float, dtype: Any) -> None:
    points = (scene(offset=(0, 0, offset - 0.5))).astype(dtype)
    scan = read_scan(save(tmp_path, points))
    assert not scan.origin.any()
    assert scan.points.tobytes() == points.astype(np.float32).tobytes()


def test_a_measured_point_at_the_origin_is_not_missing(tmp_path: Path) -> None:
    points = with_holes(scene(offset=(1600, 1600, 1600)))
    points[4, 4] = 1600
    scan = read_scan(save(tmp_path, points))
    np.testing.assert_array_equal(scan.origin, [1600, 1600, 1600])
    np.testing.assert_allclose(scan.points[4, 4], [0, 0, 1e-7])
    assert valid_mask(scan.points).sum() == 600 - 5


def test_integers_far_away_keep_their_digits(tmp_path: Path) -> None:
    points = np.rint((scene(offset=(1e5, 2e6, 0))) * 1e4).astype(np.int64)
    scan = read_scan(save(tmp_path, points), 1e-4)
    np.testing.assert_allclose(scan.points + scan.origin, points * 1e-4, rtol=0, atol=3e-7)


@pytest.mark.parametrize("unit", [None, 0.001])
@pytest.mark.parametrize("dtype", ["float32", "float64 that was float32"])
@pytest.mark.parametrize("offset", [600.0, 1e4, 1e5, -5e6])
def test_digits_that_the_file_lost_are_refused_with_numbers(
    tmp_path: Path, unit: float | None, dtype: str, offset: float
) -> None:
    stored = ((scene(offset=(offset, 0, 0))) / (unit or 1.0)).astype(np.float32)
    path = save(tmp_path, stored if dtype == "float32" else stored.astype(np.float64))
    says = rf"stored in float32 {abs(round(offset / 16) * 16):.0f} m from the origin, where numbers are .* mm apart"
    with pytest.raises(ScanError, match=f"{says}, and neighboring pixels .* mm: save float64, or subtract"):
        read_scan(path, unit)


def test_the_numbers_told_are_the_steps_and_the_pixels(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"where numbers are 0\.12 mm apart, and neighboring pixels 0\.5 mm"):
        read_scan(save(tmp_path, (scene(offset=(0, 1600, 0))).astype(np.float32)))


@pytest.mark.parametrize("offset", [20.0, 100.0, 300.0])
def test_floats_that_are_fine_enough_are_read(tmp_path: Path, offset: float) -> None:
    points = (scene(offset=(offset, 0, 0))).astype(np.float32)
    scan = read_scan(save(tmp_path, points))
    np.testing.assert_array_equal(scan.points + scan.origin, points.astype(np.float64))
