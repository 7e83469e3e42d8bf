"""Headers and numbers of text formats as many machines write them: line ends, encodings, missing values."""

from __future__ import annotations

import struct

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


HEIGHT, WIDTH = 3, 4
POINTS = np.random.default_rng(4).normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)

PLY = ["ply", "format {kind} 1.0", "comment {comment}", "obj_info num_cols 4", "obj_info num_rows 3"]
PLY += ["element vertex 12", *(f"property float {axis}" for axis in "xyz"), "end_header"]
PCD = ["# {comment}", "VERSION 0.7", "FIELDS x y z", "SIZE 4 4 4", "TYPE F F F", "COUNT 1 1 1", "WIDTH 4", "HEIGHT 3"]
PCD += ["VIEWPOINT 0 0 0 1 0 0 0", "POINTS 12", "DATA {kind}"]
HEADERS = {"PLY": PLY, "PCD": PCD}
KINDS = {
    ("PLY", True): "ascii",
    ("PCD", True): "ascii",
    ("PLY", False): "binary_little_endian",
    ("PCD", False): "binary",
}
TEXT = [" ".join(map(repr, row)) for row in POINTS.reshape(-1, 3).astype(float).tolist()]


def scan(name: str, text: bool, ends: list[bytes], comment: bytes = b"made by hand", rows: list[str] = TEXT) -> bytes:
    """A scan whose lines end with each of the ends in turn."""
    lines = [line.format(kind=KINDS[name, text], comment="{}").encode() for line in HEADERS[name]]
    lines = [line.replace(b"{}", comment) for line in lines] + ([row.encode() for row in rows] if text else [])
    joined = b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    return joined if text else joined + POINTS.tobytes()


def plain(parameter: object) -> str:
    """A parameter of bytes as a test's name: hexadecimal, a dash between pieces."""
    pieces = parameter if isinstance(parameter, list) else [parameter]
    return "-".join(piece.hex() if isinstance(piece, bytes) else str(piece).encode().hex() for piece in pieces)


NAMES = pytest.mark.parametrize("name", HEADERS)
TEXT_OR_BINARY = pytest.mark.parametrize("text", [True, False], ids=["text", "binary"])


@NAMES
@TEXT_OR_BINARY
@pytest.mark.parametrize(
    "ends",
    [[b"\n"], [b"\r\n"], [b"\r"], [b"\r\n", b"\n"], [b"\r", b"\r\n", b"\n"], [b" \t\n"], [b"\t \r"], [b"  \r\n"]],
    ids=plain,
)
def test_lines_may_end_as_on_any_machine(name: str, text: bool, ends: list[bytes]) -> None:
    np.testing.assert_array_equal(decode_points(scan(name, text, ends)).astype(np.float32), POINTS)


@NAMES
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=plain)
@pytest.mark.parametrize("first", [b"\n\r\n?", b"\r\n\n?"], ids=plain)
def test_a_body_may_begin_with_the_byte_of_a_line_end(name: str, end: bytes, first: bytes) -> None:
    data = scan(name, False, [end])[: -POINTS.nbytes] + first + POINTS.tobytes()[4:]
    expected = POINTS.copy()
    expected[0, 0, 0] = struct.unpack("<f", first)[0]
    np.testing.assert_array_equal(decode_points(data), expected)


@NAMES
@TEXT_OR_BINARY
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=plain)
def test_a_byte_order_mark_and_tabs_are_stepped_over(name: str, text: bool, end: bytes) -> None:
    data = scan(name, text, [end])
    start = len(data) if text else len(data) - POINTS.nbytes
    data = b"\xef\xbb\xbf" + data[:start].replace(b" ", b"\t") + data[start:]
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)


@NAMES
@TEXT_OR_BINARY
@pytest.mark.parametrize(
    "comment",
    [
        "Förderer\u2028WIDTH 9\u2028element vertex 9",
        "\x0bHEIGHT 7",
        "\x0cCOUNT 1",
        "a\x1cb\x1dSIZE 2\x1ec",
        "Å\x85WIDTH 8",
    ],
    ids=plain,
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_no_byte_of_a_comment_breaks_its_line(name: str, text: bool, comment: str, encoding: str) -> None:
    data = scan(name, text, [b"\n"], comment.encode(encoding, "replace"))
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(HEADERS)),
    st.booleans(),
    st.binary(max_size=60).filter(lambda comment: not {10, 13} & set(comment)),
    st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1, max_size=5),
)
def test_any_comment_and_any_line_ends_give_the_same_scan(
    name: str, text: bool, comment: bytes, ends: list[bytes]
) -> None:
    # A comment of a word and a number would say the grid.
    data = scan(name, text, ends, b"some words: " + comment)
    np.testing.assert_array_equal(decode_points(data).astype(np.float32), POINTS)


MISSING = [
    "nan",
    "NaN",
    "NAN",
    "-nan",
    "+nan",
    "nan(ind)",
    "-nan(ind)",
    "nan(snan)",
    "-nan(snan)",
    "nan(0x8000000000000)",
]
MISSING += [
    "1.#QNAN",
    "-1.#QNAN0",
    "1.#SNAN",
    "-1.#IND",
    "-1.#IND00",
    "1.#QNAN0e+000",
    "-1.#IND00E+00",
    "1.#R",
    "-1.#J",
]
MISSING += ["1.#INF", "-1.#INF00", "1.#INF00e+000", "1.#J", "inf", "-inf", "Inf", "+Infinity", "-INFINITY"]


@NAMES
@pytest.mark.parametrize("word", MISSING)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_c_libraries_write_for_no_number_is_not_finite(name: str, word: str, column: int) -> None:
    words = TEXT[5].split()
    words[column] = word
    read = decode_points(scan(name, True, [b"\n"], rows=[*TEXT[:5], " ".join(words), *TEXT[6:]])).reshape(-1, 3)
    expected = POINTS.reshape(-1, 3).astype(np.float64)
    assert not np.isfinite(read[5, column])
    assert np.isnan(read[5, column]) == ("inf" not in word.lower() and "#j" not in word.lower())
    expected[5, column] = read[5, column]
    np.testing.assert_array_equal(read, expected)


@NAMES
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=plain)
@pytest.mark.parametrize(
    "word", ["N/A", "none", "-", "1,5", "0x1p3", "1_000", "1.#", "nan(", "nann", "1.5e", "\xff", "1.5\x1c2"]
)
def test_what_is_not_a_number_is_named_with_its_line(name: str, end: bytes, word: str) -> None:
    line = " ".join([*TEXT[7].split()[:2], word])
    data = scan(name, True, [end], rows=[*TEXT[:7], "UNDONE", *TEXT[8:]]).replace(b"UNDONE", line.encode("latin-1"))
    # A blank line counts as one.
    data = data.replace(TEXT[2].encode(), end + TEXT[2].encode())
    number = len(HEADERS[name]) + 1 + 8
    with pytest.raises(ScanError) as caught:
        decode_points(data)
    assert str(caught.value).startswith(f"line {number}, '{TEXT[7].split()[0]} ")
    assert str(caught.value).endswith("holds no numbers; write a missing value as nan, or record the scan again")
    assert str(caught.value).isprintable()


@NAMES
def test_a_long_bad_line_is_shortened(name: str) -> None:
    with pytest.raises(ScanError, match="has 4 numbers, but its header says 3; record") as caught:
        decode_points(scan(name, True, [b"\n"], rows=[*TEXT[:3], "1.0 2.0 3.0 " + "x" * 5000, *TEXT[4:]]))
    assert len(str(caught.value)) < 180
    assert "..." in str(caught.value)


@NAMES
def test_numbers_in_text_keep_the_digits_of_a_double(name: str) -> None:
    values = np.random.default_rng(0).normal(1e5, 1, (12, 3))
    read = decode_points(scan(name, True, [b"\n"], rows=[" ".join(map(repr, row)) for row in values.tolist()]))
    np.testing.assert_array_equal(read.reshape(-1, 3), values)
