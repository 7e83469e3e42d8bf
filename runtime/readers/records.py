"""What PLY and PCD share: points as records of named numbers, in text or in binary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScanError
from .limits import MAX_HEADER_BYTES

_AXES = ("x", "y", "z")
_BAD_LINE = "has a line of points that is cut short or holds no numbers: record it again"


@dataclass(frozen=True)
class Field:
    """One number (or `count` equal ones) of a record.

    Attributes:
        name: as in the header.
        dtype: with the file's byte order.
        offset: bytes from the record's start.
        column: numbers from the record's start.
        count: numbers it holds.
    """

    name: str
    dtype: np.dtype[Any]
    offset: int
    column: int
    count: int = 1


@dataclass(frozen=True)
class Record:
    """The layout of one point."""

    fields: tuple[Field, ...]

    @classmethod
    def of(cls, named: list[tuple[str, np.dtype[Any], int]]) -> Record:
        """Fields of (name, dtype, count), one after the other without gaps."""
        fields: list[Field] = []
        offset = column = 0
        for name, dtype, count in named:
            fields.append(Field(name, dtype, offset, column, count))
            offset += dtype.itemsize * count
            column += count
        return cls(tuple(fields))

    @property
    def itemsize(self) -> int:
        """Bytes of a record."""
        return sum(field.dtype.itemsize * field.count for field in self.fields)

    @property
    def columns(self) -> int:
        """Numbers of a record."""
        return sum(field.count for field in self.fields)

    def axes(self) -> tuple[Field, Field, Field]:
        """The fields x, y and z.

        Raises:
            ScanError: one is missing or holds several numbers.
        """
        return self.single(_AXES[0]), self.single(_AXES[1]), self.single(_AXES[2])

    def single(self, name: str) -> Field:
        """The first field of a name.

        Raises:
            ScanError: there is none, or it holds several numbers.
        """
        for field in self.fields:
            if field.name == name and field.count == 1:
                return field
        raise ScanError(f"has points without {name}: save x, y and z of every point")


def binary_columns(data: bytes, offset: int, rows: int, record: Record, wanted: tuple[Field, ...]) -> npt.NDArray[Any]:
    """(rows, len(wanted)) numbers of interleaved records.

    Raises:
        ScanError: the data end before the last record.
    """
    if offset + rows * record.itemsize > len(data):
        raise truncated(rows, max(0, len(data) - offset) // max(1, record.itemsize))
    layout = np.dtype(
        {
            "names": [str(i) for i in range(len(wanted))],
            "formats": [field.dtype for field in wanted],
            "offsets": [field.offset for field in wanted],
            "itemsize": record.itemsize,
        }
    )
    records = np.frombuffer(data, layout, rows, offset)
    return np.stack([records[str(i)] for i in range(len(wanted))], axis=-1)


def text_columns(lines: Iterator[bytes], rows: int, record: Record, wanted: tuple[Field, ...]) -> npt.NDArray[Any]:
    """The same from lines of text, of which as many are taken as there are rows.

    Raises:
        ScanError: fewer lines than rows, another number of columns, or something that is no number.
    """
    first = next(lines, b"")
    if not first:
        raise truncated(rows, 0)
    _check_columns(first, record)
    last = [first]
    try:
        table = np.loadtxt(
            chain([first], _remembering(islice(lines, rows - 1), last)),
            comments=None,
            usecols=[field.column for field in wanted],
            ndmin=2,
            encoding="latin-1",
        )
    except (ValueError, OverflowError) as error:
        raise ScanError(_BAD_LINE) from error
    if len(table) != rows:
        raise truncated(rows, len(table))
    _check_columns(last[0], record)
    return _whole(table) if all(field.dtype.kind in "iu" for field in wanted) else table


def _check_columns(line: bytes, record: Record) -> None:
    if len(line) > MAX_HEADER_BYTES:
        raise ScanError("has a line of points that never ends: record or copy it again")
    found = len(line.split())
    if found != record.columns:
        raise ScanError(f"has {found} numbers in a line of points, its header says {record.columns}")


def _remembering(lines: Iterator[bytes], last: list[bytes]) -> Iterator[bytes]:
    """Pass lines on; `last[0]` is then the one at which a truncated file ends."""
    for line in lines:
        last[0] = line
        yield line


def _whole(table: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    # Beyond 2^53 a float64 skips integers.
    if not np.all((np.abs(table) < 2**53) & (table == np.floor(table))):
        raise ScanError(_BAD_LINE)
    return table.astype(np.int64)


def text_lines(data: bytes, offset: int) -> Iterator[bytes]:
    """The lines that are not blank."""
    position = offset
    while position < len(data):
        end = data.find(b"\n", position) + 1 or len(data)
        line = data[position:end]
        position = end
        if not line.isspace():
            yield line


def truncated(expected: int, found: int) -> ScanError:
    """The error of a file that ends early."""
    return ScanError(f"is truncated: {found} of {expected} points are there: record or copy it again")


def whole_number(text: str, what: str) -> int:
    """A non-negative integer of a header.

    Raises:
        ScanError: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ScanError(f"has a damaged header: {what} is {text[:20]!r}")
    return int(text)
