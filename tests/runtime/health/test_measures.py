"""Measures carry their units, are None where they cannot be taken, and follow what happens to sensor and table."""

from dataclasses import replace

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.health.measures import KINDS, SENSOR_MEASURES, baseline_of, measures_of
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.preparation.part_view import PartView
from cmdiad.runtime.preparation.prepare import prepare

RAW = Preprocessing(plane="always", side="origin")


def raw_scan(distance_m=0.5, tilt_deg=0.0, noise_m=2e-5, seed=0):
    """A box of 40 x 40 x 20 mm on a table, seen from above: (120, 120, 3) float32, metres."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-0.06, 0.06, 120), np.linspace(-0.06, 0.06, 120))
    z = distance_m + np.tan(np.radians(tilt_deg)) * x - 0.02 * ((np.abs(x) < 0.02) & (np.abs(y) < 0.02))
    return np.stack([x, y, z + rng.normal(0, noise_m, z.shape)], axis=-1).astype(np.float32)


def view_of_scan(**changes) -> PartView:
    view = prepare(raw_scan(**changes), RAW).view
    assert view is not None
    return view


@pytest.fixture(scope="module")
def views():
    return [view_of_scan(seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def baseline(views):
    return baseline_of(views, [(0.0, 0.0, 0.0)] * len(views), [1.0, 2.0, 3.0, 4.0])


def test_a_scan_has_every_measure_but_those_of_images(views, baseline):
    measured = measures_of(views[0], plane_normal=baseline.plane_normal)
    assert tuple(measured) == SENSOR_MEASURES
    assert {name for name, value in measured.items() if value is None} == {
        name for name in SENSOR_MEASURES if name.endswith("_px")
    }
    assert measured["plane_distance_m"] == pytest.approx(0.5, abs=1e-4)
    assert measured["depth_near_m"] == pytest.approx(0.48, abs=1e-3)
    assert measured["plane_rms_m"] == pytest.approx(2e-5, rel=0.3)
    assert measured["missing_share"] == pytest.approx(0, abs=0.02)
    assert measured["part_area_m2"] == pytest.approx(1.6e-3, rel=0.1)


def test_an_image_has_pixels_and_no_lengths():
    kept = np.zeros((50, 60), bool)
    kept[10:20, 30:50] = True
    measured = measures_of(view_image(kept))
    known = {name: value for name, value in measured.items() if value is not None}
    assert known.keys() == {name for name in SENSOR_MEASURES if name.endswith("_px")}
    assert known["part_area_px"] == 200 and known["part_row_px"] == 14 and known["part_column_px"] == 39


def test_a_table_that_tilts_and_moves_away_is_measured_with_its_sign(baseline):
    measured = measures_of(view_of_scan(distance_m=0.51, tilt_deg=0.5), plane_normal=baseline.plane_normal)
    assert abs(measured["plane_tilt_x_deg"]) == pytest.approx(0.5, abs=0.02)
    assert measured["plane_tilt_y_deg"] == pytest.approx(0, abs=0.02)
    assert measured["plane_distance_m"] == pytest.approx(0.51, abs=2e-4)
    other = measures_of(view_of_scan(tilt_deg=-0.5), plane_normal=baseline.plane_normal)
    assert other["plane_tilt_x_deg"] == pytest.approx(-measured["plane_tilt_x_deg"], abs=0.03)


@pytest.mark.parametrize("normal", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_tilts_are_told_whichever_way_the_plane_faces(views, normal):
    turned = np.roll(np.array([np.cos(0.01), np.sin(0.01), 0.0]), int(np.argmax(normal)))
    view = replace(views[0], plane_normal=tuple(turned.tolist()))
    measured = measures_of(view, plane_normal=normal)
    tilts = (measured["plane_tilt_x_deg"], measured["plane_tilt_y_deg"])
    assert np.hypot(*tilts) == pytest.approx(np.degrees(0.01), rel=1e-3)
    assert measures_of(view)["plane_tilt_x_deg"] is None


def test_positions_are_in_the_files_coordinates(views):
    near, far = measures_of(views[0]), measures_of(views[0], (100.0, 200.0, 300.0))
    moved = {name: far[name] - near[name] for name in ("part_x_m", "part_y_m", "part_z_m", "depth_near_m")}
    assert moved == pytest.approx({"part_x_m": 100, "part_y_m": 200, "part_z_m": 300, "depth_near_m": 300})


def test_the_baseline_has_the_statistics_of_what_was_measured(views, baseline):
    assert baseline.measures["score"].mean == 2.5 and baseline.measures["score"].n == 4
    distances = [measures_of(view)["plane_distance_m"] for view in views]
    told = baseline.measures["plane_distance_m"]
    assert told.values == distances and told.std == pytest.approx(np.std(distances, ddof=1))
    assert np.linalg.norm(baseline.plane_normal) == pytest.approx(1)
    assert baseline.measures.keys() < KINDS.keys() and "part_row_px" not in baseline.measures


def test_without_a_plane_there_is_no_tilt(views):
    bare = [replace(view, plane_normal=None, plane_origin_m=None, plane_rms_m=None) for view in views]
    baseline = baseline_of(bare, [(0.0, 0.0, 0.0)] * len(bare), [1.0] * len(bare))
    assert baseline.plane_normal is None and "plane_rms_m" not in baseline.measures
    assert "missing_share" in baseline.measures
