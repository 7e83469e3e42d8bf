"""Several parts in one scan: which things are parts, in which order, and each as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import PartRange, Preprocessing
from cmdiad.runtime.bundle.region_of_interest import RegionOfInterest
from cmdiad.runtime.errors import WITH_A_BUNDLE, ScanError, UsageError
from cmdiad.runtime.preparation.part_range import part_outside, range_of, scan_outside
from cmdiad.runtime.preparation.part_samples import labeled_parts, own_pixels, split_samples
from cmdiad.runtime.preparation.part_view import PartView
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare, prepare_all
from cmdiad.runtime.preparation.prepared_part import prepare_part, prepare_parts, require_parts
from cmdiad.runtime.preparation.several_parts import MOST_PARTS, Thing, choose_parts, in_reading_order
from cmdiad.runtime.sensor.dataset import Sample
from cmdiad.runtime.sensor.part import IMAGE, POINTS, Part
from PIL import Image

from .trays import CELLS, MARGIN, Points, Tray, tray

ALL = Preprocessing(plane="always", side="origin", window="part", window_pixels=224, parts="all")
LARGEST = msgspec.structs.replace(ALL, parts="largest")


def prepared_parts(
    points: Points, preprocessing: Preprocessing = ALL, expected: PartRange | None = None
) -> list[PreparedScan]:
    parts = prepare_all(points, preprocessing, expected)
    assert all(isinstance(part, PreparedScan) for part in parts)
    return [part for part in parts if isinstance(part, PreparedScan)]


def view(part: PreparedScan) -> PartView:
    assert part.view is not None
    return part.view


def seen_range(seeds: range = range(2)) -> PartRange:
    return range_of([view(part) for seed in seeds for part in prepared_parts(tray(seed).points())])


def touching() -> Tray:
    """The second part of a tray of six is pushed against the first."""
    whole = tray(5)
    first, second = whole.heights[0], whole.heights[1]
    end, start = np.flatnonzero(first.any(axis=0))[-1] + 1, np.flatnonzero(second.any(axis=0))[0]
    pair = np.concatenate([first, np.zeros_like(second)], axis=1)
    pushed = second[:, start:]
    pair[:, end - 2 : end - 2 + pushed.shape[1]] += pushed * (pair[:, end - 2 : end - 2 + pushed.shape[1]] == 0)
    return replace(whole, heights=[pair[:, :CELLS], pair[:, CELLS:], *whole.heights[2:]])


@pytest.mark.parametrize("window", ["part", "scan"])
def test_each_part_is_prepared_as_if_it_were_alone(window: str) -> None:
    preprocessing = msgspec.structs.replace(ALL, window=window, window_pixels=224 if window == "part" else None)
    whole = tray(1)
    parts = prepared_parts(whole.points(), preprocessing)
    assert len(parts) == 6
    for number, part in enumerate(parts):
        alone = prepare(whole.points(only=number), msgspec.structs.replace(preprocessing, parts="largest"))
        assert part.frame == alone.frame
        np.testing.assert_array_equal(part.points, alone.points)
        np.testing.assert_array_equal(part.kept, alone.kept)
        assert replace(view(part), plane_rms_m=0.0) == replace(view(alone), plane_rms_m=0.0)


def test_parts_have_their_place_in_pixels_and_metres() -> None:
    for part in prepared_parts(tray(2).points()):
        row, column, height, width = view(part).box or (0, 0, 0, 0)
        rows, columns = np.nonzero(part.kept)
        assert (row, column) == (rows.min(), columns.min())
        assert (height, width) == (rows.max() + 1 - row, columns.max() + 1 - column)


@pytest.mark.parametrize("drop", [0, 8, 14])
def test_parts_are_counted_line_by_line_also_on_a_tray_put_down_askew(drop: int) -> None:
    whole = tray(3, drop=drop)
    for number, part in enumerate(prepared_parts(whole.points())):
        rows, columns = whole.place(number)
        assert rows.start <= view(part).row < rows.stop and columns.start <= view(part).column < columns.stop


def test_reading_order_of_boxes() -> None:
    def thing(number: int, row: int, column: int) -> Thing:
        return Thing(number, 1.0, 1.0, (slice(row, row + 10), slice(column, column + 10)))

    shuffled = [thing(1, 4, 30), thing(2, 21, 0), thing(3, 0, 60), thing(4, 2, 0), thing(5, 18, 40)]
    assert [one.number for one in in_reading_order(shuffled)] == [4, 1, 3, 2, 5]


def test_an_empty_place_is_no_part() -> None:
    assert len(prepared_parts(tray(4, "o.oo.o").points())) == 4


def test_the_largest_alone_is_what_it_was() -> None:
    points = tray(1).points()
    (part,) = prepare_parts(Part(points, None), POINTS, LARGEST)
    assert not isinstance(part, ScanError)
    np.testing.assert_array_equal(part.kept, prepare_part(Part(points, None), POINTS, LARGEST).kept)


def test_parts_that_touch_are_not_judged_as_one_but_said() -> None:
    expected = seen_range()
    parts = prepared_parts(touching().points(), expected=expected)
    assert len(parts) == 4 and [len(view(part).other_objects) for part in parts] == [1] * 4
    pair = view(parts[0]).other_objects[0]
    assert pair.pixels > 1.6 * view(parts[0]).part_pixels
    assert part_outside(view(parts[0]), expected) == []
    assert "1 other object in view" in " ".join(scan_outside(view(parts[0]), expected))


def test_parts_that_touch_do_not_count_as_the_product_before_calibration_either() -> None:
    assert len(prepared_parts(touching().points())) == 4


def test_nothing_of_the_product_s_size_is_an_error_with_the_sizes() -> None:
    expected = seen_range(range(1))
    assert expected.diameter_m is not None
    twice = msgspec.structs.replace(expected, diameter_m=expected.diameter_m.allowed((3, 3)))
    with pytest.raises(ScanError, match=r"none of 6 things in view is of the product's size.*mm"):
        prepare_all(tray(1).points(), ALL, twice)


def test_more_things_than_are_inspected_are_refused() -> None:
    things = [Thing(number, 1.0, 1.0, (slice(0, 1), slice(0, 1))) for number in range(MOST_PARTS + 1)]
    with pytest.raises(ScanError, match=f"more than {MOST_PARTS} objects"):
        choose_parts(things, None)
    assert len(choose_parts(things[1:], None)) == MOST_PARTS


def test_a_preprocessed_scan_has_its_parts_too() -> None:
    points = tray(6).points()
    kept = np.logical_or.reduce([part.kept for part in prepared_parts(points)])
    points[~kept] = 0
    preprocessed = msgspec.structs.replace(ALL, plane="never", side="auto")
    assert len(prepared_parts(points, preprocessed)) == 6


def test_a_preprocessed_scan_of_strays_alone_has_no_part() -> None:
    points = tray(6).points()
    strays = np.zeros_like(points)
    strays[::20, ::20] = points[::20, ::20]
    with pytest.raises(ScanError, match=f"no 30 points are connected.*{WITH_A_BUNDLE}$"):
        prepare_all(strays, msgspec.structs.replace(ALL, plane="never", side="auto"))


# The region of interest.


def region(whole: Tray, number: int, **other: object) -> Preprocessing:
    rows, columns = whole.place(number)
    roi = RegionOfInterest(row=rows.start, column=columns.start, height=CELLS, width=CELLS)
    return msgspec.structs.replace(LARGEST, roi=roi, **other)


@pytest.mark.parametrize("number", [0, 4])
def test_a_region_around_one_part_shows_that_part_alone(number: int) -> None:
    whole = tray(7)
    inside, alone = prepare(whole.points(), region(whole, number)), prepare(whole.points(only=number), LARGEST)
    np.testing.assert_array_equal(inside.points, alone.points)
    np.testing.assert_array_equal(inside.kept, alone.kept)
    assert view(inside).other_objects == () and view(inside).inspected_share == 1.0


def test_a_region_inside_of_a_part_s_place_still_finds_the_plane() -> None:
    whole = tray(7)
    rows, columns = whole.place(4)
    roi = RegionOfInterest(row=rows.start + 30, column=columns.start + 30, height=36, width=36)
    part = prepare(whole.points(), msgspec.structs.replace(LARGEST, roi=roi))
    assert view(part).part_pixels == 36 * 36 and view(part).touches_border == 1.0


def test_a_mask_is_a_region_of_any_outline() -> None:
    whole = tray(7)
    mask = np.zeros(whole.shape, bool)
    for number in (0, 1, 5):
        mask[whole.place(number)] = True
    parts = prepared_parts(whole.points(), msgspec.structs.replace(ALL, roi=RegionOfInterest.of_mask(mask)))
    assert [view(part).row < MARGIN + CELLS for part in parts] == [True, True, False]


def test_a_region_with_nothing_in_it_is_said() -> None:
    whole = tray(7, "o.oooo")
    with pytest.raises(ScanError, match=f"no measured point is more than 5 mm above the .* plane.*{WITH_A_BUNDLE}$"):
        prepare(whole.points(), region(whole, 1))
    points = whole.points()
    points[whole.place(1)] = 0
    with pytest.raises(ScanError, match=f"in the region of interest 16,112,96,96: .* another region{WITH_A_BUNDLE}$"):
        prepare(points, region(whole, 1))


def test_a_region_beyond_the_scan_is_said() -> None:
    with pytest.raises(ScanError, match="reaches beyond the scan"):
        prepare(tray(7, "o", 1).points(), region(tray(7), 5))


# Images alone.


def picture() -> np.ndarray:
    rgb = np.zeros((120, 200, 3), np.uint8)
    for row, column in ((10, 10), (14, 80), (8, 150), (70, 20), (66, 140)):
        rgb[row : row + 30, column : column + 30] = 90
    rgb[100:106, 100:106] = 90  # a crumb
    return rgb


def test_parts_of_an_image_are_what_black_parts() -> None:
    parts = require_parts(prepare_parts(Part(None, picture()), IMAGE, ALL))
    assert [part.view.column for part in parts] == [24, 94, 164, 34, 154]
    assert all(part.view.part_pixels == 900 and len(part.view.other_objects) == 1 for part in parts)


def test_a_region_of_an_image_leaves_the_rest_out() -> None:
    roi = RegionOfInterest(row=0, column=60, height=60, width=60)
    part = prepare_part(Part(None, picture()), IMAGE, msgspec.structs.replace(LARGEST, roi=roi))
    assert part.view.part_pixels == 900 and part.view.column == 94


# Samples of a dataset.


def test_a_part_is_defective_where_the_mask_marks_what_is_nearest_to_it(tmp_path: Path) -> None:
    whole = tray(8, "oxoooo")
    prepared = require_parts(prepare_parts(Part(whole.points(), None), POINTS, ALL))
    marked = whole.mask()
    Image.fromarray(marked.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    sample = Sample(tmp_path / "007.tiff", None, tmp_path / "mask.png", "missing_piece")
    parts = labeled_parts(sample, prepared)
    assert [part.defect for part in parts] == ["good", "missing_piece", *["good"] * 4]
    assert [part.name for part in parts][:2] == ["007#1", "007#2"]
    own = own_pixels(marked, prepared)
    np.testing.assert_array_equal(np.logical_or.reduce(own), marked)
    assert own[1].sum() == marked.sum()


def test_a_defective_scan_of_several_parts_needs_a_mask() -> None:
    prepared = require_parts(prepare_parts(Part(tray(8).points(), None), POINTS, ALL))
    with pytest.raises(UsageError, match=r"shows 6 parts and is labeled dent, but has no mask"):
        labeled_parts(Sample(Path("1.tiff"), None, None, "dent"), prepared)


def test_samples_are_split_only_where_scans_show_several_parts(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", tray(8).points())
    sample = Sample(tmp_path / "0.npy", None, None, "good")
    assert split_samples([sample], POINTS, LARGEST) == [sample]
    assert [part.part for part in split_samples([sample], POINTS, ALL)] == [1, 2, 3, 4, 5, 6]
