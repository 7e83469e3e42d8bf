"""Constants that stand for missing points are refused by name; real measurements never are."""

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


def scene(noise: float = 5e-5) -> Any:
    """A table half a metre away with a box on it: (40, 50, 3) float64, metres."""
    y, x = np.mgrid[:40, :50] * 0.002
    z = 0.5 + np.random.default_rng(0).normal(0, noise, x.shape)
    z[10:30, 15:35] -= 0.03
    return np.dstack([x - 0.05, y - 0.04, z])


def save(folder: Path, points: Any) -> Path:
    np.save(folder / "scan.npy", points)
    return folder / "scan.npy"


MARKS = [-999, -9999, -99999, -32768, 9999, 99999, 32767, 65535, -9.999, -32.768, 65.535]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("axes", [[2], [0, 1, 2]], ids=["depth", "all"])
@pytest.mark.parametrize("n", [1, 7, 900])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_mark_is_refused_with_its_value_and_how_many_carry_it(
    tmp_path: Path, mark: float, axes: list[int], n: int, dtype: Any
) -> None:
    points = scene().astype(dtype)
    for axis in axes:
        points.reshape(-1, 3)[:n, axis] = mark
    with pytest.raises(ScanError, match=rf"has {mark:g} as a coordinate of {n} of its 2000 points.*save these as NaN"):
        read_scan(save(tmp_path, points))


@pytest.mark.parametrize(
    ("dtype", "mark"), [("int16", -32768), ("uint16", 65535), ("int32", -(2**31)), ("int16", -9999)]
)
def test_a_mark_among_millimetres_in_integers_is_refused(tmp_path: Path, dtype: str, mark: int) -> None:
    points = np.rint(1000 * (scene() + np.array([0.05, 0.04, 0]))).astype(dtype)
    points[:3, :4, 2] = mark
    with pytest.raises(ScanError, match=r"of 12 of its (2000|1999) points"):
        read_scan(save(tmp_path, points), 0.001)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int32"])
def test_a_scene_through_every_mark_is_read(tmp_path: Path, dtype: str) -> None:
    """Numbers that happen to be marks, but lie among others as measurements do."""
    y, x = np.mgrid[-100:101, -100:101] * 99.99
    points = np.rint(np.dstack([x, y, 5000 + 0.1 * x])).astype(dtype)
    points[..., 0].flat[:4] = -9999
    assert read_scan(save(tmp_path, points), 1e-4).points.shape == (201, 201, 3)


@settings(max_examples=40, deadline=None)
@given(st.floats(0.001, 3), st.integers(0, 2**32 - 1), st.sampled_from(["float16", "float32", "float64"]))
def test_no_measured_scene_is_refused(
    tmp_path_factory: pytest.TempPathFactory, size: float, seed: int, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    points = ((rng.random((12, 14, 3)) - rng.random(3)) * (size + 0.002)).astype(dtype)
    read = read_scan(save(tmp_path_factory.mktemp("scan"), points)).points
    np.testing.assert_array_equal(read, points.astype(np.float32))


@pytest.mark.parametrize("share", [0.03, 0.3, 1.0])
def test_a_point_that_the_pixels_repeat_is_refused(tmp_path: Path, share: float) -> None:
    points = scene()
    points.reshape(-1, 3)[: round(share * 2000)] = (0.01, 0.02, 0.4)
    with pytest.raises(
        ScanError, match=rf"same point, \(0.01, 0.02, 0.4\) m, in {share:.0%} .*frozen.*save these as NaN"
    ):
        read_scan(save(tmp_path, points))


def test_coarse_integers_repeat_points_without_being_refused(tmp_path: Path) -> None:
    """0.1 mm between pixels, whole millimetres: 70 pixels share a point."""
    y, x = np.mgrid[:300, :300] * 0.1
    points = np.rint(np.dstack([x, y, 400 + 0.3 * x])).astype(np.int16)
    assert len(np.unique(points.reshape(-1, 3), axis=0)) < 1300
    assert read_scan(save(tmp_path, points), 0.001).points.shape == (300, 300, 3)


def test_marks_that_few_columns_carry_are_seen_in_a_large_scan(tmp_path: Path) -> None:
    y, x = np.mgrid[:1000, :1000] * 2e-4
    points = np.dstack([x, y, np.random.default_rng(0).normal(0.5, 1e-4, x.shape)]).astype(np.float32)
    points[:, 505:520] = (0.1, 0.1, 0.9)
    with pytest.raises(ScanError, match="same point"):
        read_scan(save(tmp_path, points))


def test_a_point_is_measured_up_to_the_bound_and_not_beyond() -> None:
    points = np.array([[[1e8, 0, 0], [np.nextafter(1e8, 2e8), 0, 0]], [[0, 0, -1e8], [0, -1.01e8, 1]]])
    np.testing.assert_array_equal(valid_mask(points), [[True, False], [True, False]])
