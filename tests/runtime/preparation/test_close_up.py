"""The part's own window: where it lies, how large it is, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.preparation.window_size import decide_window
from cmdiad.runtime.sensor.part import IMAGE, POINTS

SIDE = 500


def scan(row: int, column: int, size: int, part_m: float = 0.02) -> np.ndarray:
    """A raw scan of a table with a square block of some pixels on it, 0.2 mm a pixel."""
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    points = np.stack([columns * 2e-4, rows * 2e-4, np.full_like(rows, 0.5)], axis=-1)
    points[..., 2] += np.random.default_rng(0).normal(0, 1e-5, (SIDE, SIDE))
    points[row : row + size, column : column + size, 2] -= part_m
    return points.astype(np.float32)


def asked(**changes: object) -> Preprocessing:
    return msgspec.structs.replace(Preprocessing(plane="always", window="part"), **changes)


def files(folder: Path, sizes: list[int]) -> list[Path]:
    paths = []
    for number, size in enumerate(sizes):
        paths.append(folder / f"{number}.npy")
        np.save(paths[-1], scan(100, 150, size))
    return paths


def test_a_small_part_gets_the_networks_pixels() -> None:
    points = scan(100, 300, 150)
    whole = prepare(points, asked(window="scan"))
    close = prepare(points, asked(window_pixels=224))
    assert np.count_nonzero(whole.valid) == pytest.approx((150 / 500 * 224) ** 2, rel=0.05)
    assert np.count_nonzero(close.valid) == pytest.approx(150**2, rel=0.05)
    np.testing.assert_array_equal(close.kept, whole.kept)
    assert close.view == whole.view
    # Each pixel of the window is one of the scan, so every sample is a point that was measured.
    np.testing.assert_array_equal(np.sort(close.points[close.valid], axis=0), np.sort(points[close.kept], axis=0))


@pytest.mark.parametrize(("row", "column"), [(20, 20), (200, 100), (330, 330)])
def test_wherever_it_lies_a_part_looks_the_same_in_its_window(row: int, column: int) -> None:
    first, second = (prepare(scan(*place, 150), asked(window_pixels=240)) for place in ((150, 150), (row, column)))
    assert np.mean(first.valid == second.valid) > 0.999


def test_a_part_that_does_not_fit_is_refused_with_the_figures() -> None:
    with pytest.raises(ScanError, match="spans 300 pixels, and the window that calibration fixed has 240"):
        prepare(scan(100, 100, 300), asked(window_pixels=240))


def test_a_window_of_no_size_is_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match="cmdiad calibrate"):
        prepare(scan(100, 100, 100), asked())


def test_strays_outside_the_window_are_counted_as_not_inspected() -> None:
    points = scan(100, 100, 100)
    part = np.zeros((SIDE, SIDE), bool)
    part[100:200, 100:200] = True
    part[450:455, 450:455] = True
    points[~part] = 0
    close = prepare(points, asked(plane="never", window_pixels=224))
    assert close.view is not None
    assert not close.kept[450:455, 450:455].any()
    assert close.view.part_pixels == 100**2
    assert close.view.inspected_share == pytest.approx(100**2 / (100**2 + 25))


def test_the_window_holds_the_largest_part_with_room(tmp_path: Path) -> None:
    decided = decide_window(asked(), files(tmp_path, [210, 250, 230]), POINTS)
    assert decided.window_pixels == pytest.approx(1.1 * 250, abs=3)
    assert decide_window(decided, [], POINTS) == decided


def test_a_window_is_never_smaller_than_what_the_networks_see(tmp_path: Path) -> None:
    assert decide_window(asked(), files(tmp_path, [50]), POINTS).window_pixels == 224


def test_a_window_never_shows_a_part_smaller_than_the_whole_scan_does(tmp_path: Path) -> None:
    """With its room this part would span 517 pixels of a scan of 500."""
    np.save(tmp_path / "large.npy", scan(15, 15, 470))
    assert decide_window(asked(), [tmp_path / "large.npy"], POINTS).window_pixels == SIDE


def test_without_a_wish_for_a_window_nothing_is_read(tmp_path: Path) -> None:
    whole = asked(window="scan")
    assert decide_window(whole, [tmp_path / "none.npy"], POINTS) is whole


def test_an_image_has_a_window_too(tmp_path: Path) -> None:
    from PIL import Image

    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    picture[200:460, 200:300] = 90
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert decide_window(asked(), [tmp_path / "a.png"], IMAGE).window_pixels == 286


@pytest.mark.parametrize("values", [{"window": "scan", "window_pixels": 300}, {"window_pixels": 10}])
def test_windows_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError, match="window_pixels"):
        msgspec.convert({"window": "part", **values}, Preprocessing)


def test_what_was_decided_of_some_scans_is_not_of_others() -> None:
    assert asked(window_pixels=300).undecided().window_pixels is None
