"""The region of interest: a rectangle, or a mask as run lengths."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.bundle.region_of_interest import MOST_RUNS, RegionOfInterest
from cmdiad.runtime.bundle.sensor_changes import sensor_changes, what_must_be_done
from cmdiad.runtime.bundle.sensor_description import SensorDescription
from cmdiad.runtime.errors import ScanError

RECTANGLE = RegionOfInterest(row=2, column=3, height=4, width=5)


def test_a_rectangle_is_its_rows_and_columns() -> None:
    expected = np.zeros((10, 12), bool)
    expected[2:6, 3:8] = True
    np.testing.assert_array_equal(RECTANGLE.mask((10, 12)), expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_mask_comes_back_through_json(seed: int) -> None:
    mask = np.random.default_rng(seed).random((17, 23)) < (0.02, 0.3, 0.5, 0.98, 1.0)[seed]
    mask[4, 7] = True
    made = Preprocessing(roi=RegionOfInterest.of_mask(mask))
    read = msgspec.json.decode(msgspec.json.encode(made), type=Preprocessing)
    assert read == made and read.roi is not None
    np.testing.assert_array_equal(read.roi.mask((17, 23)), mask)


def test_a_mask_that_marks_nothing_is_none() -> None:
    with pytest.raises(ValueError, match="marks no pixel"):
        RegionOfInterest.of_mask(np.zeros((4, 5), bool))


def test_a_mask_of_noise_is_refused() -> None:
    noise = np.random.default_rng(0).random((900, 900)) < 0.5
    with pytest.raises(ValueError, match=f"more than {MOST_RUNS}: draw whole areas"):
        RegionOfInterest.of_mask(noise)


@pytest.mark.parametrize("shape", [(5, 12), (10, 7)])
def test_a_rectangle_beyond_the_scan_is_refused_with_both_sizes(shape: tuple[int, int]) -> None:
    with pytest.raises(ScanError, match=rf"2,3,4,5 \(row, column, height, width\).*{shape[0]} x {shape[1]} pixels"):
        RECTANGLE.mask(shape)


def test_a_mask_of_another_size_than_the_scan_is_refused() -> None:
    with pytest.raises(ScanError, match=r"a mask of 4 x 5 pixels .* the scan has 5 x 4"):
        RegionOfInterest.of_mask(np.ones((4, 5), bool)).mask((5, 4))


@pytest.mark.parametrize(
    "values",
    [
        {"row": -1},
        {"width": 0},
        {"height": 70_000},
        {"runs": [0, 20]},
        {"scan": [6, 8]},
        {"scan": [5, 8], "runs": [0, 20]},
        {"scan": [6, 8], "runs": [0, 21]},
        {"scan": [6, 8], "runs": [20]},
        {"scan": [6, 8], "runs": [-1, 5]},
        {"angle": 3},
    ],
)
def test_what_is_no_region_is_refused_when_it_is_read(values: dict[str, object]) -> None:
    raw = msgspec.json.encode({"row": 2, "column": 3, "height": 4, "width": 5, **values})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=RegionOfInterest)


def test_a_change_of_region_or_parts_says_what_must_be_calibrated_again() -> None:
    mask = RegionOfInterest.of_mask(np.eye(3, dtype=bool))
    before = SensorDescription(preprocessing=Preprocessing(roi=RECTANGLE))
    after = SensorDescription(preprocessing=Preprocessing(roi=mask, parts="all"))
    said = what_must_be_done(sensor_changes(before, after))
    assert "preprocessing.roi 2,3,4,5 -> 0,0,3,3 with a mask of 3 pixels" in said
    assert "preprocessing.parts largest -> all" in said and "must be made again" in said
