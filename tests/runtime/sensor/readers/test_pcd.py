"""PCD scans: text, binary and compressed, organized only."""

from __future__ import annotations

import re
import struct
import tracemalloc

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.arranging import arranged
from cmdiad.runtime.sensor.readers import decode_scan
from hypothesis import given, settings
from hypothesis import strategies as st


def decode_points(data: bytes) -> np.ndarray:
    """What becomes of a file that says everything by itself."""
    return arranged(decode_scan(data)).points


HEIGHT, WIDTH = 5, 8
POINTS = np.random.default_rng(2).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
POINTS[1, 2:5] = np.nan
LAYOUT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("_", "u1", (4,)), ("rgb", "<u4")])
ENCODINGS = ["ascii", "binary", "binary_compressed"]
ADVICE = re.compile(r"[:;,] (or )?(save|record|copy|give|check|write|use|name)\b")
KINDS = {"f": "F", "i": "I", "u": "U"}


def records(points: np.ndarray = POINTS, layout: np.dtype = LAYOUT) -> np.ndarray:
    flat = np.zeros(points.shape[0] * points.shape[1], layout)
    for axis, values in zip("xyz", points.reshape(-1, 3).T, strict=True):
        flat[axis] = values
    flat["rgb"] = np.arange(len(flat)) * 70001
    return flat


def header(layout: np.dtype, encoding: str, width: int, height: int) -> bytes:
    fields = {name: layout[name] for name in layout.names or ()}
    lines = ["# .PCD v0.7 - Point Cloud Data file format", "VERSION 0.7", "FIELDS " + " ".join(fields)]
    lines.append("SIZE " + " ".join(str(field.base.itemsize) for field in fields.values()))
    lines.append("TYPE " + " ".join(KINDS[field.base.kind] for field in fields.values()))
    lines.append("COUNT " + " ".join(str(int(np.prod(field.shape))) for field in fields.values()))
    lines += [f"WIDTH {width}", f"HEIGHT {height}", "VIEWPOINT 0 0 0 1 0 0 0", f"POINTS {width * height}"]
    return "\n".join([*lines, f"DATA {encoding}", ""]).encode()


def stored_uncompressed_lzf(data: bytes) -> bytes:
    """LZF of literal runs only, by its published format: a byte n < 32, then n + 1 bytes as they are."""
    runs = [data[i : i + 32] for i in range(0, len(data), 32)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def pcd(encoding: str, points: np.ndarray = POINTS, layout: np.dtype = LAYOUT) -> bytes:
    flat = records(points, layout)
    start = header(layout, encoding, points.shape[1], points.shape[0])
    if encoding == "binary":
        return start + flat.tobytes()
    if encoding == "ascii":
        rows = (np.concatenate([np.atleast_1d(value) for value in row]) for row in flat.tolist())
        return start + b"".join(" ".join(map(repr, row.tolist())).encode() + b"\n" for row in rows)
    by_field = b"".join(np.ascontiguousarray(flat[name]).tobytes() for name in layout.names or ())
    packed = stored_uncompressed_lzf(by_field)
    return start + struct.pack("<II", len(packed), len(by_field)) + packed


STORED = {encoding: pcd(encoding) for encoding in ENCODINGS}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_values_are_kept_exactly(encoding: str) -> None:
    np.testing.assert_array_equal(decode_points(STORED[encoding]).astype(np.float32), POINTS)


def test_compressed_repetitions_are_read() -> None:
    """One literal byte 0, then LZF's back references: 7 << 5, length - 9, distance - 1."""
    layout = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    n_bytes = HEIGHT * WIDTH * layout.itemsize
    packed = bytes([0, 0, 7 << 5, 255, 0, 7 << 5, n_bytes - 1 - 264 - 9, 0])
    sizes = struct.pack("<II", len(packed), n_bytes)
    assert not decode_points(header(layout, "binary_compressed", WIDTH, HEIGHT) + sizes + packed).any()


def test_a_block_that_compression_did_not_shrink_is_stored_as_it_is() -> None:
    """PCL's writer and reader: equal sizes mean that the block is not compressed."""
    by_field = b"".join(np.ascontiguousarray(records()[name]).tobytes() for name in LAYOUT.names or ())
    sizes = struct.pack("<II", len(by_field), len(by_field))
    np.testing.assert_array_equal(
        decode_points(header(LAYOUT, "binary_compressed", WIDTH, HEIGHT) + sizes + by_field), POINTS
    )


def test_a_compressed_block_that_happens_to_be_as_long_as_its_points_is_decompressed() -> None:
    """A literal run costs a byte more than it holds; three times its last byte, as a back reference, a byte less."""
    layout = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
    rng = np.random.default_rng(3)
    runs = [rng.integers(0, 256, n, dtype=np.uint8).tobytes() for n in (*[32] * 13, 22)]
    expected = b"".join(run + run[-1:] * 3 for run in runs)
    packed = b"".join(stored_uncompressed_lzf(run) + bytes([1 << 5, 0]) for run in runs)
    assert len(packed) == len(expected) == HEIGHT * WIDTH * layout.itemsize
    sizes = struct.pack("<II", len(packed), len(packed))
    read = decode_points(header(layout, "binary_compressed", WIDTH, HEIGHT) + sizes + packed)
    assert read.transpose(2, 0, 1).tobytes() == expected


@pytest.mark.parametrize(("packed", "unpacked"), [(0, 0), (0, 800), (800, 0), (799, 799), (801, 801), (2**32 - 1,) * 2])
def test_sizes_that_lie_are_refused(packed: int, unpacked: int) -> None:
    by_field = b"".join(np.ascontiguousarray(records()[name]).tobytes() for name in LAYOUT.names or ())
    assert len(by_field) == 40 * LAYOUT.itemsize == 800
    sizes = struct.pack("<II", packed, unpacked)
    with pytest.raises(ScanError, match=r"(damaged compressed data|truncated): .*record"):
        decode_points(header(LAYOUT, "binary_compressed", WIDTH, HEIGHT) + sizes + by_field + b" ")


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dtype", ["<f8", "<i2", "<u4", "<i8"])
def test_other_numbers_keep_their_kind(encoding: str, dtype: str) -> None:
    layout = np.dtype([("rgb", "<u2"), ("z", dtype), ("y", dtype), ("x", dtype)])
    points = (100 * np.abs(np.nan_to_num(POINTS))).astype(dtype)
    read = decode_points(pcd(encoding, points, layout))
    assert (read.dtype.kind == "f") == (dtype == "<f8")
    np.testing.assert_array_equal(read, points)


def test_windows_line_ends_and_further_comments() -> None:
    start = b"# a comment\r\n\r\n" + header(LAYOUT, "binary", WIDTH, HEIGHT).replace(b"\n", b"\r\n")
    np.testing.assert_array_equal(decode_points(start + records().tobytes()), POINTS)


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("one row", pcd("binary", POINTS.reshape(1, -1, 3)), r"unorganized point cloud \(1 x 40\)"),
        ("one column", pcd("ascii", POINTS.reshape(-1, 1, 3)), "unorganized"),
        ("no z", STORED["binary"].replace(b"FIELDS x y z", b"FIELDS x y w"), "without z"),
        ("other count", STORED["binary"].replace(b"POINTS 40", b"POINTS 41"), "POINTS"),
        ("no width", STORED["binary"].replace(b"WIDTH 8\n", b""), "WIDTH"),
        ("negative width", STORED["binary"].replace(b"WIDTH 8", b"WIDTH -8"), "WIDTH"),
        ("unknown type", STORED["binary"].replace(b"TYPE F", b"TYPE Q"), "TYPE"),
        ("fields differ", STORED["binary"].replace(b"SIZE 4 ", b"SIZE "), "differ in length"),
        ("unknown encoding", STORED["binary"].replace(b"DATA binary", b"DATA packed"), "packed"),
        ("no data line", STORED["ascii"][:60], "no DATA line"),
        ("not a number", STORED["ascii"].replace(b"nan", b"none", 1), "holds no numbers"),
        ("too many lines", STORED["ascii"] + STORED["ascii"].splitlines()[-1], "more points"),
        ("damaged compression", STORED["binary_compressed"][:-300] + b"\xff" * 300, "compressed data"),
    ],
)
def test_what_cannot_be_read_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_points(data)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_truncation_is_refused(encoding: str) -> None:
    data = STORED[encoding]
    # A text cut within its last number is one with a shorter last number.
    end = data.rindex(b" ") if encoding == "ascii" else len(data)
    for length in range(50, end, 7):
        with pytest.raises(ScanError):
            decode_points(data[:length])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("width", "height"), [(8192, 8192), (2**31, 2), (10**17, 10**17), (2**26, 2**26)])
def test_declared_sizes_are_checked_before_memory_is_taken(encoding: str, width: int, height: int) -> None:
    start = header(LAYOUT, encoding, width, height)
    size = struct.pack("<II", 100, min(width * height * LAYOUT.itemsize, 2**32 - 1))
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            decode_points(start + size + b"1 2 3 0 0 0 0 0\n" * 10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ENCODINGS), st.data())
def test_changed_bytes_give_a_scan_or_one_plain_error(encoding: str, draw: st.DataObject) -> None:
    data = bytearray(STORED[encoding])
    places = st.integers(0, len(data) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        data[place] = value
    try:
        read = decode_points(bytes(data))
    except ScanError as error:
        assert str(error).isprintable()
        assert ADVICE.search(str(error)), str(error)
    else:
        assert read.ndim == 3
        assert read.shape[2] == 3
