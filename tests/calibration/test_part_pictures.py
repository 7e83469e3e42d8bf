"""A part's picture shows the part, and keeps its proportions."""

import numpy as np
import pytest
from cmdiad.calibration.part_pictures import PANEL, crop_window, panel


@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        (slice(0, 10), slice(50, 60)),
        (slice(40, 60), slice(0, 100)),
        (slice(30, 31), slice(99, 100)),
        (slice(0, 0),) * 2,
    ],
)
def test_the_crop_holds_the_part_in_a_square_where_the_picture_allows(rows, columns):
    kept = np.zeros((80, 100), bool)
    kept[rows, columns] = True
    window = kept[crop_window(kept)]
    assert window.sum() == kept.sum()
    assert window.shape[0] == min(80, window.shape[1])


def test_a_panel_keeps_the_proportions_of_what_it_shows():
    white = panel(np.full((40, 100, 3), 255, np.uint8))
    rows = np.flatnonzero((white > 127).all(axis=(1, 2)))
    assert white.shape == (PANEL, PANEL, 3)
    assert (len(rows), rows[0]) == (pytest.approx(0.4 * PANEL, abs=2), pytest.approx(0.3 * PANEL, abs=2))
