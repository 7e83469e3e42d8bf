"""Tables of points as programs write them: separators, names, comments, missing cells, and what is refused."""

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.readers import decode_scan
from cmdiad.runtime.sensor.readers.delimited import is_delimited, read_delimited
from cmdiad.runtime.sensor.readers.lines import TextLines
from hypothesis import given, settings
from hypothesis import strategies as st

POINTS = np.array([[1.5, -2.0, 3.25], [4.0, 5.0, 6.0], [7.0, 8.0, 9.5]])


def test_numbers_come_back_digit_by_digit() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    text = "\n".join(" ".join(map(repr, row)) for row in points.tolist())
    np.testing.assert_array_equal(decode_scan(text.encode()).numbers, points)


TABLES = [
    ("spaces", "1.5 -2 3.25\n4 5 6\n7 8 9.5\n"),
    ("many spaces in front", "   1.5   -2.0  3.25\n 4 5 6\n 7 8 9.5"),
    ("commas", "1.5,-2,3.25\n4,5,6\n7,8,9.5\n"),
    ("commas and spaces", "1.5, -2, 3.25\n4, 5, 6\n7, 8, 9.5\n"),
    ("a comma at the end", "1.5,-2,3.25,\n4,5,6,\n7,8,9.5,\n"),
    ("semicolons, Windows", "1.5;-2;3.25\r\n4;5;6\r\n7;8;9.5\r\n"),
    ("tabs", "1.5\t-2\t3.25\n4\t5\t6\n7\t8\t9.5\n"),
    ("names", "x,y,z\n1.5,-2,3.25\n4,5,6\n7,8,9.5\n"),
    ("names elsewhere", "id,Z,intensity,X,Y\n0,3.25,9,1.5,-2\n1,6,9,4,5\n2,9.5,9,7,8\n"),
    ("names with units", '"X [mm]";"Y [mm]";"Z [mm]"\n1.5;-2;3.25\n4;5;6\n7;8;9.5\n'),
    ("names of CloudCompare", "//X Y Z R G B\n1.5 -2 3.25 1 2 3\n4 5 6 1 2 3\n7 8 9.5 1 2 3\n"),
    ("names and count of CloudCompare", "//X Y Z\n3\n1.5 -2 3.25\n4 5 6\n7 8 9.5\n"),
    ("names of ParaView", '"RGB:0","Points:0","Points:1","Points:2"\n0,1.5,-2,3.25\n0,4,5,6\n0,7,8,9.5\n'),
    ("names of another order", "z x y\n3.25 1.5 -2\n6 4 5\n9.5 7 8\n"),
    ("names in a comment", "# y x z\n-2 1.5 3.25\n5 4 6\n8 7 9.5\n"),
    ("a sentence in a comment", "# points x y z of a part\n1.5 -2 3.25\n4 5 6\n7 8 9.5\n"),
    ("comments between", "# made by hand\n1.5 -2 3.25\n# half\n4 5 6\n// end\n7 8 9.5\n"),
    ("colors behind", "1.5 -2 3.25 255 0 0\n4 5 6 255 0 0\n7 8 9.5 255 0 0\n"),
    ("a count in front", "3\n1.5 -2 3.25 77 1 2 3\n4 5 6 77 1 2 3\n7 8 9.5 77 1 2 3\n"),
    ("quotes", '"1.5","-2","3.25"\n"4","5","6"\n"7","8","9.5"\n'),
    ("exponents", "15e-1 -2e0 +3.25\n4 5 6\n7 8 .95e1\n"),
    ("blank lines", "1.5 -2 3.25\n\n4 5 6\n\n\n7 8 9.5\n\n"),
    ("a byte order mark", "\ufeffx,y,z\n1.5,-2,3.25\n4,5,6\n7,8,9.5\n"),
]


@pytest.mark.parametrize(("case", "text"), TABLES, ids=[row[0] for row in TABLES])
def test_a_table_of_points(case: str, text: str) -> None:
    np.testing.assert_array_equal(decode_scan(text.encode()).numbers, POINTS)


HOLES = [
    ("empty cells", "x,y,z\n1,2,3\n,,\n4,5,6"),
    ("empty cells without names", "1,2,3\n,,\n4,5,6"),
    ("empty cells first", ",,\n1,2,3\n4,5,6"),
    ("no z", "1;2;3\n7;8;\n4;5;6"),
    ("nan", "1 2 3\nnan nan nan\n4 5 6"),
    ("words of databases", "1,2,3\nNULL,NA,n/a\n4,5,6"),
    ("MATLAB's", "1 2 3\n1.#QNAN 1.#QNAN 1.#QNAN\n4 5 6"),
]


@pytest.mark.parametrize(("case", "text"), HOLES, ids=[row[0] for row in HOLES])
def test_a_line_without_a_point_keeps_its_place(case: str, text: str) -> None:
    read = decode_scan(text.encode()).numbers
    assert read.shape == (3, 3) and np.isnan(read).any(axis=1).sum() == 1
    np.testing.assert_array_equal(read[~np.isnan(read).any(axis=1)], [[1, 2, 3], [4, 5, 6]])


REFUSED = [
    ("decimal commas, semicolons", "1,5;2,5;3,5\n", "line 1, .*decimal commas; save numbers with decimal points"),
    ("decimal commas, tabs", "x\ty\tz\n1,5\t2\t3\n", "line 2, .*decimal commas"),
    ("decimal commas, spaces", "1,5 2,5 3,5\n", "line 1, .*decimal commas"),
    ("a word", "1 2 3\n4 five 6\n", "line 2, '4 five 6', holds no numbers"),
    ("underscores", "1 2 3\n1_000 2 3\n", "line 2, .*holds no numbers"),
    ("a short line", "1,2,3\n1,2\n", "line 2, .*has 2 cells, the first line 3"),
    ("a long line", "1 2 3\n1 2 3 4 5\n", "line 2, .*has 5 numbers, the first line 3"),
    ("many nameless columns", " ".join(["1.5"] * 17), "17 columns without names"),
    ("fewer than counted", "4\n1 2 3\n4 5 6\n", "truncated: 2 of 4"),
    ("more than counted", "1\n1 2 3\n4 5 6\n", "2 of 1"),
    ("names alone", "x,y,z\n", "no points"),
    ("a billion of points", "1000000000\n1 2 3\n", "declares 1000000000 points"),
]


@pytest.mark.parametrize(("case", "text", "says"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_cannot_be_read_is_refused_by_its_line(case: str, text: str, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_scan(text.encode())


@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"a,b,c\n1,2,3\n",
        b"1 2\n3 4\n",
        b"VERSION .7\nFIELDS x y z\n",
        b"FIELDS x y z\n",
        b"ply\n",
        b"2\n3\n0 0 0\n",
        b"1 2 3\0",
        b"",
        b"# x y z\n",
        b'{"x": 1, "y": 2, "z": 3}',
    ],
)
def test_other_text_is_no_table_of_points(content: bytes) -> None:
    assert not is_delimited(content)


@given(st.binary(max_size=200) | st.text('0123456789.,;e-+ \t\n#/xyzna"', max_size=200).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_content_is_read_or_refused(content: bytes) -> None:
    recognized = is_delimited(content)
    try:
        points = read_delimited(content)
    except ScanError as error:
        assert "\n" not in str(error)
    else:
        assert points.ndim == 2 and points.shape[1] == 3 and recognized in (True, False)


def test_lines_are_counted_only_where_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting them for every row made a scan of 40,000 points take half a minute."""
    monkeypatch.setattr(TextLines, "number", property(lambda _: pytest.fail("counted")))
    assert read_delimited(b"x,y,z\n" + b"1,2,3\n" * 10).shape == (10, 3)
