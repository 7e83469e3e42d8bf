"""PLY, text and binary.

Three ways to say which point belongs to which pixel are read: a range grid (Stanford's scans, PCL), rows and columns
in a comment, and the viewport of the camera element that PCL writes. Points may have lists among their properties, and
any elements may stand before them.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import DamagedScanError, ScanError
from .format import Format, plain
from .limits import MAX_HEADER_BYTES, MAX_PIXELS, check_grid
from .lines import TextLines, body_start, header_lines
from .ply_elements import Element, Property, read_binary, read_text, scalar
from .records import Field, truncated, whole_number

_START = re.compile(rb"ply[ \t]*[\r\n]")
_END = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(?=[\r\n])")
_ORDERS = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    name: code
    for code, names in {
        "i1": ("char", "int8"),
        "u1": ("uchar", "uint8"),
        "i2": ("short", "int16"),
        "u2": ("ushort", "uint16"),
        "i4": ("int", "int32"),
        "u4": ("uint", "uint32"),
        "f4": ("float", "float32"),
        "f8": ("double", "float64"),
    }.items()
    for name in names
}
_RANGE_GRID = "range_grid"
_ELEMENTS = ("vertex", "camera", _RANGE_GRID)
_WIDTHS, _HEIGHTS = ("num_cols", "width"), ("num_rows", "height")


@dataclass(frozen=True)
class _PlyHeader:
    text: bool
    elements: tuple[Element, ...]
    remarks: dict[str, int]
    """Comments and obj_infos of one word and one whole number."""
    body: int


def is_ply(data: bytes) -> bool:
    """Whether the content is PLY."""
    return _START.match(data) is not None


def read_ply(data: bytes) -> npt.NDArray[Any]:
    """Read the vertices: (H, W, 3) where the file says which pixel each belongs to, else (N, 3).

    Pixels that a range grid leaves empty are zero.

    Raises:
        ScanError: damaged, or without x, y, z.
    """
    header = _read_header(data)
    elements = _read_elements(data, header)
    points = elements.get("vertex")
    if points is None:
        raise ScanError("is a PLY without points (element vertex): save x, y and z of every pixel")
    index = elements.get(_RANGE_GRID)
    if index is not None:
        points = _spread(points, index)
    grid = _grid(header, elements)
    if grid is None:
        return points
    height, width = grid
    check_grid(height, width)
    if len(points) != height * width:
        what = "points" if index is None else "pixels in its range grid"
        raise ScanError(f"has {len(points)} {what}, but {height} rows of {width}: save every pixel's point")
    return points.reshape(height, width, 3)


def _spread(points: npt.NDArray[Any], index: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The point of every pixel: (pixels, 3)."""
    if index.min() < -1 or index.max() >= len(points):
        raise _damaged("its range grid names points that are not there")
    gridded = np.zeros((len(index), 3), points.dtype.newbyteorder("="))
    gridded[index >= 0] = points[index[index >= 0]]
    return gridded


def _grid(header: _PlyHeader, elements: dict[str, npt.NDArray[Any]]) -> tuple[int, int] | None:
    """Rows and columns; None where nothing tells them, or one row of all points, which tells none."""
    widths = [header.remarks[key] for key in _WIDTHS if key in header.remarks]
    heights = [header.remarks[key] for key in _HEIGHTS if key in header.remarks]
    camera = elements.get("camera")
    if widths and heights:
        height, width = heights[0], widths[0]
    elif camera is not None:
        height, width = int(camera[0, 1]), int(camera[0, 0])
    else:
        return None
    return (height, width) if min(height, width) > 1 else None


def _read_header(data: bytes) -> _PlyHeader:
    end = _END.search(data[:MAX_HEADER_BYTES])
    if end is None:
        raise DamagedScanError("is a damaged or truncated PLY: its header has no end: record or copy it again")
    lines = header_lines(data[: end.start()])[1:]
    kind = next((words[1] for words in lines if words[:1] == ["format"] and len(words) == 3), "")
    if kind not in _ORDERS:
        raise ScanError(
            f"is a PLY of format {kind[:30]!r}: save it as ascii, or as binary of either byte order, which are read"
        )
    remarks = {
        words[1].lower(): int(words[2])
        for words in lines
        if words[:1] in (["comment"], ["obj_info"]) and len(words) == 3 and re.fullmatch("[0-9]{1,9}", words[2])
    }
    return _PlyHeader(kind == "ascii", _read_layout(lines, _ORDERS[kind]), remarks, body_start(data, end.end()))


def _read_layout(lines: list[list[str]], order: str) -> tuple[Element, ...]:
    elements: list[Element] = []
    for words in lines:
        if words[:1] == ["element"] and len(words) == 3:
            elements.append(Element(words[1], whole_number(words[2], f"the count of {words[1][:20]!r}"), ()))
        elif words[:1] == ["property"] and elements:
            last = elements[-1]
            elements[-1] = replace(last, properties=(*last.properties, _property(words, order)))
        elif words and words[0] not in ("format", "comment", "obj_info"):
            raise _damaged(f"its header says {' '.join(words)[:40]!r}")
    return tuple(elements)


def _property(words: list[str], order: str) -> Property:
    is_list = words[1:2] == ["list"] and len(words) == 5
    types = [_TYPES.get(word, "") for word in (words[2:4] if is_list else words[1:2])]
    if not all(types) or (is_list and types[0][0] == "f") or (not is_list and len(words) != 3):
        raise _damaged(f"its header says {' '.join(words)[:40]!r}")
    dtypes = [np.dtype(order + name) for name in types]
    return Property(words[-1], dtypes[-1], dtypes[0] if is_list else None)


def _read_elements(data: bytes, header: _PlyHeader) -> dict[str, npt.NDArray[Any]]:
    """As far as they are there: vertices (N, 3), the camera's viewport (1, 2), the range grid (pixels,)."""
    numbers_of: dict[str, npt.NDArray[Any]] = {}
    lines, position = TextLines(data, header.body) if header.text else None, header.body
    numbers: npt.NDArray[Any] | None
    for element in _up_to_the_last_wanted(header.elements):
        if element.name == _RANGE_GRID:
            numbers, position = _range_grid(lines, data, position, element)
        elif lines is not None:
            numbers = read_text(lines, element, _wanted(element))
        else:
            numbers, position = read_binary(data, position, element, _wanted(element))
        if numbers is not None:
            numbers_of.setdefault(element.name, numbers)
    return numbers_of


def _up_to_the_last_wanted(elements: tuple[Element, ...]) -> tuple[Element, ...]:
    """What follows, such as the faces of a mesh, is not looked at."""
    last = max((place for place, element in enumerate(elements) if element.name in _ELEMENTS), default=-1)
    return elements[: last + 1]


def _wanted(element: Element) -> tuple[Field, ...]:
    if element.name == "vertex":
        if not 0 < element.count <= MAX_PIXELS:
            raise _damaged(f"it declares {element.count} points; 1 to {MAX_PIXELS} are read")
        return element.record.axes()
    if element.name == "camera" and element.count == 1:
        viewport = {field.name: field for field in element.record.fields if field.dtype.kind in "iu"}
        if {"viewportx", "viewporty"} <= viewport.keys():
            return viewport["viewportx"], viewport["viewporty"]
    return ()


def _range_grid(
    lines: TextLines | None, data: bytes, position: int, element: Element
) -> tuple[npt.NDArray[np.int64], int]:
    """The vertex of every pixel, -1 where there is none: (pixels,); and where binary data go on."""
    if not 0 < element.count <= MAX_PIXELS:
        raise _damaged(f"it declares a range grid of {element.count} pixels; 1 to {MAX_PIXELS} are read")
    entries = element.properties[0] if len(element.properties) == 1 else None
    if entries is None or entries.length is None or entries.dtype.kind == "f":
        raise ScanError("is a PLY whose range grid is not one list of points: save it again")
    if lines is not None:
        return _text_range_grid(lines, element.count, len(data)), position
    return _binary_range_grid(data, position, element.count, entries.length, entries.dtype)


def _text_range_grid(lines: TextLines, count: int, n_bytes: int) -> npt.NDArray[np.int64]:
    if 2 * count > n_bytes + 1:
        raise truncated(count, 0)
    grid = np.full(count, -1, np.int64)
    filled = 0
    for line in islice(lines, count):
        words = line.split()
        if words[0] == b"1" and len(words) == 2:
            grid[filled] = whole_number(words[1].decode("latin-1"), f"the range grid's entry in line {lines.number}")
        elif words != [b"0"]:
            raise _damaged(f"line {lines.number}, of its range grid, is neither 0 nor 1 and a point")
        filled += 1
    if filled != count:
        raise truncated(count, filled)
    return grid


def _binary_range_grid(
    data: bytes, position: int, count: int, length: np.dtype[Any], index: np.dtype[Any]
) -> tuple[npt.NDArray[np.int64], int]:
    if position + count * length.itemsize > len(data):
        raise truncated(count, 0)
    grid = np.full(count, -1, np.int64)
    read_length, read_index = scalar(length).unpack_from, scalar(index).unpack_from
    step = length.itemsize + index.itemsize
    try:
        for pixel in range(count):
            (entries,) = read_length(data, position)
            if entries == 0:
                position += length.itemsize
            elif entries == 1:
                (grid[pixel],) = read_index(data, position + length.itemsize)
                position += step
            else:
                raise _damaged("a pixel of its range grid has more than one point")
    except struct.error as error:
        raise truncated(count, pixel) from error
    return grid, position


def _damaged(what: str) -> ScanError:
    return DamagedScanError(f"is a damaged PLY: {what}: record or copy it again")


FORMATS = (Format("PLY", (".ply",), is_ply, plain(read_ply)),)
