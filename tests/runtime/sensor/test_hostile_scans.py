"""Scans and images made to do harm: small files that would take much memory or time, and numbers that are no scan."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.preparation.prepare import STRUCTURED_LIGHT, prepare
from cmdiad.runtime.sensor.image import decode_rgb, read_mask
from cmdiad.runtime.sensor.readers import decode_scan
from cmdiad.runtime.sensor.scan import scan_from_array, scan_from_bytes
from PIL import Image

MB = 1 << 20


def tiff_of(tags: list[tuple[int, int, int, int]], body: bytes) -> bytes:
    """A little-endian TIFF: a body from byte 8 on, then one directory of (tag, type, count, value)."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(tags)) + entries + bytes(4)


def plain_tags(height: int, width: int, n_bytes: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    """Those of one strip of gray-coded 8-bit color at byte 8."""
    return [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 2)),
        *((273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, n_bytes)),
    ]


def test_a_thousand_tags_that_share_a_megabyte_of_values_are_refused_at_once() -> None:
    """They took 7 s and 2 GB, and the scan was read."""
    body = bytes(np.random.default_rng(0).integers(0, 255, MB, np.uint8))
    for twins in (1000, 200):  # few enough for one directory, and still 1.6 GB
        tags = [*plain_tags(8, 8, 192), *[(273, 4, MB // 4, 8)] * twins]
        peak, seconds = measured(partial(refused, tiff_of(tags, body)))
        assert peak < 64 * MB and seconds < 5


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_big", [False, True], ids=["classic", "BigTIFF"])
def test_directories_of_thousands_of_entries_are_refused_wherever_they_hang(order: str, is_big: bool) -> None:
    """They take the square of their entries: 64 sub-directories of 4,000 took a minute."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=is_big, byteorder=order) as writer:
        writer.write(np.ones((8, 8, 3), np.float32), photometric="rgb", subfiletype=1, subifds=2, metadata=None)
        for number in range(2):
            many = [(65000 + at, "H", 1, 1, True) for at in range(300 * number)]
            writer.write(np.ones((8, 8, 3), np.float32), photometric="rgb", metadata=None, extratags=many)
    with pytest.raises(ScanError, match=r"a directory of 3\d\d entries, at most 256 are read"):
        decode_scan(stream.getvalue())


def test_strips_that_share_their_bytes_are_refused() -> None:
    block = zlib.compress(bytes(12))
    n = 3000
    places, sizes = struct.pack(f"<{n}I", *[8] * n), struct.pack(f"<{n}I", *[len(block)] * n)
    body = block + places + sizes
    tags = [tag for tag in plain_tags(n, 4, 0, 8) if tag[0] not in (273, 278, 279)]
    tags += [(273, 4, n, 8 + len(block)), (278, 4, 1, 1), (279, 4, n, 8 + len(block) + len(places))]
    with pytest.raises(ScanError, match="damaged"):
        decode_scan(tiff_of(tags, body))


def npz_of(shape: tuple[int, ...], packed: bytes, n_bytes: int) -> bytes:
    """An archive of one array, whose compressed bytes are given."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("points.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": shape})
        for _ in range(n_bytes // MB):
            member.write(packed)
    return stream.getvalue()


def test_compressed_scans_that_grow_beyond_all_measure_are_refused_before_they_do() -> None:
    """Of 64 million points these were 1.6 GB, from 1.6 MB."""
    npz = npz_of((4096, 4096, 3), bytes(MB), 384 * MB)
    lzf = bytes(imagecodecs.lzf_encode(bytes(8 * MB)))
    pcd = (
        b"VERSION 0.7\nFIELDS x y z\nSIZE 1 1 1\nTYPE U U U\nCOUNT 1 1 1\nWIDTH 4096\nHEIGHT 4096\nDATA "
        b"binary_compressed\n" + struct.pack("<II", len(lzf) // 2, 3 * 4096 * 4096) + lzf[: len(lzf) // 2]
    )
    stream = io.BytesIO()
    zeros = np.zeros((4096, 4096, 3), np.uint8)
    tifffile.imwrite(stream, zeros, photometric="rgb", compression="zlib", rowsperstrip=64)
    for name, data in {"npz": npz, "tiff": stream.getvalue(), "pcd": pcd}.items():
        peak, _ = measured(partial(refused, data))
        assert peak < 16 * MB + 2 * len(data), name
    with pytest.raises(ScanError, match=r"declares 16777216 points in \d+ compressed bytes"):
        decode_scan(npz)


def test_a_compressed_scan_of_which_one_percent_was_measured_is_read() -> None:
    points = np.zeros((1200, 1900, 3), np.float32)
    points[500:570, 600:920] = np.random.default_rng(0).normal(size=(70, 320, 3)) + 1
    stream = io.BytesIO()
    np.savez_compressed(stream, points=points)
    np.testing.assert_array_equal(decode_scan(stream.getvalue()).numbers, points)


def test_two_arrays_of_one_name_are_refused() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("points.npy", "points"):
            archive.writestr(name, b"x")
    with pytest.raises(ScanError, match="two arrays have the same name"):
        decode_scan(stream.getvalue())


def png_of(height: int, width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """An 8-bit gray PNG of zeros with further chunks before its pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(min(height * (width + 1), 4 * MB)), 9)
    listed = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in listed
    )


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_packed_chunks_beside_the_pixels_take_no_memory(kind: bytes) -> None:
    bomb = zlib.compress(bytes(64 * MB), 9)
    content = {b"iCCP": b"a\0\0", b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[kind] + bomb

    def decode() -> None:
        try:
            decode_rgb(png_of(9, 9, *[(kind, content)] * 40))
        except ScanError:
            return

    peak, seconds = measured(decode)
    assert peak < 128 * MB and seconds < 3


def test_an_image_of_67_million_pixels_in_a_few_bytes_is_refused() -> None:
    with pytest.raises(ScanError, match=r"bytes cannot hold|compressed bytes"):
        decode_rgb(png_of(8192, 8192))


def test_a_jpeg_of_hundreds_of_scans_is_refused() -> None:
    """200 of them took 6 s for 100 kB, and a megabyte a minute: each goes over the whole image."""
    stream = io.BytesIO()
    Image.new("RGB", (640, 640)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    assert decode_rgb(data).shape == (640, 640, 3)
    last = data[data.rfind(b"\xff\xda") : -2]
    with pytest.raises(ScanError, match="more than 64 scans"):
        decode_rgb(data[:-2] + last * 100 + data[-2:])


def refused(data: bytes) -> None:
    with pytest.raises(ScanError):
        decode_scan(data)


def measured(action: Callable[[], object]) -> tuple[int, float]:
    """Peak of Python's and NumPy's memory, bytes, and seconds."""
    tracemalloc.start()
    begin = time.perf_counter()
    try:
        action()
        return tracemalloc.get_traced_memory()[1], time.perf_counter() - begin
    finally:
        tracemalloc.stop()


def table(height: int, width: int) -> np.ndarray:
    """A flat table half a metre away: (H, W, 3) float32."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([columns * 5e-4, rows * 5e-4, np.full_like(rows, 0.5)], -1)


def test_a_plane_of_a_million_points_is_refused_in_words_and_in_time() -> None:
    begin = time.perf_counter()
    with pytest.raises(ScanError, match="no part is in view"):
        prepare(scan_from_array(table(1000, 1000)).points, STRUCTURED_LIGHT)
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("case", "points"),
    [
        ("one point again and again", np.full((40, 50, 3), 0.5, np.float32)),
        ("a line", table(40, 50) * np.float32([1, 0, 0])),
        ("noise", np.random.default_rng(0).normal(size=(40, 50, 3)).astype(np.float32)),
        ("huge noise", np.random.default_rng(0).normal(size=(40, 50, 3)).astype(np.float32) * 1e30),
        ("tiny numbers", table(40, 50) * np.float32(1e-40)),
        ("all NaN", np.full((40, 50, 3), np.nan, np.float32)),
        ("all infinite", np.full((40, 50, 3), -np.inf, np.float32)),
        ("largest floats", np.full((40, 50, 3), np.finfo(np.float32).max)),
        ("kilometres", table(40, 50) * np.float32(1e6)),
        ("two rows", table(2, 500)),
        ("two columns", table(500, 2)),
        ("four points", table(2, 2)),
    ],
)
def test_numbers_that_are_no_scan_of_a_part_are_refused_in_words(case: str, points: np.ndarray) -> None:
    with pytest.raises(ScanError) as refusal:
        scan = scan_from_array(points)
        prepare(scan.points, STRUCTURED_LIGHT, origin=scan.origin)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 9, 3), (1, 1, 3), (1, 99, 3), (99, 1, 3)])
def test_grids_that_are_no_image_are_refused(shape: tuple[int, ...]) -> None:
    stream = io.BytesIO()
    np.save(stream, np.full(shape, 0.5, np.float32))
    with pytest.raises(ScanError, match="unorganized"):
        scan_from_bytes(stream.getvalue())


def test_a_scan_whose_every_second_row_and_column_is_missing_does_not_end_the_search_for_a_plane() -> None:
    """The plane's side is judged on every second row and column, of which then nothing was measured."""
    points = np.zeros((17, 18, 3), np.float32)
    rows, columns = [1, 3, 3, 3, 7, 14, 16], [14, 8, 14, 15, 13, 13, 13]
    points[rows, columns, 0], points[rows[1:4], columns[1:4], 1] = [-1.2e-7, 0, *[-1.2e-7] * 5], -1.2e-7
    points[3, 15, 0] = 0
    with suppress(ScanError):
        prepare(scan_from_array(points).points, STRUCTURED_LIGHT)


def test_a_mask_of_a_million_pixels_in_a_kilobyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    mask = np.zeros((3000, 4000), bool)
    mask[100:120, 100:120] = True
    Image.fromarray(mask).save(path)
    assert path.stat().st_size < 8000
    assert read_mask(path).sum() == 400
