"""The part is what stands on the plane, not what is largest; and its view says what else there is."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.preparation.part_range import range_of
from cmdiad.runtime.preparation.part_view import PartView
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare

from .scenes import PITCH, Mask, Points, dome, places, scan, without_table

ALWAYS = msgspec.structs.replace(STRUCTURED_LIGHT, plane="always", side="origin")
NEVER = msgspec.structs.replace(STRUCTURED_LIGHT, plane="never")


def view(prepared: PreparedScan) -> PartView:
    assert prepared.view is not None
    return prepared.view


def with_floor(points: Points, part: Mask, depth: float) -> tuple[Points, Mask]:
    """The table ends; beside it a floor is seen through the same rays, larger than the part."""
    rows, columns = np.indices(part.shape)
    beside = (rows < 40) | (rows >= 120) | (columns < 40) | (columns >= 120)
    inside = (rows >= 12) & (rows < 148) & (columns >= 12) & (columns < 148)
    floor = beside & inside & ~part
    seen = points.copy()
    seen[floor] *= (seen[floor][:, 2:] + np.float32(depth)) / seen[floor][:, 2:]
    return seen, floor


def with_block(points: Points, bottom: float, top: float) -> Points:
    """A clamp that reaches in from the left, between two heights over the table."""
    x, y = places(points.shape[:2])
    block = (x < -0.024) & (abs(y) < 0.03)
    raised = points.copy()
    slope = (x[block] - x[block].min()) / np.ptp(x[block])
    raised[block, 2] = 0.5 - (top - slope * (top - bottom))
    return raised


@pytest.mark.parametrize("depth", [0.02, 0.1, 0.4])
def test_a_floor_below_the_table_is_never_the_part(depth: float) -> None:
    height, part = dome()
    points, floor = with_floor(scan(height), part, depth)
    assert floor.sum() > part.sum()
    for preprocessing in (STRUCTURED_LIGHT, ALWAYS):
        prepared = prepare(points, preprocessing)
        np.testing.assert_array_equal(prepared.kept, part)
        assert view(prepared).other_objects == ()


def test_a_clamp_that_hangs_in_is_not_the_part_though_it_is_larger() -> None:
    height, part = dome(radius=0.013)
    points = with_block(scan(height), bottom=0.03, top=0.04)
    prepared = prepare(points, ALWAYS)
    np.testing.assert_array_equal(prepared.kept, part)
    seen = view(prepared)
    assert seen.on_plane and len(seen.other_objects) == 1
    clamp = seen.other_objects[0]
    assert clamp.pixels > seen.part_pixels and clamp.column < 40 and abs(clamp.row - 80) < 3


def test_a_fixture_that_stands_is_not_the_part_where_calibration_saw_the_part() -> None:
    height, part = dome(radius=0.013)
    alone = [view(prepare(scan(height, seed), ALWAYS)) for seed in range(3)]
    points = with_block(scan(height), bottom=0.006, top=0.03)
    assert not (prepare(points, ALWAYS).kept & part).any()
    np.testing.assert_array_equal(prepare(points, ALWAYS, range_of(alone)).kept, part)


def test_an_overhanging_part_is_one_and_may_stand_on_the_plane() -> None:
    # Of a mushroom only the cap is seen, 12 mm and more above the table.
    height, part = dome()
    prepared = prepare(scan(np.where(part, height + 0.006, 0)), ALWAYS)
    np.testing.assert_array_equal(prepared.kept, part)
    seen = view(prepared)
    assert seen.on_plane and seen.clearance_m == pytest.approx(0.012, abs=2e-3)


def test_something_high_above_the_plane_is_said_not_to_be_on_it() -> None:
    height, part = dome(radius=0.01)
    seen = view(prepare(scan(np.where(part, height + 0.05, 0)), ALWAYS))
    assert seen.on_plane is False and seen.clearance_m is not None and seen.clearance_m > 0.05


def test_the_view_of_a_disc_has_its_size_and_place() -> None:
    x, y = places((200, 240))
    disc = np.hypot(x - 0.01, y + 0.005) < 0.03
    seen = view(prepare(scan(np.where(disc, 0.01, 0.0)), ALWAYS))
    assert seen.part_pixels == disc.sum()
    assert seen.diameter_m == pytest.approx(0.06, rel=0.03)
    assert seen.diameter_px == pytest.approx(0.06 / PITCH, rel=0.03)
    assert seen.area_m2 == pytest.approx(np.pi * 0.03**2, rel=0.02)
    np.testing.assert_allclose(seen.center_m, [0.01, -0.005, 0.49], atol=5e-4)
    assert (seen.row, seen.column) == pytest.approx((90, 140), abs=1)
    assert seen.inspected_share == seen.measured_share == 1 and seen.touches_border == 0
    assert seen.plane_rms_m == pytest.approx(5e-5, rel=0.2)


def test_a_second_part_is_an_other_object_with_its_size_and_place() -> None:
    first, _ = dome((160, 300), at=(-0.03, 0.0))
    second, _ = dome((160, 300), at=(0.03, 0.01), size=0.5)
    prepared = prepare(scan(first + second), ALWAYS)
    seen = view(prepared)
    (other,) = seen.other_objects
    assert other.diameter_m == pytest.approx(0.5 * seen.diameter_m, rel=0.1)
    assert (other.row, other.column) == pytest.approx((100, 210), abs=3)
    assert seen.inspected_share == pytest.approx(seen.part_pixels / (seen.part_pixels + other.pixels))


def test_crumbs_are_no_objects() -> None:
    height, part = dome((160, 300), at=(-0.03, 0.0))
    crumb, crumbs = dome((160, 300), at=(0.03, 0.01), radius=0.002)
    seen = view(prepare(scan(height + crumb + np.where(crumbs, 0.01, 0)), ALWAYS))
    assert 0 < crumbs.sum() < 0.02 * part.sum()
    assert seen.other_objects == () and seen.inspected_share < 1


def test_a_part_that_the_view_cuts_off_is_said_to_be() -> None:
    height, _ = dome(at=(-0.035, 0.0))
    whole, cut = view(prepare(scan(dome()[0]), ALWAYS)), view(prepare(scan(height), ALWAYS))
    assert whole.touches_border == 0 and cut.touches_border > 0.1
    framed = np.pad(scan(height), ((12, 12), (12, 12), (0, 0)))
    assert view(prepare(framed, ALWAYS)).touches_border == pytest.approx(cut.touches_border)


def test_a_preprocessed_scan_is_all_part_and_its_strays_do_not_make_it_larger() -> None:
    height, part = dome()
    points = scan(height)
    stray = points.copy()
    plain = view(prepare(without_table(points, part), NEVER))
    kept = part.copy()
    kept[3:6, 3:6] = True
    prepared = prepare(without_table(stray, kept), NEVER)
    np.testing.assert_array_equal(prepared.kept, kept)
    seen = view(prepared)
    assert seen.diameter_m == plain.diameter_m and seen.part_pixels == kept.sum()
    assert replace(seen, part_pixels=0) == replace(plain, part_pixels=0)
    assert seen.on_plane is None and seen.other_objects == () and seen.inspected_share == 1


def test_two_preprocessed_parts_in_one_scan_are_as_large_as_both() -> None:
    (one, first), (two, second) = (dome((160, 300), at=(0.03 * side, 0.0)) for side in (-1, 1))
    points = without_table(scan(one + two), first | second)
    assert view(prepare(points, NEVER)).diameter_m == pytest.approx(0.1, rel=0.05)
