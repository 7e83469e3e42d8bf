"""Pixel pitch, noise, missing points and the table are measured as they are, whatever the sensor's scale."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.calibration.sensor_fit.scan_measures import measure_scan, pixel_pitch
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.errors import ScanError

from .tables import TILT_DEG, table_scan


@pytest.mark.parametrize(
    ("pitch", "noise"), [(2e-5, 1e-6), (3e-4, 3e-5), (3e-4, 2e-4), (2e-3, 2e-3), (2e-4, 8e-4), (1e-2, 5e-3)]
)
def test_a_sensor_is_measured_at_any_scale(pitch: float, noise: float) -> None:
    measure = measure_scan(table_scan(pitch, noise)[0], STRUCTURED_LIGHT)
    assert measure.table is not None
    assert measure.pitch_m == pytest.approx(pitch, rel=0.05)
    assert measure.table.noise_m == pytest.approx(noise, rel=0.1)
    assert measure.table.tilt_deg == pytest.approx(TILT_DEG, abs=1.0)
    assert measure.table.distance_m == pytest.approx(1000 * pitch * np.cos(np.deg2rad(TILT_DEG)), rel=0.01)
    assert measure.missing_share == pytest.approx(0.02, abs=0.005)
    assert (measure.height, measure.width) == (120, 160)


def test_a_scan_without_its_table_has_no_noise_to_measure() -> None:
    points, part = table_scan(3e-4, 3e-5)
    measure = measure_scan(points * part[..., None], STRUCTURED_LIGHT)
    assert measure.table is None and measure.border_share == 0 and measure.pitch_m > 0


def test_a_scan_of_nothing_is_refused() -> None:
    with pytest.raises(ScanError, match="no measured point"):
        measure_scan(np.zeros((20, 20, 3), np.float32), STRUCTURED_LIGHT)


def test_of_rows_farther_apart_than_columns_the_rows_count() -> None:
    grid = np.dstack([*np.meshgrid(np.arange(30) * 0.001, np.arange(20) * 0.005), np.ones((20, 30))])
    assert pixel_pitch(grid.astype(np.float32)) == pytest.approx(0.005, rel=1e-4)


def test_one_row_has_a_pitch_too() -> None:
    assert pixel_pitch(np.array([[[0, 0, 1], [0.5, 0, 1]]], np.float32)) == 0.5
