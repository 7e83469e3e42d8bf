"""CSV, XYZ, TXT, ASC and PTS: one line per point, its numbers separated by commas, semicolons, tabs or spaces.

A first line may name the columns; of these x, y and z count, wherever they stand, and `//X`, `"x [mm]"` or `Points:0`
are read as such. Without names the first three columns are x, y and z. A PTS begins with the number of its points.
Lines that begin with # or // are comments.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import DamagedScanError
from .format import Format, plain
from .limits import MAX_HEADER_BYTES, MAX_PIXELS, check_count
from .lines import TextLines
from .records import bad_line, parsed_number, truncated, whole_number

_COMMENTS = (b"#", b"//")
_NAME = re.compile(
    rb"(?:(?:points?|pos|position|coords?|world)[ _:.]*)?(?:([xyz])|(?<=:)([012]))[ _]*(?:[\[(].*[\])]|mm|um|m)?"
)
_DECIMAL_COMMA = re.compile(rb"[-+]?\d*,\d+(?:e[-+]?\d+)?", re.IGNORECASE)
_DECIMAL_COMMAS = "has decimal commas; save numbers with decimal points"
_QUOTES = b"\"'"
_XYZ = (b"x", b"y", b"z")
_BREAK = re.compile(rb"[\r\n]+")
_LOOKED_AT = 50  # lines
_COUNT = re.compile(rb"\d+")
_NO_PRINTED_BYTE = re.compile(rb"[\x00-\x08\x0e-\x1f]")
# With more columns and no names, x, y and z would be a guess: a height map as text, for one.
_MOST_NAMELESS = 16
_EMPTY = (b"", b"null", b"na", b"n/a", b"-")
_PCD_WORDS = (b"VERSION", b"FIELDS", b"COLUMNS")


@dataclass(frozen=True)
class _Columns:
    """What separates a line's cells (None: spaces), how many there are, and which are x, y and z."""

    separator: bytes | None
    columns: int
    xyz: tuple[int, int, int]


def is_delimited(data: bytes) -> bool:
    """Whether the content is a table of numbers, as text, that can hold points."""
    head = data[:MAX_HEADER_BYTES]
    if _NO_PRINTED_BYTE.search(head):
        return False
    lines = [line for line in _BREAK.split(head) if line.strip()][:_LOOKED_AT]
    if any(line.split()[0].upper() in _PCD_WORDS for line in lines):
        return False
    contents = [line for line in lines if not _is_comment(line)]
    if contents and _COUNT.fullmatch(contents[0].strip()):
        contents = contents[1:]
    return bool(contents) and (_is_row(contents[0]) or _names(contents[0]) is not None)


def read_delimited(data: bytes) -> npt.NDArray[Any]:
    """Read x, y and z of every line, whether it is a point or, with empty cells, none: (N, 3) float64.

    Empty cells are NaN, so that every line keeps its place in a grid.

    Raises:
        ScanError: a line does not hold the numbers, or holds decimal commas; it names the line.
    """
    lines = TextLines(data, 0)
    layout = remarked = declared = None
    values = array("d")
    for line in lines:
        if _is_comment(line):
            remarked = remarked or _names(line)
        elif layout is not None:
            _append(values, line, lines, layout)
        elif declared is None and _COUNT.fullmatch(line.strip()):
            declared = whole_number(line.strip().decode(), "the number of points")
            check_count(declared)
        elif (layout := _names(line)) is None:
            layout = _layout_of_row(line, lines.number, remarked)
            _append(values, line, lines, layout)
    return _table(values, declared)


def _table(values: array[float], declared: int | None) -> npt.NDArray[np.float64]:
    count = len(values) // 3
    if declared is not None and declared != count:
        raise truncated(declared, count)
    if not count:
        raise DamagedScanError("holds no points, only column names or comments: record or copy it again")
    return np.frombuffer(values, np.float64).reshape(count, 3)


def _append(values: array[float], line: bytes, lines: TextLines, layout: _Columns) -> None:
    """The numbers of a row; `lines` knows which one it is, and counting is slow."""
    cells = line.split(layout.separator)
    try:
        if len(cells) != layout.columns and not (len(cells) == layout.columns + 1 and not cells[-1].strip()):
            what = "numbers" if layout.separator is None else "cells"
            raise ValueError(f"has {len(cells)} {what}, the first line {layout.columns}; record or copy it again")
        if b"_" in line:  # Python reads 1_000, which no other program writes
            raise ValueError("holds no numbers; record or copy it again")
        x, y, z = layout.xyz
        try:
            values.extend((float(cells[x]), float(cells[y]), float(cells[z])))
        except ValueError:
            values.extend([_cell(cells[column]) for column in layout.xyz])
    except ValueError as error:
        raise bad_line(lines.number, line, error) from error
    if len(values) > 3 * MAX_PIXELS:
        check_count(len(values) // 3)


def _cell(cell: bytes) -> float:
    word = cell.strip().strip(_QUOTES).strip()
    if word.lower() in _EMPTY:
        return math.nan
    if _DECIMAL_COMMA.fullmatch(word):
        raise ValueError(_DECIMAL_COMMAS)
    return parsed_number(word)


def _layout_of_row(line: bytes, number: int, remarked: _Columns | None) -> _Columns:
    """The layout of a first row that no names stand above, unless it is those of a comment."""
    words = line.split()
    if len(words) > 2 and all(map(_DECIMAL_COMMA.fullmatch, words)):
        raise bad_line(number, line, ValueError(_DECIMAL_COMMAS))
    separator = _separator_of(line)
    columns = len(_without_last_empty(line.split(separator)))
    if remarked is not None and remarked.columns == columns:
        return _Columns(separator, columns, remarked.xyz)
    if columns < 3:
        raise bad_line(number, line, ValueError(f"has {columns} numbers; save x, y and z of every point"))
    if columns > _MOST_NAMELESS:
        raise bad_line(
            number, line, ValueError(f"has {columns} columns without names; name x, y and z in a first line")
        )
    return _Columns(separator, columns, (0, 1, 2))


def _names(line: bytes) -> _Columns | None:
    """The layout that a line of names tells; None if it is not such a line."""
    text = line.strip()
    for mark in _COMMENTS:
        text = text.removeprefix(mark)
    separator = _separator_of(text)
    names = [cell.strip().strip(_QUOTES).strip().lower() for cell in _without_last_empty(text.strip().split(separator))]
    places: dict[bytes, int] = {}
    for column, name in enumerate(names):
        match = _NAME.fullmatch(name)
        if match is not None:
            places.setdefault(match[1] or _XYZ[int(match[2])], column)
    return _Columns(separator, len(names), (places[b"x"], places[b"y"], places[b"z"])) if len(places) == 3 else None


def _separator_of(line: bytes) -> bytes | None:
    return next((mark for mark in (b";", b"\t", b",") if mark in line.strip()), None)


def _without_last_empty(cells: list[bytes]) -> list[bytes]:
    """Without what a separator at a line's end adds; the third of three cells may as well be a missing z."""
    return cells[:-1] if len(cells) > 3 and not cells[-1].strip() else cells


def _is_comment(line: bytes) -> bool:
    return line.lstrip().startswith(_COMMENTS)


def _is_row(line: bytes) -> bool:
    """Whether a line holds three numbers or more, or empty cells in their place."""
    words = line.split()
    if len(words) > 2 and all(map(_DECIMAL_COMMA.fullmatch, words)):
        return True
    cells = _without_last_empty(line.split(_separator_of(line)))
    return len(cells) > 2 and all(map(_is_cell, cells[:3]))


def _is_cell(cell: bytes) -> bool:
    word = cell.strip()
    if _DECIMAL_COMMA.fullmatch(word):
        return True
    try:
        _cell(cell)
    except ValueError:
        return False
    return True


FORMATS = (
    Format(
        "XYZ/CSV",
        (".xyz", ".xyzn", ".xyzrgb", ".pts", ".asc", ".csv", ".txt"),
        is_delimited,
        plain(read_delimited),
        holds="points",
        doubtful=(".csv", ".txt"),
    ),
)
