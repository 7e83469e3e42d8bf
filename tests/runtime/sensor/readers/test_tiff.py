"""TIFF scans: every supported storage gives the registered values, everything else one plain line."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.arranging import arranged
from cmdiad.runtime.sensor.readers import decode_scan
from hypothesis import given, settings
from hypothesis import strategies as st


def decode_points(data: bytes) -> np.ndarray:
    """What becomes of a file that says everything by itself."""
    return arranged(decode_scan(data)).points


ADVICE = re.compile(r"[:;,] (or )?(save|record|copy|give|check|write|use|name)\b")
POINTS = np.random.default_rng(0).normal(size=(13, 17, 3)).astype(np.float32)
POINTS[2:4, 3:9] = 0


def tiff(pixels: np.ndarray = POINTS, photometric: str = "rgb", **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, photometric=photometric, **options)
    return stream.getvalue()


def planar(pixels: np.ndarray = POINTS, **options: Any) -> bytes:
    return tiff(np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), planarconfig="separate", **options)


STORED = {
    "plain": tiff(),
    "zlib": tiff(compression="zlib"),
    "zlib with float predictor": tiff(compression="zlib", predictor=3),
    "lzw": tiff(compression="lzw"),
    "lzw with float predictor": tiff(compression="lzw", predictor=3),
    "big endian": tiff(byteorder=">"),
    "big endian lzw with float predictor": tiff(byteorder=">", compression="lzw", predictor=3),
    "BigTIFF": tiff(bigtiff=True, compression="zlib"),
    "strips": tiff(rowsperstrip=4, compression="zlib"),
    "big endian strips": tiff(rowsperstrip=5, compression="zlib", byteorder=">"),
    "plain strips": tiff(rowsperstrip=4),
    "tiles": tiff(tile=(16, 16), compression="lzw"),
    "planar": planar(),
    "planar zlib strips": planar(rowsperstrip=5, compression="zlib", predictor=3),
}


@pytest.mark.parametrize("case", STORED)
def test_values_are_kept_exactly(case: str) -> None:
    read = decode_points(STORED[case])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, POINTS)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int16", "uint16", "int32", "uint8"])
def test_other_numbers_keep_their_type(dtype: str) -> None:
    pixels = (100 * np.abs(POINTS)).astype(dtype)
    read = decode_points(tiff(pixels, compression="zlib"))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)


def pages(*written: tuple[np.ndarray, dict[str, Any]], **options: Any) -> bytes:
    """A TIFF of several pages: arrays with the options of each."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, **options) as writer:
        for pixels, page in written:
            photometric = "rgb" if pixels.ndim == 3 else "minisblack"
            writer.write(pixels, **{"photometric": photometric, "metadata": None, **page})
    # tifffile writes no masks of more than one bit: bit 1 stands for bit 2.
    subfiletypes = {before: struct.pack("<HHII", 254, 4, 1, after) for before, after in ((2, 4), (3, 5))}
    data = stream.getvalue()
    for before, entry in subfiletypes.items():
        data = data.replace(struct.pack("<HHII", 254, 4, 1, before), entry)
    return data


PREVIEW = (100 * np.abs(POINTS[::4, ::4])).astype(np.uint8)
SCAN_PAGE = (POINTS, {"compression": "zlib"})
REDUCED = (PREVIEW, {"subfiletype": 1})
SMALLER = (POINTS[::2, ::2], {"subfiletype": 1})
MASK = (np.zeros(POINTS.shape[:2], np.uint8), {"subfiletype": 2})
MASK_OF_REDUCED = (np.zeros(PREVIEW.shape[:2], np.uint8), {"subfiletype": 3})
OLD_REDUCED = (PREVIEW, {"extratags": [(255, "H", 1, 2, True)]})
OLD_FULL = (POINTS, {"extratags": [(255, "H", 1, 1, True)]})


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("a preview first", pages(REDUCED, SCAN_PAGE)),
        ("a preview last", pages(SCAN_PAGE, REDUCED)),
        ("a preview of the scan's own kind first", pages(SMALLER, SCAN_PAGE)),
        ("masks and previews first", pages(MASK, REDUCED, MASK_OF_REDUCED, SMALLER, SCAN_PAGE)),
        ("a preview marked as TIFF 5 did", pages(OLD_REDUCED, OLD_FULL)),
        ("a pyramid in SubIFDs", pages((POINTS, {"subifds": 2}), SMALLER, REDUCED)),
        ("the scan in a SubIFD of its preview", pages((PREVIEW, {"subfiletype": 1, "subifds": 2}), SMALLER, SCAN_PAGE)),
        ("a preview first, big-endian BigTIFF", pages(REDUCED, SCAN_PAGE, bigtiff=True, byteorder=">")),
        ("a second scan, which is not read", pages(SCAN_PAGE, (POINTS + 1, {}))),
    ],
)
def test_the_first_page_of_full_resolution_is_read(case: str, data: bytes) -> None:
    read = decode_points(data)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, POINTS)


def test_a_file_of_previews_alone_is_refused() -> None:
    with pytest.raises(ScanError, match="only reduced images and masks: save"):
        decode_points(pages(REDUCED, SMALLER, MASK))


def test_a_chain_of_pages_that_leads_back_into_itself_ends() -> None:
    data = bytearray(pages(REDUCED, SMALLER))
    starts = [struct.unpack_from("<I", data, 4)[0]]
    entries = struct.unpack_from("<H", data, starts[0])[0]
    starts.append(struct.unpack_from("<I", data, starts[0] + 2 + 12 * entries)[0])
    last = struct.unpack_from("<H", data, starts[1])[0]
    struct.pack_into("<I", data, starts[1] + 2 + 12 * last, starts[0])
    with pytest.raises(ScanError):
        decode_points(bytes(data))


def handmade(body: bytes, compression: int, predictor: int | None = None) -> bytes:
    """As other libraries write it: the directory after the pixels, one strip, no description."""
    height, width = POINTS.shape[:2]
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, 1, 32),
        (259, 3, 1, compression),
        (262, 3, 1, 2),
    ]
    tags += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 1, len(body)), (284, 3, 1, 1)]
    tags += [(317, 3, 1, predictor)] if predictor else []
    tags += [(339, 3, 1, 3)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def _differences() -> bytes:
    """What the TIFF predictor 2 stores: the difference to the pixel on the left, of the bit patterns."""
    bits = POINTS.view(np.uint32)
    return np.concatenate([bits[:, :1], np.diff(bits, axis=1)], axis=1).tobytes()


@pytest.mark.parametrize(
    ("case", "data"),
    [
        ("plain", handmade(POINTS.tobytes(), 1)),
        ("zlib", handmade(zlib.compress(POINTS.tobytes()), 8)),
        ("zlib under its old number", handmade(zlib.compress(POINTS.tobytes()), 32946)),
        ("zlib with difference predictor", handmade(zlib.compress(_differences()), 8, 2)),
    ],
)
def test_tiff_written_by_others_is_read(case: str, data: bytes) -> None:
    np.testing.assert_array_equal(decode_points(data), POINTS)


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("depth image", tiff(POINTS[..., 0], "minisblack"), "geometry.intrinsics"),
        ("four samples", tiff(np.repeat(POINTS, 2, axis=2)[..., :4]), "13 x 17 x 4, not H x W x 3"),
        ("two samples", tiff(POINTS[..., :2], "minisblack", planarconfig="contig"), "not H x W x 3"),
        ("three pages", tiff(np.moveaxis(POINTS, -1, 0), "minisblack"), "gray pixels|geometry.height_grid"),
        ("one row", tiff(POINTS[:1]), "unorganized"),
        ("one column", tiff(POINTS[:, :1]), "unorganized"),
        ("complex samples", tiff(POINTS.astype(np.complex64)), "complex64"),
        ("zstd", tiff(compression="zstd"), "LZW or zlib"),
        ("jpeg", tiff((50 * np.abs(POINTS)).astype(np.uint8), compression="jpeg"), "LZW or zlib"),
        ("predictor alone", handmade(_differences(), 1, 2), "LZW or zlib"),
        ("no directory", b"II*\0\x08\0\0\0", "damaged or truncated TIFF"),
        ("magic only", b"MM\0*", "damaged or truncated TIFF"),
    ],
)
def test_what_cannot_be_read_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_points(data)


@pytest.mark.parametrize("case", STORED)
def test_every_truncation_is_refused(case: str) -> None:
    data = STORED[case]
    pixels_end = len(data) - (16 if case == "tiles" else 0)
    for length in range(4, pixels_end, 41):
        with pytest.raises(ScanError):
            decode_points(data[:length])


def _with_tag(data: bytes, tag: int, value: int) -> bytes:
    """Change a LONG or SHORT tag of a little-endian classic TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    changed = bytearray(data)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<I", changed, entry + 8, value)
            return bytes(changed)
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize("case", ["plain", "zlib", "lzw", "tiles"])
@pytest.mark.parametrize(
    ("height", "width"), [(8192, 8192), (65536, 65536), (2**31, 2**31 - 1), (2**32 - 1, 17), (0, 17)]
)
def test_declared_sizes_are_checked_before_memory_is_taken(case: str, height: int, width: int) -> None:
    data = _with_tag(_with_tag(STORED[case], 257, height), 256, width)
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            decode_points(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20


def test_huge_tiles_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(ScanError, match="damaged"):
        decode_points(_with_tag(_with_tag(STORED["tiles"], 322, 2**28), 323, 2**28))


@pytest.mark.parametrize("place", range(10, 200, 12))
@pytest.mark.parametrize("kind", range(1, 19))
def test_tags_of_a_wrong_type_are_refused_before_memory_is_taken(place: int, kind: int) -> None:
    """A width that is a pair, or text, must not be multiplied with a height of 4 billion."""
    data = bytearray(_with_tag(STORED["zlib"], 257, 2**32 - 1))
    struct.pack_into("<HI", data, place + 2, kind, 2)
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            decode_points(bytes(data))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20


def test_damage_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for data in (STORED["zlib"], STORED["lzw"]):
        for place in range(8, 250, 3):
            _accept_or_refuse(data[:place] + b"\xff\xff" + data[place + 2 :])
    assert capfd.readouterr() == ("", "")


def _accept_or_refuse(data: bytes) -> None:
    try:
        read = decode_points(data)
    except ScanError as error:
        assert str(error).isprintable()
        assert ADVICE.search(str(error)), str(error)
    else:
        assert read.ndim == 3
        assert read.shape[2] == 3


FUZZED = STORED | {
    "preview first": pages(REDUCED, SCAN_PAGE),
    "SubIFDs": pages((PREVIEW, {"subfiletype": 1, "subifds": 1}), SCAN_PAGE),
}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FUZZED)), st.data())
def test_changed_bytes_give_a_scan_or_one_plain_error(case: str, draw: st.DataObject) -> None:
    data = bytearray(FUZZED[case])
    places = st.integers(0, min(len(data), 400) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        data[place] = value
    _accept_or_refuse(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"]), st.binary(max_size=300))
def test_random_bytes_give_one_plain_error(magic: bytes, rest: bytes) -> None:
    _accept_or_refuse(magic + rest)
