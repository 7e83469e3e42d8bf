"""PTX: a grid of points, column by column."""

import numpy as np
import pytest
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.readers import decode_scan
from cmdiad.runtime.sensor.readers.ptx import is_ptx, read_ptx
from hypothesis import given, settings
from hypothesis import strategies as st

PLACE = "10 20 30\n1 0 0\n0 1 0\n0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n10 20 30 1\n"
ROWS, COLUMNS = 3, 2
POINTS = np.arange(18.0).reshape(ROWS, COLUMNS, 3) + 0.5


def ptx(rest: str = " 0.5 10 20 30", ends: str = "\n") -> bytes:
    lines = [f"{x} {y} {z}{rest}" for x, y, z in POINTS.swapaxes(0, 1).reshape(-1, 3).tolist()]
    return (f"{COLUMNS}\n{ROWS}\n{PLACE}" + "\n".join(lines) + "\n").replace("\n", ends).encode()


@pytest.mark.parametrize("rest", ["", " 0.5", " 0.5 10 20 30"], ids=["bare", "intensity", "color"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["Unix", "Windows"])
def test_columns_follow_each_other_and_the_world_s_matrix_is_not_applied(rest: str, ends: str) -> None:
    np.testing.assert_array_equal(decode_scan(ptx(rest, ends)).numbers, POINTS)


@pytest.mark.parametrize(
    ("case", "data", "says"),
    [
        ("truncated", ptx()[:-40], "truncated: . of 6"),
        ("two scans", ptx() + ptx(), "save one scan per file"),
        ("one column", ptx().replace(b"2\n3\n", b"1\n3\n", 1), "unorganized"),
        ("more than it can hold", ptx().replace(b"2\n3\n", b"9999\n999\n", 1), "do not fit"),
        ("larger than any scan", ptx().replace(b"2\n3\n", b"99999\n99999\n", 1), "more than"),
        ("a word", ptx().replace(b"0.5 ", b"half ", 1), "line"),
        ("too many numbers", ptx(" 1 2 3 4 5"), "has 8 numbers"),
    ],
)
def test_what_cannot_be_read_is_refused(case: str, data: bytes, says: str) -> None:
    with pytest.raises(ScanError, match=says):
        decode_scan(data)


@given(st.integers(0, len(ptx())), st.binary(max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_is_read_or_refused(place: int, damage: bytes) -> None:
    data = ptx()[:place] + damage + ptx()[place + len(damage) :]
    for read in (read_ptx, lambda content: decode_scan(content).numbers):
        try:
            assert read(data).shape[-1] == 3
        except ScanError as error:
            assert "\n" not in str(error)
    is_ptx(data)
