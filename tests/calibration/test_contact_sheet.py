"""The contact sheet shows every scan, its part and what else is in view."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.calibration.contact_sheet import TILE, Tile, contact_sheet, evenly_chosen
from cmdiad.runtime.preparation.part_view import OtherObject

from ..runtime.preparation.scenes import dome, scan

GREEN, ORANGE = (60, 210, 120), (255, 150, 40)


def tile(name: str = "train/good/xyz/000.tiff", others: tuple[OtherObject, ...] = ()) -> Tile:
    height, part = dome((160, 320))
    return Tile(name, scan(height), part, others)


def count(sheet: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((sheet == color).all(axis=-1).sum())


@pytest.mark.parametrize("scans, rows, columns", [(1, 1, 1), (8, 1, 8), (9, 2, 8), (64, 8, 8)])
def test_the_sheet_has_a_place_for_every_scan(scans: int, rows: int, columns: int) -> None:
    sheet = contact_sheet([tile()] * scans)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    assert TILE * rows < sheet.shape[0] < (TILE + 30) * rows and TILE * columns < sheet.shape[1] < (TILE + 10) * columns
    assert count(sheet, GREEN) == scans * count(contact_sheet([tile()]), GREEN) > 0


def test_other_objects_are_circled() -> None:
    assert count(contact_sheet([tile()]), ORANGE) == 0
    assert count(contact_sheet([tile(others=(OtherObject(900, 0.01, 80, 40),))]), ORANGE) > 50


def test_the_outline_is_where_the_part_is() -> None:
    height, part = dome((160, 160))
    sheet = contact_sheet([Tile("a", scan(height), part)])
    rows, columns = np.nonzero((sheet[:, :] == GREEN).all(axis=-1))
    expected_rows, expected_columns = np.nonzero(part)
    # The gap around the tile is 4 pixels, one pixel of the scan one of the tile.
    for drawn, expected in ((rows, expected_rows), (columns, expected_columns)):
        assert (drawn.min() - 4, drawn.max() - 4) == pytest.approx((expected.min(), expected.max()), abs=1)


def test_images_large_scans_and_odd_names_are_drawn() -> None:
    image = np.full((900, 30, 3), 90, np.uint8)
    kept = np.ones((900, 30), bool)
    names = ("x" * 300, "line\nend", "\udcfc.tiff", "检查")
    sheet = contact_sheet([Tile(name, image, kept) for name in names])
    assert sheet.shape[1] > 4 * TILE
    height, part = dome((1600, 1600))
    assert contact_sheet([Tile("large", scan(height), part)]).shape == contact_sheet([tile()]).shape


def test_equal_tiles_give_equal_bytes() -> None:
    assert contact_sheet([tile()]).tobytes() == contact_sheet([tile()]).tobytes()


def test_scans_are_chosen_evenly() -> None:
    assert evenly_chosen(3) == [0, 1, 2]
    chosen = evenly_chosen(1000)
    assert len(chosen) == 64 and chosen[0] == 0 and chosen[-1] == 999
    assert set(np.diff(chosen)) <= {15, 16}


@pytest.mark.parametrize("scans", [0, 65])
def test_no_scan_and_too_many_are_refused(scans: int) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        contact_sheet([tile()] * scans)
