"""PLY scans: the three ways to say which point is which pixel, in text and both binary orders."""

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


HEIGHT, WIDTH = 6, 9
POINTS = np.random.default_rng(1).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
POINTS[1, 2:5] = 0
POINTS[4, 0] = 0
FLAT = POINTS.reshape(-1, 3)
MEASURED = np.flatnonzero(FLAT.any(axis=1))
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">"}
FORMATS = ["ascii", *ORDERS]
ADVICE = re.compile(r"[:;,] (or )?(save|record|copy|give|check|write|use|name)\b")
GRID = ("obj_info num_cols 9", "obj_info num_rows 6")


def header(kind: str, remarks: tuple[str, ...], vertices: int, *elements: str, number: str = "float") -> bytes:
    lines = ["ply", f"format {kind} 1.0", "comment made by hand", *remarks, f"element vertex {vertices}"]
    lines += [f"property {number} {axis}" for axis in "xyz"]
    return "\n".join([*lines, *elements, "end_header", ""]).encode()


def body(kind: str, points: np.ndarray) -> bytes:
    if kind == "ascii":
        return b"".join(b"%r %r %r\n" % tuple(map(float, point)) for point in points)
    return points.astype(points.dtype.newbyteorder(ORDERS[kind])).tobytes()


def grid_body(kind: str) -> bytes:
    """A range grid: every pixel's point, or none."""
    place = {int(pixel): number for number, pixel in enumerate(MEASURED)}
    if kind == "ascii":
        return b"".join(b"1 %d\n" % place[i] if i in place else b"0\n" for i in range(HEIGHT * WIDTH))
    order = ORDERS[kind]
    return b"".join(struct.pack(order + "Bi", 1, place[i]) if i in place else b"\0" for i in range(HEIGHT * WIDTH))


def with_remarks(kind: str, remarks: tuple[str, ...] = GRID, points: np.ndarray = FLAT) -> bytes:
    return header(kind, remarks, len(points)) + body(kind, points)


def with_range_grid(kind: str, remarks: tuple[str, ...] = GRID) -> bytes:
    elements = ("element range_grid 54", "property list uchar int vertex_indices")
    start = header(kind, remarks, len(MEASURED), *elements)
    return start + body(kind, FLAT[MEASURED]) + grid_body(kind)


def with_camera(kind: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    properties = ("view_px", "x_axisx", "focal")
    elements = ["element camera 1", *(f"property float {name}" for name in properties)]
    elements += ["property int viewportx", "property int viewporty", "property float k1"]
    start = header(kind, (), len(FLAT), *elements) + body(kind, FLAT)
    if kind == "ascii":
        return start + b"0 1 0 %d %d 0\n" % (width, height)
    return start + struct.pack(ORDERS[kind] + "fffiif", 0, 1, 0, width, height, 0)


STORED = {
    f"{kind} {name}": write(kind)
    for kind in FORMATS
    for name, write in {
        "rows and columns": with_remarks,
        "range grid": with_range_grid,
        "camera": with_camera,
    }.items()
}


@pytest.mark.parametrize("case", STORED)
def test_values_are_kept_exactly(case: str) -> None:
    read = decode_points(STORED[case])
    assert read.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(read.astype(np.float32), POINTS)


@pytest.mark.parametrize(
    "remarks",
    [
        ("comment width 9", "comment height 6"),
        ("obj_info width 9", "obj_info height 6"),
        ("obj_info height 6", "comment some words", "comment Width 9"),
        ("comment num_cols 9", "comment num_rows 6", "obj_info mesh_time 0.25"),
    ],
    ids="; ".join,
)
def test_rows_and_columns_may_stand_in_any_remark(remarks: tuple[str, ...]) -> None:
    np.testing.assert_array_equal(decode_points(with_remarks("binary_little_endian", remarks)), POINTS)


@pytest.mark.parametrize("kind", FORMATS)
def test_windows_line_ends(kind: str) -> None:
    start = header(kind, GRID, len(FLAT)).replace(b"\n", b"\r\n")
    points = body(kind, FLAT)
    data = start + (points.replace(b"\n", b"\r\n") if kind == "ascii" else points)
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)


def test_other_properties_and_elements_are_stepped_over() -> None:
    lines = ["ply", "format binary_little_endian 1.0", *GRID]
    lines += ["element scanner 2", "property uchar id", "property double time", "element vertex 54"]
    lines += ["property uchar red", "property float z", "property double confidence", "property float x"]
    lines += [
        "property float y",
        "element face 1",
        "property list uchar int vertex_indices",
        "end_header",
        "",
    ]
    layout = np.dtype([("red", "u1"), ("z", "<f4"), ("confidence", "<f8"), ("x", "<f4"), ("y", "<f4")])
    records = np.zeros(len(FLAT), layout)
    records["x"], records["y"], records["z"] = FLAT.T
    records["red"], records["confidence"] = 7, 0.5
    data = "\n".join(lines).encode() + bytes(18) + records.tobytes() + b"\x03" + bytes(12)
    np.testing.assert_array_equal(decode_points(data), POINTS)


@pytest.mark.parametrize(("number", "dtype"), [("double", "f8"), ("short", "i2"), ("int32", "i4"), ("uint8", "u1")])
def test_other_numbers_keep_their_kind(number: str, dtype: str) -> None:
    values = (100 * np.abs(FLAT)).astype(dtype)
    data = header("binary_little_endian", GRID, len(values), number=number) + body("binary_little_endian", values)
    read = decode_points(data)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read.reshape(-1, 3), values)


def test_integers_in_text_stay_integers() -> None:
    values = np.arange(162).reshape(-1, 3)
    text = b"".join(b"%d %d %d\n" % tuple(map(int, row)) for row in values)
    read = decode_points(header("ascii", GRID, 54, number="int") + text)
    assert read.dtype.kind == "i"
    np.testing.assert_array_equal(read.reshape(-1, 3), values)


def test_missing_points_in_text_may_be_nan() -> None:
    points = FLAT.copy()
    points[~points.any(axis=1)] = np.nan
    read = decode_points(with_remarks("ascii", points=points))
    assert np.isnan(read).any(axis=2).sum() == len(FLAT) - len(MEASURED)


LISTS = (
    ["property list uchar int seen_by"],
    ["property list uchar float intensities", "property uchar red"],
    ["property list ushort short labels", "property list uchar double weights"],
)
LIST_TYPES = {"uchar": "B", "ushort": "H", "int": "i", "float": "f", "short": "h", "double": "d"}


def entry(kind: str, properties: list[str], point: np.ndarray, rng: np.random.Generator, even: bool) -> bytes:
    """One entry as the properties say, by the format's own words: a list is its length and then its numbers."""
    values: list[tuple[str, float]] = []
    axes = dict(zip("xyz", point.tolist(), strict=True))
    for prop in properties:
        words = prop.split()
        if words[1] == "list":
            n = 2 if even else int(rng.integers(0, 4))
            values.append((LIST_TYPES[words[2]], n))
            values += [(LIST_TYPES[words[3]], int(number)) for number in rng.integers(0, 100, n)]
        else:
            values.append((LIST_TYPES[words[1]], axes.get(words[2], 7)))
    if kind == "ascii":
        return " ".join(repr(value) for _, value in values).encode() + b"\n"
    return b"".join(struct.pack(ORDERS[kind] + code, value) for code, value in values)


def with_lists(kind: str, before: list[str], between: list[str], after: list[str], even: bool = False) -> bytes:
    rng = np.random.default_rng(5)
    properties = [*before, "property float x", *between, "property float y", "property float z", *after]
    faces = ["property list uchar int vertex_indices", "property uchar flags"]
    lines = ["ply", f"format {kind} 1.0", *GRID, "element face 4", *faces]
    lines += ["element vertex 54", *properties, "element edge 2", "property list uchar int nothing", "end_header", ""]
    body = b"".join(entry(kind, faces, FLAT[0], rng, even) for _ in range(4))
    body += b"".join(entry(kind, properties, point, rng, even) for point in FLAT)
    return "\n".join(lines).encode() + body


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("even", [True, False], ids=["of one length", "of several lengths"])
@pytest.mark.parametrize(("before", "between", "after"), [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_lists_among_points_and_before_them_are_stepped_over(
    kind: str, even: bool, before: int, between: int, after: int
) -> None:
    for lists in (
        (LISTS[before], [], []),
        ([], LISTS[between], []),
        ([], [], LISTS[after]),
        (LISTS[0], LISTS[1], LISTS[2]),
    ):
        read = decode_points(with_lists(kind, *lists, even=even))
        np.testing.assert_array_equal(read.astype(np.float32), POINTS)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_list_called_like_an_axis_is_not_the_axis(kind: str) -> None:
    data = with_lists(kind, ["property list uchar float x"], [], [])
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)
    with pytest.raises(ScanError, match="points without z: save"):
        decode_points(with_lists(kind, [], [], []).replace(b"property float z\n", b"property list uchar float z\n"))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("even", [True, False])
def test_truncated_lists_are_refused(kind: str, even: bool) -> None:
    data = with_lists(kind, LISTS[0], LISTS[1], LISTS[2], even)
    end = data.rindex(b" ") if kind == "ascii" else len(data)
    for length in range(data.index(b"end_header"), end, 5):
        with pytest.raises(ScanError):
            decode_points(data[:length])


def test_a_list_of_less_than_no_numbers_is_refused() -> None:
    data = with_lists("binary_little_endian", ["property list uchar int seen_by"], [], [])
    data = data.replace(b"list uchar int seen_by", b"list  char int seen_by").replace(b"list  char", b"list char")
    start = data.index(b"end_header\n") + len(b"end_header\n")
    faces = [0]
    for _ in range(4):
        faces.append(faces[-1] + 2 + 4 * data[start + faces[-1]])
    damaged = bytearray(data)
    damaged[start + faces[-1]] = 0xFF
    with pytest.raises(ScanError, match="list of -1 numbers: record"):
        decode_points(bytes(damaged))


@pytest.mark.parametrize("line", [b"1.5 7 1.0 2.0 3.0\n", b"-1 1.0 2.0 3.0\n", b"3 7 1.0 2.0 3.0\n", b"1.0 2.0\n"])
def test_a_line_whose_list_is_damaged_is_named(line: bytes) -> None:
    lines = ["ply", "format ascii 1.0", *GRID, "element vertex 54", "property list uchar int seen_by"]
    lines += [f"property float {axis}" for axis in "xyz"]
    data = "\n".join([*lines, "end_header", ""]).encode() + b"1 7 1.0 2.0 3.0\n" * 9
    with pytest.raises(ScanError, match=f"line 20, '{line.decode().strip()}', .*record"):
        decode_points(data + line + b"0 1.0 2.0 3.0\n" * 44)


def test_a_line_without_a_number_in_the_middle_is_refused_even_if_enough_are_left() -> None:
    start = header("ascii", GRID, 54).replace(b"property float z\n", b"property float z\nproperty uchar red\n")
    with pytest.raises(ScanError, match=r"line 22, '1\.0 3\.0 128', has 3 numbers, but its header says 4"):
        decode_points(start + b"1.0 2.0 3.0 128\n" * 10 + b"1.0 3.0 128\n" + b"1.0 2.0 3.0 128\n" * 43)


def test_an_empty_range_grid_is_refused() -> None:
    with pytest.raises(ScanError, match="range grid of 0 pixels"):
        decode_points(with_range_grid("ascii").replace(b"element range_grid 54", b"element range_grid 0"))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_range_grid_may_stand_before_the_points(kind: str) -> None:
    lines = ["ply", f"format {kind} 1.0", *GRID, "element range_grid 54", "property list uchar int vertex_indices"]
    lines += [f"element vertex {len(MEASURED)}", *(f"property float {axis}" for axis in "xyz"), "end_header", ""]
    data = "\n".join(lines).encode() + grid_body(kind) + body(kind, FLAT[MEASURED])
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("unorganized", with_remarks("binary_little_endian", ()), "unorganized"),
        ("unorganized text", with_remarks("ascii", ()), "unorganized"),
        ("unorganized by PCL's camera", with_camera("binary_little_endian", 54, 1), "unorganized"),
        (
            "rows and columns of another scan",
            with_remarks("ascii", ("comment width 8", "comment height 6")),
            "54",
        ),
        (
            "grid of another size",
            with_range_grid("ascii", ("comment width 8", "comment height 6")),
            "range grid",
        ),
        ("no format", b"ply\nelement vertex 3\nend_header\n", "format"),
        ("no z", with_remarks("ascii").replace(b"float z", b"float w"), "without z"),
        ("no points", b"ply\nformat ascii 1.0\nend_header\n", "element vertex"),
        ("unknown type", with_remarks("ascii").replace(b"float z", b"quad z"), "quad z"),
        ("not a number", with_remarks("ascii").replace(b"0.0 0.0", b"0.0 x.0", 1), "holds no numbers"),
        (
            "too few columns",
            with_remarks("ascii").replace(b"property float z\n", b"property float z\n" * 2),
            "3",
        ),
        ("no end of the header", b"ply\nformat ascii 1.0\nelement vertex 3\n", "no end"),
        (
            "fraction in whole numbers",
            header("ascii", GRID, 54, number="int") + b"1 2 3\n" * 53 + b"1 2.5 3\n",
            "line 64, .1 2.5 3., holds other than whole numbers",
        ),
        (
            "nan in whole numbers",
            header("ascii", GRID, 54, number="int") + b"1 nan 3\n" * 54,
            "line 11, .*whole numbers",
        ),
        ("one endless line", header("ascii", GRID, 54) + b"1 " * 40000, "an endless line"),
        ("grid names a missing point", with_range_grid("ascii").replace(b"1 49\n", b"1 50\n"), "not there"),
        ("grid with two points", with_range_grid("ascii").replace(b"1 48\n", b"2 48 49\n"), "neither"),
    ],
)
def test_what_cannot_be_read_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_points(data)


@pytest.mark.parametrize("case", STORED)
def test_every_truncation_is_refused(case: str) -> None:
    data = STORED[case]
    # A text cut within its last number is one with a shorter last number.
    end = data.rindex(b" ") if "ascii" in case else len(data)
    for length in range(4, end, 7):
        with pytest.raises(ScanError):
            decode_points(data[:length])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("count", [2**26, 2**31, 10**17])
@pytest.mark.parametrize("element", [b"vertex ", b"range_grid "])
def test_declared_sizes_are_checked_before_memory_is_taken(kind: str, count: int, element: bytes) -> None:
    data = with_range_grid(kind)
    place = data.index(b"element " + element) + len(b"element " + element)
    data = data[:place] + b"%d" % count + data[data.index(b"\n", place) :]
    tracemalloc.start()
    try:
        with pytest.raises(ScanError):
            decode_points(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * 2**20


FUZZED = STORED | {
    f"{kind} lists, {even=}": with_lists(kind, LISTS[0], LISTS[1], LISTS[2], even)
    for kind in FORMATS
    for even in (True, False)
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FUZZED)), st.data())
def test_changed_bytes_give_a_scan_or_one_plain_error(case: str, draw: st.DataObject) -> None:
    data = bytearray(FUZZED[case])
    places = st.integers(4, len(data) - 1)
    for place, value in draw.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        data[place] = value
    _accept_or_refuse(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(header("ascii", GRID, 54).decode().split()), max_size=30), st.binary(max_size=40))
def test_random_headers_give_one_plain_error(words: list[str], rest: bytes) -> None:
    _accept_or_refuse(b"ply\nformat ascii 1.0\n" + " ".join(words).encode() + b"\nend_header\n" + rest)


def _accept_or_refuse(data: bytes) -> None:
    try:
        read = decode_points(data)
    except ScanError as error:
        assert str(error).isprintable()
        assert ADVICE.search(str(error)), str(error)
    else:
        assert read.ndim == 3
        assert read.shape[2] == 3
