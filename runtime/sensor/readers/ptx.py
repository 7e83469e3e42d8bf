"""PTX, the text format of terrestrial laser scanners: a grid of points, column by column, in the scanner's frame.

Two lines with the number of columns and of rows, four with the scanner's place and axes, four with the matrix that
takes the points to the world, and a line a point: x, y, z, intensity, and mostly red, green and blue. Points that were
not measured are 0 0 0. The matrix is not applied: a part is inspected in its scanner's frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ScanError
from .format import Format, plain
from .limits import MAX_HEADER_BYTES, check_grid
from .lines import TextLines
from .records import Field, damaged_header, text_columns, whole_number

# Two lines of one whole number, and one of three numbers.
_START = re.compile(
    rb"\s*\d+[ \t]*(?:\r\n|\r|\n)\s*\d+[ \t]*(?:\r\n|\r|\n)\s*(?:[-+.\deE]+[ \t]+){2}[-+.\deE]+[ \t]*[\r\n]"
)
_PLACE_LINES = 8
_AXES = tuple(Field(name, np.dtype(np.float64), 0, column) for column, name in enumerate("xyz"))
_FEWEST_BYTES_A_POINT = len("0 0 0\n")


def is_ptx(data: bytes) -> bool:
    """Whether the content is PTX."""
    return _START.match(data, 0, MAX_HEADER_BYTES) is not None


def read_ptx(data: bytes) -> npt.NDArray[Any]:
    """Read the points of a PTX of one scan: (rows, columns, 3) float64.

    Raises:
        ScanError: damaged, or of several scans.
    """
    lines = TextLines(data, 0)
    columns, rows = (_size(lines, what) for what in ("number of columns", "number of rows"))
    check_grid(rows, columns)
    if rows * columns * _FEWEST_BYTES_A_POINT > len(data) + 1:
        raise damaged_header(f"{columns} columns of {rows} points do not fit into its {len(data)} bytes")
    next(islice(lines, _PLACE_LINES - 1, _PLACE_LINES), None)
    points = text_columns(lines, rows * columns, _AXES, _first_three)
    if next(iter(lines), None) is not None:
        raise ScanError(f"continues after its {columns} x {rows} points: save one scan per file")
    return points.reshape(columns, rows, 3).swapaxes(0, 1)


def _size(lines: TextLines, what: str) -> int:
    line = next(iter(lines), b"")
    return whole_number(line.strip().decode("latin-1"), f"the {what}")


def _first_three(words: list[bytes]) -> Sequence[bytes]:
    if not 3 <= len(words) <= 7:
        raise ValueError(f"has {len(words)} numbers; a point has x, y, z, intensity and color")
    return words[:3]


FORMATS = (Format("PTX", (".ptx",), is_ptx, plain(read_ptx)),)
