"""The clouds of the 3D view: thinned, centered, and kept for the newest results only."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.service.web.clouds import Clouds, thinned


def _plate(height: int, width: int) -> tuple[Any, Any, Any]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    points = np.stack([1.0 + columns * 1e-3, rows * 1e-3, np.full_like(rows, 0.4)], -1)
    return points, np.ones((height, width), bool), np.zeros((height, width), np.float32)


def _inspection(height: int = 20, width: int = 30) -> Any:
    points, valid, map_hw = _plate(height, width)
    return SimpleNamespace(points=points, valid=valid, map=map_hw, pixel_threshold=2.0)


def _record(number: int) -> Any:
    return SimpleNamespace(number=number)


def test_a_small_scan_keeps_every_point_of_the_part() -> None:
    points, valid, map_hw = _plate(20, 30)
    valid[:, :5] = False
    map_hw[3, 7] = 4.0
    cloud = thinned(points, valid, map_hw, 2.0)
    assert cloud.dtype == np.dtype("<f4") and cloud.shape == (20 * 25, 4)
    assert np.abs(cloud[:, :3].mean(axis=0)).max() < 1e-6
    assert cloud[3 * 25 + 2, 3] == 2.0 and np.count_nonzero(cloud[:, 3]) == 1
    assert np.ptp(cloud[:, 0]) == pytest.approx(0.024, rel=1e-4)


@pytest.mark.parametrize(("height", "width", "most"), [(200, 300, 1000), (400, 400, 40_000), (31, 997, 500)])
def test_a_large_scan_is_thinned_to_the_limit_but_not_far_below(height: int, width: int, most: int) -> None:
    cloud = thinned(*_plate(height, width), 1.0, most=most)
    assert most / 3 < len(cloud) <= most


def test_thinning_keeps_the_largest_anomaly_of_a_single_pixel() -> None:
    points, valid, map_hw = _plate(200, 300)
    map_hw[101, 151] = 6.0
    assert thinned(points, valid, map_hw, 2.0, most=1000)[:, 3].max() == 3.0


def test_anomalies_beside_the_part_and_numbers_that_are_none_do_not_count() -> None:
    points, valid, map_hw = _plate(20, 30)
    valid[5, 5], map_hw[5, 5] = False, 9.0
    map_hw[6, 6] = np.nan
    points[7, 7] = np.nan
    cloud = thinned(points, valid, map_hw, 2.0)
    assert len(cloud) == 20 * 30 - 2 and np.isfinite(cloud).all() and cloud[:, 3].max() == 0


def test_a_scan_without_a_part_has_an_empty_cloud() -> None:
    points, valid, map_hw = _plate(4, 4)
    assert thinned(points, ~valid, map_hw, 1.0).shape == (0, 4)


def test_clouds_are_kept_for_the_newest_results() -> None:
    clouds = Clouds(most=2)
    for number in (1, 2, 3):
        clouds.keep(_record(number), _inspection())
        assert clouds.points(number, 10) is not None
    assert clouds.points(1) is None
    content = clouds.points(3)
    assert content is not None and len(content) == 20 * 30 * 16


def test_results_without_a_scan_have_none() -> None:
    clouds = Clouds()
    clouds.keep(_record(1), None)
    image = _inspection()
    image.points = None
    clouds.keep(_record(2), image)
    assert clouds.points(1) is None and clouds.points(2) is None


def test_a_scan_that_cannot_be_thinned_is_said_and_the_next_is_made(caplog: pytest.LogCaptureFixture) -> None:
    clouds = Clouds()
    broken = _inspection()
    broken.points = broken.points[:3]
    clouds.keep(_record(1), broken)
    clouds.keep(_record(2), _inspection())
    assert clouds.points(2, 10) is not None and clouds.points(1) is None
    assert "part 1 has no 3D view" in caplog.text
