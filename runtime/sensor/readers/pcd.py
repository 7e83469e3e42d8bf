"""PCD 0.7, the Point Cloud Library's format: text, binary and LZF-compressed binary."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from ...errors import DamagedScanError, ScanError
from .format import Format, plain
from .limits import MAX_FILE_BYTES, MAX_HEADER_BYTES, check_count, check_unpacked
from .lines import TextLines, body_start, header_lines
from .records import Record, binary_columns, damaged_header, text_columns, truncated, whole_number

# The first words behind blank lines and comments.
_START = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])*(?:VERSION|FIELDS|COLUMNS)(?!\S)")
_DATA = re.compile(rb"(?:^|[\r\n])[ \t]*DATA[ \t]+(\w+)[ \t]*(?=[\r\n])")
_KINDS = {"F": ("f", (4, 8)), "I": ("i", (1, 2, 4, 8)), "U": ("u", (1, 2, 4, 8))}
# LZF's longest match, 264 bytes, takes three.
_MAX_RATIO = 88


@dataclass(frozen=True)
class _PcdHeader:
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
    return _START.match(data, 0, MAX_HEADER_BYTES) is not None


def read_pcd(data: bytes) -> npt.NDArray[Any]:
    """Read x, y and z: (H, W, 3) of an organized cloud, HEIGHT above 1, else (N, 3).

    Raises:
        ScanError: damaged, or without x, y, z.
    """
    header = _read_header(data)
    axes = header.record.axes()
    if header.encoding == "ascii":
        lines = TextLines(data, header.body)
        points = text_columns(lines, header.points, axes, header.record.picker(axes))
        if next(iter(lines), None) is not None:
            raise ScanError(f"has more points than the {header.points} of its header: record it again")
    elif header.encoding == "binary":
        points = binary_columns(data, header.body, header.points, header.record, axes)
    elif header.encoding == "binary_compressed":
        points = _decompressed(data, header)
    else:
        raise ScanError(
            f"is a PCD with DATA {header.encoding[:20]}: save it as ascii, binary or binary_compressed, which are read"
        )
    return points.reshape(header.height, header.width, 3) if min(header.height, header.width) > 1 else points


def _read_header(data: bytes) -> _PcdHeader:
    match = _DATA.search(data[:MAX_HEADER_BYTES])
    if match is None:
        raise DamagedScanError("is a damaged or truncated PCD: its header has no DATA line: record or copy it again")
    entries: dict[str, list[str]] = {}
    for words in header_lines(data[: match.start()]):
        if words and not words[0].startswith("#"):
            entries[words[0].upper()] = words[1:]
    # PCD 0.6 and what imitates it leave out what POINTS says.
    height = _entry(entries, "HEIGHT") if "HEIGHT" in entries else 1
    width = _entry(entries, "WIDTH" if "WIDTH" in entries or "POINTS" not in entries else "POINTS")
    check_count(height * width)
    if "POINTS" in entries and _entry(entries, "POINTS") != height * width:
        raise damaged_header(f"POINTS is not WIDTH x HEIGHT ({width} x {height})")
    return _PcdHeader(_record(entries), height, width, match.group(1).decode(), body_start(data, match.end()))


def _entry(entries: dict[str, list[str]], key: str) -> int:
    values = entries.get(key, [])
    return whole_number(values[0] if len(values) == 1 else "", key)


def _record(entries: dict[str, list[str]]) -> Record:
    names = entries.get("FIELDS", entries.get("COLUMNS", []))
    sizes, kinds = entries.get("SIZE", []), entries.get("TYPE", [])
    counts = entries.get("COUNT", ["1"] * len(names))
    if not names or not len(names) == len(sizes) == len(kinds) == len(counts):
        raise damaged_header("FIELDS, SIZE, TYPE and COUNT differ in length")
    return Record.of(
        [
            (name, _dtype(kind, whole_number(size, "SIZE")), whole_number(count, "COUNT"))
            for name, size, kind, count in zip(names, sizes, kinds, counts, strict=True)
        ]
    )


def _dtype(kind: str, size: int) -> np.dtype[Any]:
    letter, sizes = _KINDS.get(kind, ("", ()))
    if size not in sizes:
        raise damaged_header(f"there is no TYPE {kind[:20]!r} of SIZE {size}")
    return np.dtype(f"<{letter}{size}")


def _decompressed(data: bytes, header: _PcdHeader) -> npt.NDArray[Any]:
    """Compressed data hold all x, then all y, ...: (points, 3)."""
    start = header.body + 8
    if start > len(data):
        raise truncated(header.points, 0)
    packed, unpacked = struct.unpack_from("<II", data, header.body)
    if start + packed > len(data):
        raise truncated(header.points, 0)
    check_unpacked(header.points, packed)
    expected = header.points * header.record.itemsize
    if unpacked != expected or expected > min(_MAX_RATIO * packed, MAX_FILE_BYTES):
        raise DamagedScanError(
            f"has damaged compressed data: {packed} bytes for {unpacked}, and its header's points have {expected}: "
            "record or copy it again"
        )
    body = _unpacked(data[start : start + packed], expected)
    axes = [
        np.frombuffer(body, field.dtype, header.points, field.offset * header.points) for field in header.record.axes()
    ]
    return np.stack(axes, axis=-1)


def _unpacked(block: bytes, size: int) -> bytes:
    """A compressed block, or one that PCL stored as it was because LZF did not shrink it: `size` bytes."""
    try:
        body = bytes(imagecodecs.lzf_decode(block, out=size))
    except imagecodecs.LzfError as error:
        if len(block) == size:
            return block
        raise DamagedScanError("has damaged compressed data: record or copy it again") from error
    # Stored numbers may decode by chance, but not to their own length.
    if len(body) == size or len(block) == size:
        return body if len(body) == size else block
    raise DamagedScanError(f"has damaged compressed data: {len(body)} bytes instead of {size}: record or copy it again")


FORMATS = (Format("PCD", (".pcd",), is_pcd, plain(read_pcd)),)
