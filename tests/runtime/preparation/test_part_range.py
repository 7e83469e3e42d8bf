"""What is such a part, and what is not: numbers, and a sentence for each reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT, PartRange, Seen
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.preparation.part_range import joined, outside, range_of, unit_advice
from cmdiad.runtime.preparation.part_view import OtherObject, PartView
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.scan import read_scan
from hypothesis import given, settings
from hypothesis import strategies as st

from .scenes import dome, places, scan

SHARED = Path(__file__).parents[4] / "shared" / "data"
needs_real_scans = pytest.mark.skipif(not SHARED.is_dir(), reason="the real scans beside the checkout are absent")
SHAPE = (220, 220)


def seen_of(size: float = 1.0, seed: int = 0, missing: float = 0.0, measured: float = 1.0) -> PartView:
    """A dome of 40 mm times `size`, a share of it broken off on one side, a share of its columns measured."""
    height, part = dome(SHAPE, size=size)
    x, _ = places(SHAPE)
    gone = part & (x > np.quantile(x[part], 1 - missing))
    points = scan(np.where(gone, 0, height), seed)
    points[part & (np.indices(SHAPE)[1] % 10 >= 10 * measured)] = 0
    view = prepare(points, STRUCTURED_LIGHT).view
    assert view is not None
    return view


CALIBRATION = range_of([seen_of(size, seed) for seed, size in enumerate((0.98, 1.0, 1.02))])


@pytest.mark.parametrize("size", [0.9, 1.0, 1.1])
def test_parts_a_tenth_smaller_or_larger_are_inside(size: float) -> None:
    assert outside(seen_of(size, 7), CALIBRATION) == []


@pytest.mark.parametrize("size", [0.5, 2.0])
def test_parts_of_half_and_twice_the_size_are_outside_with_numbers(size: float) -> None:
    reasons = outside(seen_of(size, 7), CALIBRATION)
    assert any("mm across: calibration saw" in reason and "is allowed" in reason for reason in reasons)
    assert any("cm2 of visible surface" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("saved_in", "read_as", "said"),
    [
        (0.01, 0.001, "numbers were centimeters, not millimeters,"),
        (0.0254, 0.001, "numbers were inches, not millimeters,"),
        (1.0, 0.001, "numbers were meters, not millimeters,"),
        (0.001, 0.01, "numbers were millimeters, not centimeters,"),
        (0.001, None, "numbers were millimeters, not meters,"),
        (0.0254, None, "numbers were inches, not meters,"),
        (1.0, 0.0254, "numbers were meters, not inches,"),
        (0.001, 0.0001, "numbers were millimeters, not units of 0.0001 m,"),
    ],
)
def test_a_part_in_another_unit_is_refused_with_the_unit_that_would_fit(
    saved_in: float, read_as: float | None, said: str
) -> None:
    factor = (read_as or 1.0) / saved_in
    view = seen_of()
    assert view.diameter_m is not None and view.area_m2 is not None
    seen = replace(view, diameter_m=view.diameter_m * factor, area_m2=view.area_m2 * factor**2)
    (advice,) = unit_advice(seen, CALIBRATION, read_as)
    assert said in advice and f"{view.diameter_m * 1e3:.3g} mm across, as at calibration" in advice


def test_no_unit_is_named_for_another_part_or_one_of_the_right_size() -> None:
    view = seen_of()
    assert view.diameter_m is not None and view.area_m2 is not None
    assert unit_advice(view, CALIBRATION, 0.001) == []
    larger = replace(view, diameter_m=view.diameter_m * 3, area_m2=view.area_m2 * 9)
    longer = replace(view, diameter_m=view.diameter_m * 10)
    for other in (larger, longer, replace(view, diameter_m=None)):
        assert unit_advice(other, CALIBRATION, 0.01) == []


@pytest.mark.parametrize("missing", [0.1, 0.25, 0.4])
def test_a_missing_piece_is_a_defect_and_no_other_part(missing: float) -> None:
    assert outside(seen_of(missing=missing), CALIBRATION) == []


def test_a_part_of_which_less_than_a_third_was_seen_is_outside() -> None:
    assert any("cm2 of visible surface" in reason for reason in outside(seen_of(measured=0.3), CALIBRATION))
    assert outside(seen_of(missing=0.7), CALIBRATION)
    assert outside(seen_of(measured=0.8), CALIBRATION) == []


@pytest.mark.parametrize(
    "change, words",
    [
        ({"measured_share": 0.4}, "40% of the part's silhouette was measured: calibration saw"),
        ({"inspected_share": 0.3}, "30% of what is in view is the part: calibration saw 100%"),
        ({"touches_border": 0.2}, "20% of the part's outline is cut off"),
        ({"on_plane": False, "clearance_m": 0.05}, "starts 50.0 mm above the plane"),
        ({"other_objects": (OtherObject(500, 0.02, 30, 40),)}, "1 other object in view (20.0 mm at row 30, column 40)"),
        ({"diameter_m": float("nan")}, "mm across"),
        ({"area_m2": float("nan")}, "cm2"),
        ({"measured_share": float("nan")}, "silhouette"),
        ({"touches_border": float("nan")}, "outline"),
    ],
)
def test_every_reason_is_a_sentence_with_numbers(change: dict[str, object], words: str) -> None:
    (reason,) = outside(replace(seen_of(), **change), CALIBRATION)
    assert words in reason and "\n" not in reason


def test_what_calibration_saw_is_allowed_again() -> None:
    small, large = (OtherObject(pixels, size, 30, 40) for pixels, size in ((200, 0.01), (3000, 0.05)))
    views = [replace(seen_of(), other_objects=(small,), touches_border=0.2), seen_of()]
    part_range = range_of(views)
    assert all(outside(view, part_range) == [] for view in views)
    (reason,) = outside(replace(views[0], other_objects=(large,)), part_range)
    assert "times the part's diameter" in reason
    (reason,) = outside(replace(views[0], other_objects=(small, small)), part_range)
    assert reason.startswith("2 other objects") and "at most 1" in reason


@given(
    sizes=st.lists(st.floats(1e-3, 10), min_size=1, max_size=6),
    others=st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_every_part_of_a_calibration_is_inside_its_own_range(sizes: list[float], others: list[int]) -> None:
    plain = seen_of()
    views = [
        replace(plain, diameter_m=size, area_m2=size**2, other_objects=(OtherObject(9, size / 3, 1, 1),) * count)
        for size, count in zip(sizes, others, strict=False)
    ]
    part_range = range_of(views)
    assert all(outside(view, part_range) == [] for view in views)
    assert msgspec.json.decode(msgspec.json.encode(part_range), type=PartRange) == part_range


def test_images_are_compared_in_pixels() -> None:
    kept = np.zeros((300, 300), bool)
    kept[100:200, 100:180] = True
    part_range = range_of([view_image(kept)])
    assert part_range.diameter_m is None and outside(view_image(kept), part_range) == []
    larger = np.zeros((300, 300), bool)
    larger[50:250, 50:210] = True
    first, second = outside(view_image(larger), part_range)
    assert "pixels across" in first and "32000 pixels in all" in second.replace("3.2e+04", "32000")


@pytest.mark.parametrize("least, greatest", [(2.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_range_is_of_finite_sizes(least: float, greatest: float) -> None:
    with pytest.raises(ValueError, match="not a range"):
        Seen(least=least, greatest=greatest)


def test_a_manifest_cannot_hold_another_range() -> None:
    good = msgspec.to_builtins(CALIBRATION)
    for change in ({"n_parts": 0}, {"other_diameter": -1.0}, {"diameter_m": {"least": 2.0, "greatest": 1.0}}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**good, **change}, PartRange)
    with pytest.raises(ValueError, match="at least one"):
        range_of([])


@needs_real_scans
def test_real_objects_of_another_shape_but_of_the_size_of_boxes_are_scored_not_refused() -> None:
    box = SHARED / "tabletop_objects" / "box"
    views = {
        split: [prepare(read_scan(path).points, KINECT).view for path in find_scans([box / split])]
        for split in ("train/good", "test/good", "test/other_shape")
    }
    part_range = range_of([view for view in views["train/good"] if view is not None])
    for split in ("test/good", "test/other_shape"):
        assert [outside(view, part_range) for view in views[split] if view is not None] == [[]] * len(views[split])


def test_counts_of_pixels_are_written_out() -> None:
    mask = np.zeros((600, 600), np.bool_)
    mask[100:500, 100:500] = True
    small = np.zeros((600, 600), np.bool_)
    small[200:300, 200:300] = True
    reasons = outside(view_image(mask), range_of([view_image(small)]))
    assert any("the part is 160000 pixels in all: calibration saw 10000 to 10000" in reason for reason in reasons)
    assert not any("e+0" in reason for reason in reasons)


def test_two_calibrations_together_saw_what_either_saw() -> None:
    views = [seen_of(size, seed) for seed, size in enumerate((0.9, 1.0, 1.1, 1.2))]
    first, second = range_of(views[:2]), range_of(views[2:])
    assert joined(first, second) == range_of(views) == joined(second, first)
    image = np.zeros(SHAPE, bool)
    image[10:20, 10:20] = True
    mixed = joined(first, range_of([view_image(image)]))
    assert mixed.diameter_m is None and mixed.n_parts == 3 and not mixed.on_plane
