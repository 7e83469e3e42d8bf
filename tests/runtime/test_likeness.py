"""What is not such a part as calibration saw is refused, with what is to be done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.likeness import check_likeness
from cmdiad.runtime.preparation.part_range import range_of

from .test_comparability import VIEW

EXPECTED = range_of([VIEW] * 3)
SMALL = replace(
    VIEW, diameter_px=VIEW.diameter_px / 9, part_pixels=VIEW.part_pixels // 81, diameter_m=None, area_m2=None
)


def test_a_part_whose_scan_shows_nothing_around_it_is_told_to_be_preprocessed() -> None:
    """A side of it was taken as the plane that parts stand on, so figures alone would mislead."""
    with pytest.raises(ScanError, match=r"as in a preprocessed scan, but this bundle expects raw scans") as caught:
        check_likeness(replace(SMALL, plane_rms_m=1e-4, empty_margin=40), EXPECTED, None)
    assert "up to 40 pixels from the image's border" in str(caught.value)
    assert "--allow-any-size" not in str(caught.value)


@pytest.mark.parametrize(("rms_m", "margin"), [(None, 40), (1e-4, 3)], ids=["preprocessed bundle", "raw scan"])
def test_another_part_is_told_as_that(rms_m: float | None, margin: int) -> None:
    with pytest.raises(ScanError, match=r"is not a part that the bundle was calibrated for") as caught:
        check_likeness(replace(SMALL, plane_rms_m=rms_m, empty_margin=margin), EXPECTED, None)
    # The message comes from `infer` and in the log of a line alike.
    options = "(--allow-any-size of `cmdiad-rt infer` and `watch`, allow_any_size of a line file)"
    assert str(caught.value).endswith(f"or inspect it anyway {options}")
