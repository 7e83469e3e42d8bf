"""What formats of points share: points as records of named numbers, in text or in binary."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import DamagedScanError, ScanError
from .lines import TextLines

_AXES = ("x", "y", "z")
# As C libraries, MATLAB and Windows (with any number of digits, 1.#QNAN0 or 1.#J) write what is no number.
_NOT_A_NUMBER = re.compile(rb"[+-]?(?:nan(?:\([\w:-]*\))?|1\.#(?!j\b|inf)[a-z]+\d*(?:e[+-]?\d+)?)", re.IGNORECASE)
_INFINITE = re.compile(rb"[+-]?(?:inf(?:inity)?|1\.#(?:j|inf\d*)(?:e[+-]?\d+)?)", re.IGNORECASE)
_NO_NUMBER = "holds no numbers; write a missing value as nan, or record the scan again"
_SHOWN = 60  # characters of a bad line

Picker = Callable[[list[bytes]], Sequence[bytes]]


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

    def picker(self, wanted: Sequence[Field]) -> Picker:
        """What takes the words of some fields, at least two, from all words of a record's line.

        It raises ValueError where the line has another number of words than the record.
        """
        columns, take = self.columns, itemgetter(*(field.column for field in wanted))

        def pick(words: list[bytes]) -> Sequence[bytes]:
            if len(words) != columns:
                raise ValueError(f"has {len(words)} numbers, but its header says {columns}; record or copy it again")
            picked: Sequence[bytes] = take(words)
            return picked

        return pick

    def axes(self) -> tuple[Field, Field, Field]:
        """The fields x, y and z.

        Raises:
            ScanError: one is missing or holds several numbers.
        """
        return self.single(_AXES[0]), self.single(_AXES[1]), self.single(_AXES[2])

    def single(self, name: str) -> Field:
        """The first field of a name.

        Raises:
            ScanError: it is missing, or holds several numbers.
        """
        for field in self.fields:
            if field.name == name and field.count == 1:
                return field
        raise ScanError(f"has points without {name}: save x, y and z of every point")


def binary_columns(data: bytes, offset: int, rows: int, record: Record, wanted: Sequence[Field]) -> npt.NDArray[Any]:
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


def text_columns(lines: TextLines, rows: int, wanted: Sequence[Field], pick: Picker) -> npt.NDArray[Any]:
    """The same from lines of text, of which as many are taken as there are rows.

    Args:
        lines: where the next line is the first row.
        rows: how many.
        wanted: the fields of the result.
        pick: takes their numbers, in their order, from the words of a line, such as `Record.picker`.

    Returns:
        (rows, len(wanted)) int64 where all wanted fields are integers, else float64: NaN where a C library, MATLAB or
        Windows wrote that there is no number (nan, -nan(ind), 1.#QNAN, ...), infinite where it wrote inf or 1.#INF.

    Raises:
        ScanError: fewer lines than rows, or a line that does not hold the numbers. It names the line.
    """
    parse = _integers if all(field.dtype.kind in "iu" for field in wanted) else _numbers
    values, line = array("d"), b""
    try:
        for line in islice(lines, rows):
            values.extend(parse(pick(line.split())))
            if b"_" in line:  # Python reads 1_000, which no other program writes
                raise ValueError(_NO_NUMBER)
    except ValueError as error:
        raise bad_line(lines.number, line, error) from error
    if len(values) != rows * len(wanted):
        raise truncated(rows, len(values) // len(wanted))
    table = np.frombuffer(values, np.float64).reshape(rows, len(wanted))
    return table.astype(np.int64) if parse is _integers else table


def _numbers(words: Sequence[bytes]) -> list[float]:
    try:
        return [*map(float, words)]
    except ValueError:
        return [*map(parsed_number, words)]


def parsed_number(word: bytes) -> float:
    """A number as Python, C libraries, MATLAB or Windows write it.

    Raises:
        ValueError: it is none.
    """
    if _NOT_A_NUMBER.fullmatch(word):
        return math.nan
    if _INFINITE.fullmatch(word):
        return math.inf
    try:
        return float(word)
    except ValueError:
        raise ValueError(_NO_NUMBER) from None


def _integers(words: Sequence[bytes]) -> list[float]:
    numbers = _numbers(words)
    # Beyond 2^53 a float64 skips integers.
    if not all(abs(number) < 2**53 and number.is_integer() for number in numbers):
        raise ValueError("holds other than whole numbers, which its header declares; save floats as floats")
    return numbers


def bad_line(number: int, line: bytes, reason: ValueError) -> ScanError:
    """The error of a line, whose number is counted from 1, that does not hold what it should."""
    shown = line.strip().decode("latin-1")
    return DamagedScanError(f"line {number}, {shown[:_SHOWN]!r}{'...' * (len(shown) > _SHOWN)}, {reason}")


def truncated(expected: int, there: int) -> ScanError:
    """The error of a file that ends early."""
    return DamagedScanError(f"is truncated: {there} of {expected} points are there: record or copy it again")


def whole_number(text: str, what: str) -> int:
    """A non-negative integer of a header.

    Raises:
        ScanError: it is not one.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise damaged_header(f"{what} is {text[:20]!r}")
    return int(text)


def damaged_header(what: str) -> ScanError:
    """The error of a header that contradicts itself or the format."""
    return DamagedScanError(f"has a damaged header: {what}: record or copy it again")
