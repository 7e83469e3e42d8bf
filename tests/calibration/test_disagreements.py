"""Calibration's scans are compared with each other, and the odd ones named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cmdiad.calibration.disagreements import disagreements
from cmdiad.runtime.preparation.image_view import view_image
from cmdiad.runtime.preparation.part_view import OtherObject, PartView

PLAIN = PartView(
    part_pixels=5000,
    diameter_px=80.0,
    diameter_m=0.04,
    area_m2=0.0012,
    center_m=(0.0, 0.0, 0.5),
    row=80,
    column=90,
    on_plane=True,
    clearance_m=0.005,
    inspected_share=1.0,
    measured_share=0.98,
    touches_border=0.0,
    other_objects=(),
    plane_rms_m=5e-5,
    empty_margin=0,
)


def told(*changes: dict[str, object], count: int = 8) -> list[str]:
    views = [replace(PLAIN, **change) for change in changes]
    views += [PLAIN] * (count - len(views))
    return disagreements(views, [f"{number:03d}.tiff" for number in range(count)])


def test_scans_that_agree_give_no_warning() -> None:
    assert told() == []
    assert told({"diameter_m": 0.044, "area_m2": 0.0014}, {"diameter_m": 0.036, "area_m2": 0.001}) == []


def test_a_part_of_another_size_is_named_with_its_size_and_that_of_most() -> None:
    (across, area) = told({}, {"diameter_m": 0.08, "area_m2": 0.0048})
    assert across == "1 of 8 scans shows a part of another size than most (40 mm across): 001.tiff (80 mm)"
    assert area.endswith("than most (12 cm2 of visible surface): 001.tiff (48 cm2)")
    (across,) = told(*[{"diameter_m": 0.08}] * 2)
    assert across.startswith("2 of 8 scans show a part of") and across.endswith(": 000.tiff (80 mm); 001.tiff (80 mm)")


def test_something_as_large_as_the_part_in_most_scans_asks_which_is_the_part() -> None:
    clamp = OtherObject(pixels=9000, diameter_m=0.06, row=10, column=20)
    (warning,) = told(*[{"other_objects": (clamp,)}] * 7)
    assert warning.startswith(
        "7 of 8 scans show something next to the part (which of them is it?): 000.tiff (60.0 mm at"
    )
    assert "the part 40.0 mm at row 80, column 90" in warning and warning.endswith("; and 4 more")
    (warning,) = told({"other_objects": (clamp, clamp)})
    assert "which" not in warning and "and 1 more" in warning


def test_every_other_oddity_is_named() -> None:
    for change, words in (
        ({"touches_border": 0.2}, "cuts off: 000.tiff (20% of its outline)"),
        ({"on_plane": False, "clearance_m": 0.04}, "not on the plane: 000.tiff (it begins 40.0 mm above it)"),
        ({"inspected_share": 0.3}, "other objects that are larger than the part: 000.tiff (30% is the part)"),
        ({"measured_share": 0.5}, "nothing was measured: 000.tiff (50% measured)"),
        ({"empty_margin": 12}, "an empty margin all around, unlike the others: 000.tiff (12 pixels)"),
    ):
        (warning,) = told(change)
        assert words in warning
    assert told(*[{"empty_margin": 12}] * 8) == []


def test_images_are_compared_in_pixels() -> None:
    small, large = np.zeros((200, 200), bool), np.zeros((200, 200), bool)
    small[50:90, 50:90] = True
    large[50:150, 50:150] = True
    views = [view_image(mask) for mask in (small, small, large)]
    (warning,) = disagreements(views, ["a.png", "b.png", "c.png"])
    assert "pixels across): c.png (" in warning and warning.endswith(" pixels)")
