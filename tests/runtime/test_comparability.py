"""What a sensor delivers otherwise than at calibration is said with the verdict, and what is alike stays unsaid."""

from dataclasses import replace

import numpy as np
import pytest
from cmdiad.runtime.comparability import differences, whole_part_note
from cmdiad.runtime.health.measures import baseline_of
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.preparation.part_range import range_of
from cmdiad.runtime.preparation.part_view import PartView
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.scan import read_scan

NEAR = (0.0, 0.0, 0.0)
VIEW = PartView(
    part_pixels=4000,
    diameter_px=80.0,
    diameter_m=0.08,
    area_m2=0.004,
    center_m=(0.001, -0.002, 0.4),
    row=100,
    column=100,
    on_plane=True,
    clearance_m=0.0,
    inspected_share=1.0,
    measured_share=1.0,
    touches_border=0.0,
    other_objects=(),
    plane_rms_m=1e-4,
    empty_margin=3,
    plane_normal=(0.0, 0.0, -1.0),
    plane_origin_m=0.42,
    depth_m=(0.39, 0.41),
    grid=(200, 240),
)
NORMAL = [VIEW, replace(VIEW, center_m=(0.004, 0.002, 0.401), diameter_px=83.0, diameter_m=0.082)]
EXPECTED = range_of(NORMAL)
HEALTH = baseline_of(NORMAL, [NEAR, NEAR], [1.0, 2.0])


@pytest.fixture(scope="module")
def scans(synth_data):
    return find_scans([synth_data / "gland" / "train" / "good"])


def said(**changes):
    return differences(replace(VIEW, **changes), NEAR, EXPECTED, HEALTH)


def test_a_scan_like_calibrations_gets_no_note():
    assert said() == said(center_m=(0.02, 0.01, 0.41), diameter_px=90.0, grid=(210, 235)) == ()


def test_what_is_not_known_is_not_compared():
    assert differences(replace(VIEW, grid=None, plane_normal=None, center_m=None), NEAR, EXPECTED, HEALTH) == ()
    assert differences(replace(VIEW, grid=(9, 9), plane_normal=(1.0, 0.0, 0.0)), NEAR, None, None) == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid": (200, 400)}, "the scan has 200 x 400 pixels, and calibration's had 200 x 240"),
        ({"grid": (67, 80), "diameter_px": 27.0}, "pixels a millimeter"),
        ({"plane_normal": (0.0, 0.0, 1.0)}, "turned by 180 degrees"),
        ({"plane_normal": (0.0, -1.0, 0.0)}, "turned by 90 degrees"),
        ({"center_m": (0.001, -0.002, -0.4)}, "z = -400 mm (calibration: 400 to 401 mm)"),
    ],
)
def test_another_grid_resolution_or_frame_is_said_with_both_figures(changes, words):
    assert words in " ".join(said(**changes))


def test_the_files_coordinates_count_and_not_what_was_subtracted_from_them():
    moved = replace(VIEW, center_m=(0.001, -0.002, 0.0))
    assert differences(moved, (0.0, 0.0, 0.4), EXPECTED, HEALTH) == ()


def test_a_map_that_marks_almost_the_whole_part_is_doubted():
    valid = np.zeros((10, 10), bool)
    valid[2:8, 2:8] = True
    heat = np.where(valid, 2.0, 0.0).astype(np.float32)
    (note,) = whole_part_note(heat, valid, 1.0)
    assert note.startswith("100% of the part") and "product" in note
    heat[2:8, 4:8] = 0.5
    assert whole_part_note(heat, valid, 1.0) == ()
    assert whole_part_note(heat, np.zeros_like(valid), 1.0) == ()


def test_an_inspection_says_that_its_scan_was_padded_and_why_that_matters(calibrated_bundle, scans):
    points = read_scan(scans[0]).points
    with Inspector.load(calibrated_bundle, threads=1) as inspector:
        alike = inspector.inspect(points)
        padded = inspector.inspect(np.pad(points, ((0, 60), (0, 60), (0, 0))))
    assert not any("pixels" in note for note in alike.notes)
    assert any("260 x 260 pixels, and calibration's had 200 x 200" in note for note in padded.as_json()["notes"])
