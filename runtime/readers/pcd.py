"""PCD 0.7, the Point Cloud Library's format: text, binary and LZF-compressed binary."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from ..errors import ScanError
from .limits import MAX_FILE_BYTES, MAX_HEADER_BYTES, check_grid
from .records import Record, binary_columns, text_columns, text_lines, truncated, whole_number

_START = re.compile(rb"(?:[ \t]*(?:#[^\n]*)?\r?\n){0,20}[ \t]*(?:VERSION|FIELDS|COLUMNS)\s")
_DATA = re.compile(rb"^DATA[ \t]+(\w+)[ \t]*\r?\n", re.MULTILINE)
_KINDS = {"F": ("f", (4, 8)), "I": ("i", (1, 2, 4, 8)), "U": ("u", (1, 2, 4, 8))}
# LZF's longest match, 264 bytes, takes three.
_MAX_RATIO = 88


@dataclass(frozen=True)
class _Header:
    record: Record
    height: int
    width: int
    encoding: str
    body: int

    @property
    def points(self) -> int:
        return self.height * self.width


def is_pcd(data: bytes) -> bool:
    """Whether the content is PCD."""
    return _START.match(data[:4096]) is not None


def read_pcd(data: bytes) -> npt.NDArray[Any]:
    """Read x, y and z of an organized cloud (HEIGHT above 1).

    Raises:
        ScanError: damaged, unorganized, or without x, y, z.
    """
    header = _read_header(data)
    axes = header.record.axes()
    if header.encoding == "ascii":
        lines = text_lines(data, header.body)
        points = text_columns(lines, header.points, header.record, axes)
        if next(lines, None) is not None:
            raise ScanError(f"has more points than the {header.points} of its header: record it again")
    elif header.encoding == "binary":
        points = binary_columns(data, header.body, header.points, header.record, axes)
    elif header.encoding == "binary_compressed":
        points = _decompressed(data, header)
    else:
        raise ScanError(f"is a PCD with DATA {header.encoding}: ascii, binary and binary_compressed are read")
    return points.reshape(header.height, header.width, 3)


def _read_header(data: bytes) -> _Header:
    match = _DATA.search(data[:MAX_HEADER_BYTES])
    if match is None:
        raise ScanError("is a damaged or truncated PCD: its header has no DATA line")
    entries: dict[str, list[str]] = {}
    for line in data[: match.start()].decode("latin-1").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    height, width = _entry(entries, "HEIGHT"), _entry(entries, "WIDTH")
    if height <= 1 and "POINTS" in entries:
        check_grid(height, _entry(entries, "POINTS"))
    check_grid(height, width)
    if "POINTS" in entries and _entry(entries, "POINTS") != height * width:
        raise ScanError(f"has a damaged header: POINTS is not WIDTH x HEIGHT ({width} x {height})")
    return _Header(_record(entries), height, width, match.group(1).decode(), match.end())


def _entry(entries: dict[str, list[str]], key: str) -> int:
    values = entries.get(key, [])
    return whole_number(values[0] if len(values) == 1 else "", key)


def _record(entries: dict[str, list[str]]) -> Record:
    names = entries.get("FIELDS", entries.get("COLUMNS", []))
    sizes, kinds = entries.get("SIZE", []), entries.get("TYPE", [])
    counts = entries.get("COUNT", ["1"] * len(names))
    if not names or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise ScanError("has a damaged header: FIELDS, SIZE, TYPE and COUNT differ in length")
    return Record.of(
        [
            (name, _dtype(kind, whole_number(size, "SIZE")), whole_number(count, "COUNT"))
            for name, size, kind, count in zip(names, sizes, kinds, counts, strict=True)
        ]
    )


def _dtype(kind: str, size: int) -> np.dtype[Any]:
    letter, sizes = _KINDS.get(kind, ("", ()))
    if size not in sizes:
        raise ScanError(f"has a damaged header: there is no TYPE {kind[:20]} of SIZE {size}")
    return np.dtype(f"<{letter}{size}")


def _decompressed(data: bytes, header: _Header) -> npt.NDArray[Any]:
    """Compressed data hold all x, then all y, ...: (points, 3)."""
    start = header.body + 8
    if start > len(data):
        raise truncated(header.points, 0)
    packed, unpacked = struct.unpack_from("<II", data, header.body)
    if start + packed > len(data):
        raise truncated(header.points, 0)
    expected = header.points * header.record.itemsize
    if unpacked != expected or expected > min(_MAX_RATIO * packed, MAX_FILE_BYTES):
        raise ScanError("has damaged compressed data: their size is not the header's: record or copy it again")
    try:
        body = imagecodecs.lzf_decode(data[start : start + packed], out=unpacked)
    except imagecodecs.LzfError as error:
        raise ScanError("has damaged compressed data: record or copy it again") from error
    if len(body) != expected:
        raise truncated(header.points, len(body) // header.record.itemsize)
    axes = [
        np.frombuffer(body, field.dtype, header.points, field.offset * header.points) for field in header.record.axes()
    ]
    return np.stack(axes, axis=-1)
