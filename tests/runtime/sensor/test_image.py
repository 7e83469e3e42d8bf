"""Images: 8-bit colors in the scan's pixels, and what a network sees of them."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.image import network_image, read_defect_mask, read_mask, read_rgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

COLORS = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
GRAY = COLORS[..., 0]
Save = Callable[..., Path]


def encoded(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, kind, **options)
    return stream.getvalue()


def tiff(pixels: Any, photometric: str = "rgb", **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric=photometric, **options)
    return stream.getvalue()


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(data: bytes, name: str = "image") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


WITH_ALPHA = np.concatenate([COLORS, COLORS[..., :1]], axis=2)


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("PNG", encoded(COLORS)),
        ("PNG with transparency", encoded(WITH_ALPHA)),
        ("BMP", encoded(COLORS, "BMP")),
        ("TIFF", tiff(COLORS)),
        ("TIFF zlib", tiff(COLORS, compression="zlib", predictor=2)),
        ("TIFF lzw", tiff(COLORS, compression="lzw")),
        ("TIFF planar", tiff(np.moveaxis(COLORS, -1, 0).copy(), planarconfig="separate")),
        ("TIFF with transparency", tiff(WITH_ALPHA, extrasamples=["unassalpha"])),
    ],
)
def test_colors_are_kept_exactly(save: Save, case: str, data: bytes) -> None:
    read = read_rgb(save(data))
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, COLORS)


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("PNG", encoded(GRAY)),
        ("BMP", encoded(GRAY, "BMP")),
        ("TIFF", tiff(GRAY, "minisblack")),
        ("with transparency", encoded(Image.fromarray(np.stack([GRAY, GRAY], axis=2)))),
    ],
)
def test_gray_becomes_three_equal_channels(save: Save, case: str, data: bytes) -> None:
    np.testing.assert_array_equal(read_rgb(save(data)), np.repeat(GRAY[..., None], 3, axis=2))


def test_a_palette_becomes_its_colors(save: Save) -> None:
    image = Image.fromarray(GRAY // 64)
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120])
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [100, 110, 120]], np.uint8)
    assert image.mode == "P"
    np.testing.assert_array_equal(read_rgb(save(encoded(image))), palette[GRAY // 64])


def test_two_colors(save: Save) -> None:
    mask = GRAY > 127
    np.testing.assert_array_equal(read_rgb(save(encoded(mask)))[..., 1], np.where(mask, 255, 0))
    np.testing.assert_array_equal(read_mask(save(encoded(mask))), mask)


def test_jpeg_is_near(save: Save) -> None:
    smooth = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[:, None, None], 40, axis=1).repeat(3, axis=2)
    read = read_rgb(save(encoded(smooth, "JPEG", quality=95)))
    assert np.abs(read.astype(int) - smooth).max() <= 3


def test_an_orientation_mark_is_ignored(save: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_rgb(save(encoded(COLORS, "JPEG", exif=exif.tobytes()))).shape == COLORS.shape


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("empty", b"", "is empty"),
        ("no image", b"ply\nformat ascii 1.0\n", "PNG, JPEG, TIFF or BMP"),
        ("GIF", encoded(GRAY, "GIF"), "PNG, JPEG, TIFF or BMP"),
        ("16-bit gray", encoded(GRAY.astype(np.uint16)), "mode I;16"),
        ("16-bit TIFF", tiff(GRAY.astype(np.uint16), "minisblack"), "8-bit"),
        ("float TIFF", tiff(COLORS.astype(np.float32)), "8-bit"),
        ("CMYK", encoded(Image.new("CMYK", (9, 9)), "JPEG"), "mode CMYK"),
        ("truncated PNG", encoded(COLORS)[:-30], "truncated"),
        ("truncated JPEG", encoded(COLORS, "JPEG")[:-60], "truncated"),
        ("truncated BMP", encoded(COLORS, "BMP")[:-60], "truncated"),
        ("truncated TIFF", tiff(COLORS)[:-60], "truncated"),
        ("TIFF without a width", tiff(COLORS).replace(b"\x00\x01\x04\x00", b"\x01\x01\x04\x00", 1), "TIFF"),
        ("broken PNG", encoded(COLORS).replace(b"IDAT", b"IDAX"), "damaged|not in a supported image format"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_its_name(save: Save, case: str, data: bytes, says: str) -> None:
    path = save(data, "image.png")
    with pytest.raises(ScanError, match=says) as caught:
        read_rgb(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="no such file"):
        read_rgb(tmp_path / "missing.png")
    with pytest.raises(ScanError, match="is a folder"):
        read_rgb(tmp_path)


@pytest.mark.parametrize(("side", "says"), [(5000, "cannot hold"), (9000, "67108864"), (60000, "67108864")])
def test_decompression_bombs_are_refused(save: Save, side: int, says: str) -> None:
    data = bytearray(encoded(GRAY))
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ScanError, match=says):
        read_rgb(save(bytes(data)))


@pytest.mark.parametrize("kind", range(1, 19))
def test_a_tiff_side_of_a_wrong_type_is_refused_before_memory_is_taken(save: Save, kind: int) -> None:
    data = bytearray(tiff(COLORS))
    width, height = (data.index(struct.pack("<HH", tag, 4)) for tag in (256, 257))
    struct.pack_into("<HI", data, width + 2, kind, 2)
    struct.pack_into("<I", data, height + 8, 2**32 - 1)
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            read_rgb(save(bytes(data)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20


SEEDS = (
    encoded(COLORS),
    encoded(Image.fromarray(COLORS).quantize(8)),
    encoded(COLORS, "JPEG"),
    encoded(COLORS, "BMP"),
    tiff(COLORS, compression="lzw"),
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_damaged_bytes_give_an_image_or_one_plain_error(
    tmp_path_factory: pytest.TempPathFactory, seed: bytes, draw: st.DataObject
) -> None:
    data = bytearray(seed[: draw.draw(st.integers(1, len(seed)) | st.just(len(seed)))])
    places = st.integers(0, min(len(data), 250) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data)
    try:
        read = read_rgb(path)
    except ScanError as error:
        assert "\n" not in str(error)
    else:
        assert read.dtype == np.uint8
        assert read.shape[2] == 3


# A defect in the middle of a part.
DEFECT = np.zeros((9, 14), np.bool_)
DEFECT[3:6, 4:9] = True


def labels(palette: list[int], of_part: int = 0, of_defect: int = 1, **options: Any) -> bytes:
    image = Image.fromarray(np.where(DEFECT, of_defect, of_part).astype(np.uint8))
    image.putpalette(palette)
    return encoded(image, **options)


def with_alpha(part: tuple[int, ...], defect: tuple[int, ...]) -> Any:
    """(H, W, 2 or 4) uint8: gray or color, and opacity."""
    return np.where(DEFECT[..., None], np.uint8(defect), np.uint8(part))


WHITE, BLACK = [255] * 3, [0] * 3
MASKS = {
    "0 and 255": encoded(np.uint8(255) * DEFECT),
    "0 and 1": encoded(DEFECT.astype(np.uint8)),
    "1 bit": encoded(DEFECT),
    "labels 3 to 5": encoded(np.arange(3, 17, dtype=np.uint8) % 3 * DEFECT + np.uint8(3) * DEFECT),
    "16 bits": encoded(DEFECT.astype(np.uint16)),
    "16 bits, upper half": encoded(np.uint16(65535) * DEFECT),
    "color": encoded(np.stack([0 * DEFECT, DEFECT, 0 * DEFECT], axis=2).astype(np.uint8)),
    "palette": labels([*BLACK, 128, 0, 0]),
    "palette of the same gray as labels": labels(np.repeat(np.arange(256), 3).tolist()),
    "palette with a transparent part": labels([*WHITE, *WHITE], transparency=0),
    "BMP": encoded(DEFECT.astype(np.uint8), "BMP"),
    "BMP, 1 bit": encoded(DEFECT, "BMP"),
    "gray, opaque": encoded(Image.fromarray(with_alpha((0, 255), (1, 255)))),
    "transparency alone, white": encoded(with_alpha((255, 255, 255, 0), (255, 255, 255, 255))),
    "transparency alone, gray": encoded(Image.fromarray(with_alpha((200, 0), (200, 3)))),
    "drawn in red on nothing": encoded(with_alpha((0, 0, 0, 0), (255, 0, 0, 255))),
    "drawn in red on transparent white": encoded(with_alpha((255, 255, 255, 0), (255, 0, 0, 90))),
    "white on black, both half transparent": encoded(with_alpha((0, 0, 0, 90), (255, 255, 255, 128))),
    "gray with a transparent value": encoded(DEFECT.astype(np.uint8), transparency=0),
    "TIFF 8 bits": tiff(DEFECT.astype(np.uint8), "minisblack", compression="zlib"),
    "TIFF 16 bits": tiff(DEFECT.astype(np.uint16), "minisblack"),
    "TIFF 32 bits": tiff(DEFECT.astype(np.uint32), "minisblack", compression="lzw"),
    "TIFF 1 bit": tiff(DEFECT, "minisblack"),
    "TIFF 16-bit color": tiff(np.repeat(DEFECT[..., None], 3, axis=2).astype(np.uint16)),
    "TIFF transparency": tiff(with_alpha((9, 9, 9, 0), (9, 9, 9, 1)), extrasamples=["unassalpha"]),
}


@pytest.mark.parametrize("case", MASKS)
def test_every_value_above_zero_is_defective(save: Save, case: str) -> None:
    mask = read_mask(save(MASKS[case]))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, DEFECT)
    np.testing.assert_array_equal(read_defect_mask(save(MASKS[case])), DEFECT)


def png_16_bit_color() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.repeat(DEFECT[..., None], 3, axis=2).astype(np.uint16)))


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("JPEG", encoded(np.uint8(255) * DEFECT, "JPEG"), "JPEG, in which zeros"),
        ("16-bit color", png_16_bit_color(), "16-bit color"),
        ("palette that inverts", labels([*WHITE, *BLACK]), "palette in which"),
        ("palette without its second color", labels(BLACK), "palette in which"),
        ("palette without black", labels([9, 9, 9, 128, 0, 0]), "palette in which"),
        ("drawn in black", encoded(with_alpha((0, 0, 0, 0), (0, 0, 0, 255))), "color and transparency"),
        ("a hole in black", encoded(with_alpha((0, 0, 0, 255), (0, 0, 0, 0))), "color and transparency"),
        ("drawn invisibly", encoded(with_alpha((0, 0, 0, 0), (255, 0, 0, 0))), "color and transparency"),
        ("lighter overlay", encoded(with_alpha((255, 0, 0, 50), (255, 0, 0, 200))), "color and transparency"),
        ("float TIFF", tiff(DEFECT.astype(np.float32), "minisblack"), "not supported as a mask"),
        ("signed TIFF", tiff(DEFECT.astype(np.int16), "minisblack"), "not supported as a mask"),
        ("TIFF of zero as white", tiff(DEFECT, "miniswhite"), "not supported as a mask"),
        ("truncated", MASKS["16 bits"][:-30], "damaged or truncated"),
        ("no image", b"1 2 3", "PNG, JPEG, TIFF or BMP"),
    ],
)
def test_a_mask_that_would_have_to_be_guessed_is_refused(save: Save, case: str, data: bytes, says: str) -> None:
    path = save(data)
    with pytest.raises(ScanError, match=says) as caught:
        read_mask(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert re.search("[:;] (save|record)", str(caught.value))


@pytest.mark.parametrize("empty", [encoded(0 * GRAY), encoded(0 * WITH_ALPHA), tiff(0 * GRAY, "minisblack")])
def test_an_empty_mask_is_refused_only_for_a_defective_part(save: Save, empty: bytes) -> None:
    path = save(empty)
    assert not read_mask(path).any()
    with pytest.raises(ScanError, match="marks nothing, but its part is labeled defective: correct") as caught:
        read_defect_mask(path)
    assert str(caught.value).startswith(f"{path}: ")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(MASKS)), st.data())
def test_damaged_masks_give_a_mask_or_one_plain_error(
    tmp_path_factory: pytest.TempPathFactory, case: str, draw: st.DataObject
) -> None:
    data = bytearray(MASKS[case])
    places = st.integers(0, min(len(data), 250) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)):
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged_mask"
    path.write_bytes(data)
    try:
        mask = read_mask(path)
    except ScanError as error:
        assert "\n" not in str(error)
    else:
        assert mask.dtype == np.bool_
        assert mask.ndim == 2


def test_damage_prints_nothing(save: Save, capfd: pytest.CaptureFixture[str]) -> None:
    for seed in SEEDS:
        for place in range(8, 240, 7):
            path = save(seed[:place] + b"\xff\x01" + seed[place + 2 :])
            try:
                read_rgb(path)
            except ScanError:
                continue
    assert capfd.readouterr() == ("", "")


def test_the_network_sees_bicubic_imagenet_normalized_channels() -> None:
    image = Image.fromarray(COLORS)
    resized = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC), np.float64)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = np.moveaxis((resized / 255 - mean) / std, -1, 0)
    seen = network_image(COLORS)
    assert seen.shape == (3, 224, 224)
    assert seen.dtype == np.float32
    assert seen.flags.c_contiguous
    np.testing.assert_allclose(seen, expected, atol=1e-6, rtol=0)


def test_an_image_of_the_right_size_is_not_resampled() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    back = np.moveaxis(network_image(colors, 32), 0, -1) * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    np.testing.assert_array_equal(np.rint(back * 255).astype(np.uint8), colors)
