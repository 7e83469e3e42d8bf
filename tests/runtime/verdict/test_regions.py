"""Where defects are and how large: known rectangles on a tilted plane are measured right."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.files.json_encoding import encode_json
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.verdict.regions import MOST_REGIONS, DefectRegion, PixelBox, find_regions

SHAPE = (80, 120)
PITCH = 5e-4
TILT = np.deg2rad(30)
ORIGIN = (1600.0, -320.0, 0.0)
ALL = np.ones(SHAPE, bool)


def tilted_plane() -> Any:
    """Pixels are `PITCH` apart along rows and along columns, on a surface that turns away from the sensor."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] * PITCH
    return np.stack([columns * np.cos(TILT), rows, 0.5 + columns * np.sin(TILT)], axis=-1).astype(np.float32)


def marked(*boxes: tuple[int, int, int, int], level: float = 2.0) -> Any:
    """A map of zeros with rectangles of (row, column, height, width), each a little higher than the one before."""
    map_hw = np.zeros(SHAPE, np.float32)
    for number, (row, column, height, width) in enumerate(boxes):
        map_hw[row : row + height, column : column + width] = level + 0.25 * number
    return map_hw


def only(map_hw: Any, points: Any, **more: Any) -> DefectRegion:
    (region,) = find_regions(map_hw, ALL, 1.0, points, **more)
    return region


def lengths(region: DefectRegion) -> tuple[float, float]:
    assert region.length_m is not None and region.width_m is not None
    return region.length_m, region.width_m


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (24, 24), (2, 50)])
def test_a_rectangle_has_its_size_place_and_area(height: int, width: int) -> None:
    map_hw, points = marked((20, 40, height, width)), tilted_plane()
    map_hw[21, 47] = 5.0
    region = only(map_hw, points)
    assert lengths(region) == pytest.approx((max(height, width) * PITCH, min(height, width) * PITCH), abs=0.6 * PITCH)
    assert region.area_m2 == pytest.approx(height * width * PITCH**2, rel=1e-3)
    center = points[20 : 20 + height, 40 : 40 + width].reshape(-1, 3).mean(axis=0, dtype=np.float64)
    assert region.center_m == pytest.approx(tuple(center), abs=1e-6)
    assert (region.peak_row, region.peak_column, region.peak_score) == (21, 47, 5.0)
    assert region.peak_m == pytest.approx(tuple(points[21, 47].astype(float)), abs=1e-6)
    assert region.box == PixelBox(20, 40, height, width)
    assert region.pixels == region.measured_pixels == height * width
    assert (region.number, region.of) == (1, 1)


def test_a_rectangle_that_is_turned_in_the_picture_is_measured_along_its_own_sides() -> None:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] - np.array([40, 60])[:, None, None]
    along, across = (columns + rows) / math.sqrt(2), (columns - rows) / math.sqrt(2)
    map_hw = np.where((abs(along) <= 20) & (abs(across) <= 6), 2.0, 0.0).astype(np.float32)
    region = only(map_hw, tilted_plane())
    assert lengths(region) == pytest.approx((41 * PITCH, 13 * PITCH), abs=1.5 * PITCH)


def test_a_square_is_not_measured_along_its_diagonal() -> None:
    points = tilted_plane()
    points[..., 2] += np.random.default_rng(0).normal(scale=1e-5, size=SHAPE).astype(np.float32)
    assert lengths(only(marked((10, 10, 40, 40)), points)) == pytest.approx((40 * PITCH, 40 * PITCH), rel=0.04)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 20), (20, 1)])
def test_a_scratch_and_a_single_pixel_have_the_width_and_area_of_a_pixel(height: int, width: int) -> None:
    region = only(marked((20, 40, height, width)), tilted_plane())
    assert lengths(region) == pytest.approx((max(height, width) * PITCH, PITCH), rel=1e-2)
    assert region.area_m2 == pytest.approx(height * width * PITCH**2, rel=1e-2)


def test_places_are_in_the_files_coordinates() -> None:
    near, far = (
        only(marked((20, 40, 9, 9)), tilted_plane()),
        only(marked((20, 40, 9, 9)), tilted_plane(), origin=ORIGIN),
    )
    for here, there in ((near.center_m, far.center_m), (near.peak_m, far.peak_m)):
        assert here is not None and there is not None
        assert np.subtract(there, here) == pytest.approx(ORIGIN, abs=1e-9)
    assert (near.length_m, near.area_m2) == (far.length_m, far.area_m2)


def test_regions_that_touch_at_a_corner_are_one_and_others_come_by_their_peaks() -> None:
    first, second = find_regions(marked((5, 5, 4, 4), (30, 30, 5, 5), (35, 35, 5, 5)), ALL, 1.0, tilted_plane())
    assert (first.pixels, first.box, first.peak_score, first.of) == (50, PixelBox(30, 30, 10, 10), 2.5, 2)
    assert (second.number, second.pixels, second.peak_score) == (2, 16, 2.0)


def test_equal_peaks_come_in_reading_order() -> None:
    map_hw = np.minimum(marked((40, 5, 3, 3), (5, 60, 3, 3), (5, 5, 3, 3)), np.float32(2))
    assert [region.box.row * 100 + region.box.column for region in find_regions(map_hw, ALL, 1.0)] == [505, 560, 4005]


def test_pixels_beside_the_part_and_at_the_threshold_are_in_no_region() -> None:
    valid = ALL.copy()
    valid[:, 50:] = False
    (region,) = find_regions(marked((20, 40, 10, 30)), valid, 1.0, tilted_plane())
    assert region.box == PixelBox(20, 40, 10, 10)
    assert find_regions(marked((20, 40, 10, 30)), ALL, 2.0, tilted_plane()) == ()


def test_more_regions_than_are_described_are_counted() -> None:
    map_hw = np.zeros(SHAPE, np.float32)
    map_hw[::4, ::4] = 2.0
    map_hw[76, 116] = 3.0
    regions = find_regions(map_hw, ALL, 1.0, tilted_plane())
    assert len(regions) == MOST_REGIONS and {region.of for region in regions} == {600}
    assert (regions[0].peak_row, regions[0].peak_column) == (76, 116)
    assert [region.number for region in regions] == list(range(1, MOST_REGIONS + 1))


def test_an_image_alone_has_pixels_and_no_lengths() -> None:
    region = only(marked((20, 40, 10, 30)), None)
    assert (region.pixels, region.measured_pixels, region.box) == (300, 0, PixelBox(20, 40, 10, 30))
    assert {region.peak_m, region.center_m, region.length_m, region.width_m, region.area_m2} == {None}


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_points_that_are_missing_are_said_and_never_become_numbers(missing: float) -> None:
    points, map_hw = tilted_plane(), marked((20, 40, 10, 30))
    points[20:25, 40:70] = missing
    map_hw[20, 40] = 9.0
    region = only(map_hw, points)
    assert (region.pixels, region.measured_pixels, region.peak_m) == (300, 150, None)
    assert lengths(region) == pytest.approx((30 * PITCH, 5 * PITCH), abs=0.6 * PITCH)
    assert region.area_m2 == pytest.approx(300 * PITCH**2, rel=1e-3)
    points[:] = missing
    nothing = only(map_hw, points)
    assert (nothing.measured_pixels, nothing.center_m, nothing.length_m, nothing.area_m2) == (0, None, None, None)
    assert b"NaN" not in encode_json([region.as_json(), nothing.as_json()])


def test_a_lone_measured_pixel_has_a_place_and_no_size() -> None:
    points = np.zeros((*SHAPE, 3), np.float32)
    points[25, 45] = (0.1, 0.2, 0.5)
    region = only(marked((20, 40, 10, 30)), points)
    assert region.center_m == pytest.approx((0.1, 0.2, 0.5)) and region.measured_pixels == 1
    assert region.length_m is region.width_m is region.area_m2 is None


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="same height and width"):
        find_regions(marked(), ALL[1:], 1.0)


def inspected(map_hw: Any, score: float = 3.0) -> Inspection:
    return Inspection(
        product="gland",
        score=score,
        threshold=2.0,
        is_defect=score > 2.0,
        map=map_hw,
        pixel_threshold=1.0,
        points=tilted_plane(),
        rgb=None,
        valid=ALL,
        view=view_image(ALL),
        seconds={},
        origin=ORIGIN,
    )


def test_the_json_object_has_every_region_and_their_number() -> None:
    answer = json.loads(encode_json(inspected(marked((20, 40, 10, 30), (50, 5, 4, 4))).as_json()))
    assert answer["regions_found"] == len(answer["regions"]) == 2
    assert answer["regions"][1] | {"peak_m": 0, "center_m": 0, "length_m": 0, "width_m": 0, "area_m2": 0} == {
        "number": 2,
        "peak_score": 2.0,
        "peak_row": 20,
        "peak_column": 40,
        "peak_m": 0,
        "center_m": 0,
        "length_m": 0,
        "width_m": 0,
        "area_m2": 0,
        "pixels": 300,
        "measured_pixels": 300,
        "box": {"row": 20, "column": 40, "height": 10, "width": 30},
    }
    assert answer["regions"][1]["center_m"][0] == pytest.approx(ORIGIN[0], abs=0.1)


def test_a_defective_part_without_a_marked_pixel_says_that_it_has_no_region() -> None:
    answer = inspected(marked()).as_json()
    assert (answer["is_defect"], answer["regions"], answer["regions_found"]) == (True, [], 0)


def test_regions_follow_an_inspection_that_is_changed() -> None:
    inspection = inspected(marked((20, 40, 10, 30)))
    assert inspection.regions is inspection.regions and inspection.regions_found == 1
    assert replace(inspection, pixel_threshold=9.0).regions == ()
