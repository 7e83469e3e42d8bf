"""NPY and NPZ scans."""

from __future__ import annotations

import io
import re
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import Intrinsics
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.arranging import arranged
from cmdiad.runtime.sensor.readers import decode_scan
from hypothesis import given, settings
from hypothesis import strategies as st


def decode_points(data: bytes) -> np.ndarray:
    """What becomes of a file that says everything by itself."""
    return arranged(decode_scan(data)).points


ADVICE = re.compile(r"[:;,] (or )?(save|record|copy|give|check|write|use|name)\b")
POINTS = np.random.default_rng(3).normal(size=(7, 11, 3)).astype(np.float32)
COLORS = np.zeros((7, 11, 3), np.uint8)


def npy(array: Any = POINTS, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), version)
    return stream.getvalue()


def npz(save: Any = np.savez, **arrays: Any) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def by_hand(header: str, body: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


STORED = {
    "npy": npy(),
    "npy version 2": npy(version=(2, 0)),
    "npy version 3": npy(version=(3, 0)),
    "npy big endian": npy(POINTS.astype(">f4")),
    "npy in Fortran's order": npy(np.asfortranarray(POINTS)),
    "npz with points": npz(points=POINTS, rgb=COLORS),
    "npz with xyz": npz(rgb=COLORS, xyz=POINTS),
    "npz with one array": npz(scan=POINTS),
    "npz compressed": npz(np.savez_compressed, points=POINTS),
}


@pytest.mark.parametrize("case", STORED)
def test_values_are_kept_exactly(case: str) -> None:
    np.testing.assert_array_equal(decode_points(STORED[case]), POINTS)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int16", "uint8", "int64"])
def test_other_numbers_keep_their_type(dtype: str) -> None:
    pixels = (100 * np.abs(POINTS)).astype(dtype)
    read = decode_points(npy(pixels))
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, pixels)


@pytest.mark.parametrize(
    "header",
    [
        '{"descr":"<f4","fortran_order":False,"shape":(7,11,3)}\n',
        "{'descr': '<f4', 'fortran_order': False, 'shape': (7L, 11L, 3L), }",
        "{'shape':\t( 7 ,11\r\n, 3, ),\n'fortran_order' :False , 'descr'\t: \"<f4\" }\r\n",
    ],
    ids=["no blanks", "long integers of Python 2", "tabs and line ends"],
)
def test_a_header_that_other_libraries_write(header: str) -> None:
    np.testing.assert_array_equal(decode_points(by_hand(header, POINTS.tobytes())), POINTS)


def _repacked(**changes: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **changes) as archive:
        archive.writestr("points.npy", npy())
    return stream.getvalue()


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        (
            "depth image",
            npy(POINTS[..., 0]),
            "7 x 11 .*depth or a height map.*geometry.height_grid",
        ),
        ("list of points", npy(POINTS.reshape(-1, 3)), r"unorganized point cloud \(1 x 77\)"),
        ("four channels", npy(np.zeros((7, 11, 4))), "7 x 11 x 4"),
        ("planes first", npy(np.moveaxis(POINTS, -1, 0)), "3 x 7 x 11"),
        ("a number", npy(np.float32(1)), "single number"),
        ("nothing", npy(POINTS[:0]), "unorganized"),
        ("complex", npy(POINTS.astype(complex)), "not hold plain floats"),
        ("text", npy(POINTS.astype("U4")), "not hold plain floats"),
        ("booleans", npy(POINTS > 0), "not hold plain floats"),
        ("records", npy(np.zeros((4, 4, 3), "f4,f4")), "damaged|not hold plain floats"),
        ("no known array", npz(a=POINTS, b=POINTS), "2 arrays"),
        ("empty archive", npz(), "not a scan"),
        ("bzip2", _repacked(compression=zipfile.ZIP_BZIP2), "savez_compressed"),
        ("lzma", _repacked(compression=zipfile.ZIP_LZMA), "savez_compressed"),
        (
            "a shape that is none",
            by_hand("{'descr': '<f4', 'fortran_order': False, 'shape': (7, -1)}", b""),
            "damaged",
        ),
        (
            "a shape of letters",
            by_hand("{'descr': '<f4', 'fortran_order': False, 'shape': (7, L1, 3)}", b""),
            "damaged",
        ),
        (
            "a one-byte float",
            by_hand("{'descr': '<f1', 'fortran_order': False, 'shape': (7, 11, 3)}", b""),
            "damaged",
        ),
        ("version 9", b"\x93NUMPY\x09\x00" + npy()[8:], "damaged"),
    ],
)
def test_what_cannot_be_read_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_points(data)


CAMERA = np.array([[60.0, 0, 5], [0, 61, 3], [0, 0, 1]])


@pytest.mark.parametrize("intrinsics", [CAMERA, np.array([60.0, 61, 5, 3])], ids=["matrix", "four numbers"])
def test_depth_and_intrinsics_are_points_and_rgb_is_their_image(intrinsics: np.ndarray) -> None:
    depth = POINTS[..., 2] ** 2 + 1
    image = np.zeros((7, 11, 3), np.uint8)
    stored = decode_scan(npz(depth=depth, intrinsics=intrinsics, rgb=image))
    assert stored.intrinsics == Intrinsics(fx=60, fy=61, cx=5, cy=3)
    np.testing.assert_array_equal(stored.rgb, image)
    x = (np.arange(11) - 5) / 60 * depth
    np.testing.assert_allclose(arranged(stored).points[..., 0], x, atol=1e-12)


def test_points_come_before_depth_and_a_single_array_may_have_any_name() -> None:
    depth = POINTS[..., 2]
    np.testing.assert_array_equal(decode_scan(npz(depth=depth, points=POINTS)).numbers, POINTS)
    image = np.zeros((7, 11, 3), np.uint8)
    np.testing.assert_array_equal(decode_scan(npz(cloud=POINTS, rgb=image)).numbers, POINTS)


@pytest.mark.parametrize(
    ("case", "arrays", "says"),
    [
        ("gray", {"points": POINTS, "rgb": np.zeros((7, 11), np.uint8)}, "rgb as 7 x 11"),
        ("floats", {"points": POINTS, "rgb": np.zeros((7, 11, 3))}, "rgb as float64"),
        ("skewed", {"depth": POINTS[..., 0], "intrinsics": CAMERA + np.eye(3)[::-1]}, "no camera has"),
        ("three", {"depth": POINTS[..., 0], "intrinsics": np.ones(3)}, "intrinsics as 3"),
        ("huge", {"depth": POINTS[..., 0], "intrinsics": np.ones((900, 900))}, "intrinsics as 900 x 900"),
        ("negative", {"depth": POINTS[..., 0], "intrinsics": -np.ones(4)}, "no camera has"),
    ],
    ids=["gray", "floats", "skewed", "three", "huge", "negative"],
)
def test_what_lies_beside_the_scan_is_checked(case: str, arrays: dict[str, np.ndarray], says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_scan(npz(**arrays))


def test_pickled_objects_are_never_loaded() -> None:
    stream = io.BytesIO()
    np.save(stream, np.full((2, 2, 3), None, object), allow_pickle=True)
    with pytest.raises(ScanError, match="not hold plain floats"):
        decode_points(stream.getvalue())


@pytest.mark.parametrize("case", STORED)
def test_every_truncation_is_refused(case: str) -> None:
    data = STORED[case]
    for length in range(6, len(data), 13):
        with pytest.raises(ScanError):
            decode_points(data[:length])


@pytest.mark.parametrize("shape", ["(8192, 8192, 3)", "(9999999, 9999999, 3)", "(" + "9" * 180 + ", 2, 3)"])
@pytest.mark.parametrize("packed", [False, True])
def test_declared_sizes_are_checked_before_memory_is_taken(shape: str, packed: bool) -> None:
    data = by_hand(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}", bytes(1000))
    if packed:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("points.npy", data)
        data = stream.getvalue()
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            decode_points(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(STORED)), st.data())
def test_changed_bytes_give_a_scan_or_one_plain_error(case: str, draw: st.DataObject) -> None:
    data = bytearray(STORED[case])
    places = st.integers(0, len(data) - 1) | st.integers(0, 130) | st.integers(len(data) - 100, len(data) - 1)
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
