"""Numbers that cannot be metres, or what a unit makes of them, are refused with the unit that would fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import WITH_A_BUNDLE, ScanError, UsageError
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.sensor.units import checked_unit


def scene(width: float) -> Any:
    """A rough surface of this width, twice as far away: (30, 40, 3) float64."""
    y, x = np.mgrid[:30, :40] / 39 * width
    return np.dstack([x, y, np.random.default_rng(0).normal(2 * width, 0.01 * width, x.shape)])


def save(folder: Path, points: Any) -> Path:
    np.save(folder / "scan.npy", points)
    return folder / "scan.npy"


@pytest.mark.parametrize("metres", [0.002, 0.01, 0.1, 1.0, 5.0, 9.0])
def test_scenes_in_metres_are_read_without_a_unit(tmp_path: Path, metres: float) -> None:
    scan = read_scan(save(tmp_path, scene(metres)))
    np.testing.assert_allclose(scan.points + scan.origin, scene(metres), atol=1e-6)


@pytest.mark.parametrize("metres", [0.015, 0.1, 1.0, 5.0])
def test_scenes_in_millimetres_without_a_unit_are_called_that(tmp_path: Path, metres: float) -> None:
    path = save(tmp_path, scene(1000 * metres))
    with pytest.raises(ScanError, match=r"if its numbers are meters: they (may be|look like) millimeters \(.* 0\.001"):
        read_scan(path)
    np.testing.assert_array_equal(read_scan(path, 0.001).points, (scene(1000 * metres) * 0.001).astype(np.float32))


def test_a_hall_is_read_if_its_unit_is_said(tmp_path: Path) -> None:
    path = save(tmp_path, scene(25.0))
    with pytest.raises(ScanError, match=f"25 m across .*, or 1 if they are meters{WITH_A_BUNDLE}$"):
        read_scan(path)
    assert read_scan(path, 1.0).points.shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("metres", "unit", "stored_in", "says"),
    [
        (0.3, 1.0, 0.001, "may be millimeters (300 mm across), centimeters (3 m across) or inches (7.62 m across)"),
        (0.3, 1.0, 0.001, "give --metres-per-unit 0.001, 0.01 or 0.0254 ("),
        (0.6, None, 0.01, "millimeters (60 mm across), centimeters (600 mm across) or inches (1.52 m across)"),
        (0.6, None, 0.0254, "millimeters (23.6 mm across), centimeters (236 mm across) or inches (600 mm across)"),
        (0.3, 0.001, 1.0, "may be meters (300 mm across), centimeters (3 mm across) or inches (7.62 mm across)"),
        (0.3, 0.001, 1e-6, "may be micrometers (300 mm across) or hundredths of a millimeter (3 m across)"),
        (3.0, None, 1e-6, "look like micrometers (3 m across); give --metres-per-unit 1e-06 ("),
    ],
)
def test_a_unit_that_cannot_be_is_refused_with_those_that_can(
    tmp_path: Path, metres: float, unit: float | None, stored_in: float, says: str
) -> None:
    with pytest.raises(ScanError, match=re.escape(says)):
        read_scan(save(tmp_path, scene(metres / stored_in)), unit)


@pytest.mark.parametrize(("metres", "unit"), [(1e-5, None), (1e-12, 1e-3), (3e7, 1.0)])
def test_where_no_unit_fits_the_sensor_is_to_be_checked(tmp_path: Path, metres: float, unit: float | None) -> None:
    with pytest.raises(ScanError, match=r"m across .*no usual unit fits; check the sensor"):
        read_scan(save(tmp_path, scene(metres / (unit or 1.0))), unit)


def test_strays_do_not_make_a_scene_large(tmp_path: Path) -> None:
    points = scene(0.2)
    points[0, :5] = np.random.default_rng(0).normal(0, 300, (5, 3))
    np.testing.assert_array_equal(read_scan(save(tmp_path, points)).points, points.astype(np.float32))


@pytest.mark.parametrize("unit", [0.0, -0.001, float("nan"), float("inf"), -float("inf")])
def test_a_unit_is_a_positive_number_wherever_it_enters(tmp_path: Path, unit: float) -> None:
    with pytest.raises(UsageError, match="give a positive number"):
        checked_unit(unit)
    with pytest.raises(UsageError, match="give a positive number"):
        read_scan(save(tmp_path, scene(1.0)), unit)
    with pytest.raises(ValueError, match=r"metres_per_unit is .* must be positive"):
        Preprocessing(metres_per_unit=unit)
