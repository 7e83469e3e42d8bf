"""The elements of a PLY's body, whose entries may hold lists of numbers that are longer in one than in another."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import DamagedScanError, ScanError
from .limits import MAX_HEADER_BYTES, MAX_PIXELS
from .lines import TextLines
from .records import Field, Picker, Record, binary_columns, text_columns, truncated

# What no field that is looked for is called.
_NAMELESS = ""
# Where a property goes that is wanted, its bytes, and how the length of a list is read.
_Step = tuple[bytearray | None, int, struct.Struct | None]


@dataclass(frozen=True)
class Property:
    """One number of an entry, or a list of them: then `length` is the type of its length, which precedes it."""

    name: str
    dtype: np.dtype[Any]
    length: np.dtype[Any] | None = None


@dataclass(frozen=True)
class Element:
    """A table of `count` entries with the same properties."""

    name: str
    count: int
    properties: tuple[Property, ...]

    @property
    def has_lists(self) -> bool:
        """Whether its entries may differ in length."""
        return any(prop.length is not None for prop in self.properties)

    @property
    def record(self) -> Record:
        """The layout of an entry whose lists are empty."""
        return self.record_with(())

    def record_with(self, lengths: Sequence[int]) -> Record:
        """The layout of an entry whose lists have these lengths, none where there are fewer; they have no names."""
        named: list[tuple[str, np.dtype[Any], int]] = []
        remaining = iter(lengths)
        for prop in self.properties:
            if prop.length is None:
                named.append((prop.name, prop.dtype, 1))
            else:
                named += [(_NAMELESS, prop.length, 1), (_NAMELESS, prop.dtype, next(remaining, 0))]
        return Record.of(named)


def read_text(lines: TextLines, element: Element, wanted: Sequence[Field]) -> npt.NDArray[Any] | None:
    """The wanted fields of all entries, a line each: (count, len(wanted)); None where none is wanted.

    Raises:
        ScanError: a line is missing or is not an entry.
    """
    if wanted:
        pick = _list_picker(element, wanted) if element.has_lists else element.record.picker(wanted)
        return text_columns(lines, element.count, wanted, pick)
    if element.properties:
        next(islice(lines, element.count, element.count), None)
    return None


def read_binary(
    data: bytes, position: int, element: Element, wanted: Sequence[Field]
) -> tuple[npt.NDArray[Any] | None, int]:
    """The same from an offset of binary data, and where the next element begins.

    Raises:
        ScanError: the data end before the last entry.
    """
    record = _even_record(data, position, element)
    if record is None:
        return _walk(data, position, element, wanted)
    after = position + element.count * record.itemsize
    if not wanted:
        return None, after
    return binary_columns(data, position, element.count, record, [record.single(field.name) for field in wanted]), after


def scalar(dtype: np.dtype[Any]) -> struct.Struct:
    """What reads one number of a type in its byte order."""
    # One byte has no order, which NumPy writes as |.
    return struct.Struct(dtype.str[0].replace("|", "<") + dtype.char)


def _list_picker(element: Element, wanted: Sequence[Field]) -> Picker:
    def pick(words: list[bytes]) -> Sequence[bytes]:
        column, picked = 0, dict[str, bytes]()
        for prop in element.properties:
            word = words[column] if column < len(words) else b""
            picked.setdefault(prop.name if prop.length is None else _NAMELESS, word)
            column += 1 if prop.length is None else 1 + _list_length(word)
        if column != len(words):
            raise ValueError("does not hold the lists and numbers of its header; record or copy it again")
        return [picked[field.name] for field in wanted]

    return pick


def _list_length(word: bytes) -> int:
    if not (word.isdigit() and len(word) <= 9):
        raise ValueError(f"has a list of {word[:20].decode('latin-1')!r} numbers; record or copy it again")
    return int(word)


def _even_record(data: bytes, position: int, element: Element) -> Record | None:
    """The layout that all entries share; None where their lists differ in length, or the data end early."""
    if not element.has_lists or element.count == 0:
        return element.record
    record = element.record_with(_first_lengths(data, position, element))
    if record.itemsize > MAX_HEADER_BYTES or position + element.count * record.itemsize > len(data):
        return None
    # If an entry has the first one's lengths, the next begins where the shared layout says: so if all have them there,
    # all have them.
    lengths = [field for field in record.fields if field.name == _NAMELESS][::2]
    columns = binary_columns(data, position, element.count, record, lengths)
    return record if bool((columns == columns[0]).all()) else None


def _first_lengths(data: bytes, position: int, element: Element) -> list[int]:
    lengths: list[int] = []
    for prop in element.properties:
        if prop.length is not None:
            reader = scalar(prop.length)
            if position + reader.size > len(data):
                raise truncated(element.count, 0)
            lengths.append(_checked_length(reader.unpack_from(data, position)[0]))
            position += reader.size + lengths[-1] * prop.dtype.itemsize
        else:
            position += prop.dtype.itemsize
    return lengths


def _checked_length(length: int) -> int:
    if length < 0:
        raise DamagedScanError(f"is a damaged PLY: it has a list of {length} numbers: record or copy it again")
    return length


def _walk(data: bytes, position: int, element: Element, wanted: Sequence[Field]) -> tuple[npt.NDArray[Any] | None, int]:
    """Entry by entry, as lists of different lengths need it."""
    if element.count > MAX_PIXELS:
        raise ScanError(f"declares {element.count} of {element.name[:20]!r}, more than {MAX_PIXELS}: record it again")
    kept = {field.name: bytearray() for field in wanted}
    steps = _steps(element, dict(kept))
    try:
        for entry in range(element.count):
            position = _after_entry(data, position, steps)
            if position > len(data):
                raise truncated(element.count, entry)
    except struct.error as error:
        raise truncated(element.count, entry) from error
    columns = [np.frombuffer(kept[field.name], field.dtype) for field in wanted]
    return np.stack(columns, axis=-1) if columns else None, position


def _steps(element: Element, kept: dict[str, bytearray]) -> list[_Step]:
    return [
        (kept.pop(prop.name, None), prop.dtype.itemsize, None)
        if prop.length is None
        else (None, prop.dtype.itemsize, scalar(prop.length))
        for prop in element.properties
    ]


def _after_entry(data: bytes, position: int, steps: list[_Step]) -> int:
    for kept, n_bytes, length in steps:
        if length is not None:
            entries = _checked_length(length.unpack_from(data, position)[0])
            position += length.size + entries * n_bytes
            continue
        if kept is not None:
            kept += data[position : position + n_bytes]
        position += n_bytes
    return position
