"""What an inspection writes: a picture in the scan's pixels, on one scale for all scans, and the map itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import OutputError
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.heatmap import SCALE_END, SCALE_START, color_table, draw_heatmap, write_heatmap, write_map
from PIL import Image
from scipy.ndimage import binary_dilation

HEIGHT, WIDTH = 40, 60


def plane(seed: int = 0) -> Any:
    """A slightly rough plane half a metre away, a strip of it missing."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    depth = 0.5 + 1e-4 * np.random.default_rng(seed).normal(size=(HEIGHT, WIDTH))
    points = np.stack([1e-3 * columns, 1e-3 * rows, depth], axis=-1).astype(np.float32)
    points[:, :5] = 0
    return points


def picture(tmp_path: Path, map_hw: Any, threshold: float = 1.0, points: Any = None, valid: Any = None) -> Any:
    points = plane() if points is None else points
    valid = valid_mask(points) if valid is None else valid
    path = tmp_path / "out" / "heat.png"
    write_heatmap(path, map_hw.astype(np.float32), valid, threshold, points)
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.array(image).astype(int)


def is_gray(pixels: Any) -> Any:
    return pixels.max(axis=-1) == pixels.min(axis=-1)


def test_the_picture_has_the_scans_pixels_and_equal_input_equal_bytes(tmp_path: Path) -> None:
    heat = np.random.default_rng(1).random((HEIGHT, WIDTH)) * 2
    assert picture(tmp_path, heat).shape == (HEIGHT, WIDTH, 3)
    first = (tmp_path / "out" / "heat.png").read_bytes()
    picture(tmp_path, heat)
    assert (tmp_path / "out" / "heat.png").read_bytes() == first


def test_colors_follow_the_map_and_begin_at_half_the_threshold(tmp_path: Path) -> None:
    heat = np.zeros((HEIGHT, WIDTH))
    heat[10:30, 20:30] = 0.49
    heat[10:30, 40:50] = 0.8
    seen = picture(tmp_path, heat)
    assert is_gray(seen[heat < 0.5]).all()
    assert not is_gray(seen[heat == 0.8]).any()


def test_a_color_means_the_same_multiple_of_any_threshold(tmp_path: Path) -> None:
    heat = np.random.default_rng(2).random((HEIGHT, WIDTH)) * 3
    np.testing.assert_array_equal(
        picture(tmp_path, heat, threshold=1.0), picture(tmp_path, heat * 128, threshold=128.0)
    )


def test_twice_the_threshold_and_more_look_the_same(tmp_path: Path) -> None:
    heat = np.full((HEIGHT, WIDTH), SCALE_END)
    np.testing.assert_array_equal(picture(tmp_path, heat), picture(tmp_path, heat * 1e30))


def test_white_surrounds_the_pixels_above_the_threshold(tmp_path: Path) -> None:
    heat = np.zeros((HEIGHT, WIDTH))
    heat[10:14, 20:25] = 1.01
    heat[30, 40] = 1.0
    white = (picture(tmp_path, heat) == 255).all(axis=-1)
    expected = np.zeros_like(white)
    expected[[9, 14], 20:25] = True
    expected[10:14, [19, 25]] = True
    np.testing.assert_array_equal(white, expected)


def test_missing_points_are_dark_and_the_background_is_dimmed(tmp_path: Path) -> None:
    points = plane()
    part = valid_mask(points)
    part[:, 30:] = False
    seen = picture(tmp_path, np.zeros((HEIGHT, WIDTH)), points=points, valid=part)[..., 0]
    assert (seen[:, :5] == seen[0, 0]).all()
    assert seen[:, :5].max() < seen[:, 32:].min()
    assert seen[:, 32:].max() < seen[:, 6:28].min()


def test_the_relief_shows_the_surface(tmp_path: Path) -> None:
    """A roof is lit on the side that faces the light, from the upper left."""
    points = plane()
    columns = np.arange(WIDTH)
    points[:, :, 2] = 0.5 + 5e-4 * np.abs(columns - 32)
    points[:, :5] = 0
    seen = picture(tmp_path, np.zeros((HEIGHT, WIDTH)), points=points)[..., 0]
    assert seen[:, 8:28].min() > seen[:, 36:56].max() + 20


def test_the_relief_does_not_depend_on_where_or_in_what_axes_the_sensor_measures(tmp_path: Path) -> None:
    rotation = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float32)
    points = plane()
    turned = points @ rotation.T
    moved = np.where(valid_mask(points)[..., None], points + np.float32(2), 0).astype(np.float32)
    flat = np.zeros((HEIGHT, WIDTH))
    seen = picture(tmp_path, flat, points=points)
    np.testing.assert_allclose(picture(tmp_path, flat, points=turned), seen, atol=1)
    np.testing.assert_allclose(picture(tmp_path, flat, points=moved), seen, atol=3)


def test_an_image_without_points_is_drawn_flat(tmp_path: Path) -> None:
    valid = np.zeros((HEIGHT, WIDTH), bool)
    valid[5:30, 5:30] = True
    write_heatmap(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH), np.float32), valid, 1.0)
    with Image.open(tmp_path / "a.png") as image:
        seen = np.array(image)
    assert len(np.unique(seen[valid])) == len(np.unique(seen[~valid])) == 1
    assert seen[valid].min() > seen[~valid].max()


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1e-38, 1e38])
def test_odd_thresholds_and_maps_still_give_a_picture(tmp_path: Path, threshold: float) -> None:
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    heat[3, 3:6] = (np.nan, np.inf, -np.inf)
    assert picture(tmp_path, heat, threshold).shape == (HEIGHT, WIDTH, 3)


def test_a_scan_with_nothing_measured_still_gives_a_picture(tmp_path: Path) -> None:
    nothing = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    assert len(np.unique(picture(tmp_path, np.zeros((HEIGHT, WIDTH)), points=nothing))) == 1


def test_shapes_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="same height and width"):
        write_heatmap(tmp_path / "a.png", np.zeros((4, 4), np.float32), np.ones((4, 5), bool), 1.0)
    with pytest.raises(ValueError, match="same height and width"):
        write_heatmap(tmp_path / "a.png", np.zeros((4, 4), np.float32), np.ones((4, 4), bool), 1.0, plane())


def test_the_color_table_rises_in_lightness_to_the_end() -> None:
    table = color_table()
    assert table.shape == (256, 3)
    assert table.dtype == np.uint8
    linear = np.where(table <= 10, table / 3294.6, ((table / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(luminance) - 16
    assert (np.diff(lightness) > -0.2).all()
    tenths = np.diff(lightness[::32])
    assert tenths.min() > 0.4 * tenths.mean()
    assert SCALE_START < 1 < SCALE_END


def test_the_map_is_kept_exactly(tmp_path: Path) -> None:
    heat = np.random.default_rng(4).random((HEIGHT, WIDTH)).astype(np.float32)
    write_map(tmp_path / "new" / "a.tiff", heat)
    with tifffile.TiffFile(tmp_path / "new" / "a.tiff") as file:
        page = file.pages.first
        assert (page.dtype, page.compression.name) == (np.float32, "PACKBITS")
        np.testing.assert_array_equal(page.asarray(), heat)
    with Image.open(tmp_path / "new" / "a.tiff") as image:
        np.testing.assert_array_equal(np.array(image), heat)
    first = (tmp_path / "new" / "a.tiff").read_bytes()
    write_map(tmp_path / "new" / "a.tiff", heat)
    assert (tmp_path / "new" / "a.tiff").read_bytes() == first


def test_what_is_zero_beside_the_part_takes_no_room(tmp_path: Path) -> None:
    heat = np.zeros((HEIGHT, 50 * WIDTH), np.float32)
    heat[:, :WIDTH] = np.random.default_rng(5).random((HEIGHT, WIDTH))
    write_map(tmp_path / "a.tiff", heat)
    assert (tmp_path / "a.tiff").stat().st_size < 2 * heat[:, :WIDTH].nbytes


def test_colors_are_the_tables_mixed_with_the_gray_below() -> None:
    heat = np.linspace(0, 2.5, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    valid = np.ones((HEIGHT, WIDTH), bool)
    gray = draw_heatmap(np.zeros_like(heat), valid, 1.0).astype(float)
    position = np.clip((heat - SCALE_START) / (SCALE_END - SCALE_START), 0, 1)
    opacity = 0.8 * np.clip((heat - SCALE_START) / (1 - SCALE_START), 0, 1)[..., None]
    expected = gray * (1 - opacity) + color_table()[np.rint(255 * position).astype(int)] * opacity
    seen = draw_heatmap(heat, valid, 1.0)
    outlined = (seen == 255).all(axis=-1)
    np.testing.assert_allclose(seen[~outlined], expected[~outlined], atol=3)
    np.testing.assert_array_equal(seen[heat <= SCALE_START], gray[heat <= SCALE_START])


@pytest.mark.parametrize(("size", "width"), [(400, 1), (800, 2)])
def test_the_outline_is_as_wide_as_the_picture_is_large(size: int, width: int) -> None:
    heat = np.zeros((size, size), np.float32)
    heat[100:200, 150:250] = heat[0, -1] = 2.0
    drawn = draw_heatmap(heat, np.ones((size, size), bool), 1.0)
    expected = binary_dilation(heat > 1, iterations=width) & ~(heat > 1)
    np.testing.assert_array_equal((drawn == 255).all(axis=-1), expected)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "heat").mkdir()
    heat = np.zeros((HEIGHT, WIDTH), np.float32)
    with pytest.raises(OutputError, match="cannot be written"):
        write_heatmap(tmp_path / "heat", heat, heat > 0, 1.0)
    with pytest.raises(OutputError, match="cannot be written"):
        write_map(tmp_path / "heat", heat)
    assert [entry.name for entry in tmp_path.iterdir()] == ["heat"]


def test_a_real_scans_relief_is_neither_flat_nor_burnt_out(shared_data: Path, tmp_path: Path) -> None:
    points = read_scan(find_scans([shared_data / "tabletop_objects"])[0]).points
    measured = valid_mask(points)
    seen = picture(tmp_path, np.zeros(measured.shape), points=points)[..., 0][measured]
    low, high = np.percentile(seen, [5, 95])
    assert high - low > 20
    assert 40 < np.median(seen) < 210


def test_an_image_alone_is_drawn_in_gray_under_the_colors() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[:, :20] = False
    drawn = draw_heatmap(np.zeros((HEIGHT, WIDTH), np.float32), valid, 1.0, rgb_hw3=rgb).astype(int)
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert is_gray(drawn).all()
    assert np.abs(drawn[..., 0] - luma)[valid].max() <= 1
    assert (drawn[..., 0][~valid] <= luma[~valid]).all()


def test_an_image_of_another_size_is_refused() -> None:
    map_hw, valid = np.zeros((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), bool)
    with pytest.raises(ValueError, match="same height and width"):
        draw_heatmap(map_hw, valid, 1.0, rgb_hw3=np.zeros((HEIGHT, WIDTH + 1, 3), np.uint8))
