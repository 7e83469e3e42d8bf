"""The directories of a TIFF, looked at before a reader takes their entries.

`tifffile` takes as long as the square of the entries of one directory that have the same tag: 4,000 of them a second,
and a file may lead it to the same directory again and again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from ...errors import ScanError

# Cameras and microscopes write less than a hundred.
MOST_ENTRIES = 256
_SUB_DIRECTORIES = 330
# LONG, IFD, LONG8, IFD8: the types of an offset.
_WIDTHS = {4: "I", 13: "I", 16: "Q", 18: "Q"}


class _Forms(NamedTuple):
    """How offsets and counts are written, how long an entry is, and where the first offset stands."""

    offset: str
    number: str
    entry_bytes: int
    start: int


def check_directories(data: bytes, most: int) -> None:
    """Refuse directories of more entries than any writer makes.

    Args:
        data: the file, whose magic is TIFF's.
        most: directories of the chain, and sub-directories of each, that are looked at.

    Raises:
        ScanError: one has more than MOST_ENTRIES.
    """
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    offset, count = (f"{order}Q", f"{order}Q") if is_big else (f"{order}I", f"{order}H")
    forms = _Forms(offset, count, 20 if is_big else 12, 8 if is_big else 4)
    # What leads nowhere is the reader's to refuse, where it comes there.
    with suppress(struct.error, IndexError, OverflowError):
        for place in islice(_chain(data, forms), most):
            for sub_place in islice(_sub_directories(data, place, forms), most):
                with suppress(struct.error, IndexError, OverflowError):
                    _entries(data, sub_place, forms)


def _chain(data: bytes, forms: _Forms) -> Iterator[int]:
    (place,) = struct.unpack_from(forms.offset, data, forms.start)
    while place:
        yield place
        after = place + struct.calcsize(forms.number) + _entries(data, place, forms) * forms.entry_bytes
        (place,) = struct.unpack_from(forms.offset, data, after)


def _sub_directories(data: bytes, place: int, forms: _Forms) -> Iterator[int]:
    first = place + struct.calcsize(forms.number)
    for at in range(first, first + _entries(data, place, forms) * forms.entry_bytes, forms.entry_bytes):
        tag, kind = struct.unpack_from(f"{forms.offset[0]}2H", data, at)
        if tag != _SUB_DIRECTORIES or kind not in _WIDTHS:
            continue
        (count,) = struct.unpack_from(forms.offset, data, at + 4)
        form = forms.offset[0] + _WIDTHS[kind]
        value_at = at + 4 + struct.calcsize(forms.offset)
        if count * struct.calcsize(form) > struct.calcsize(forms.offset):
            (value_at,) = struct.unpack_from(forms.offset, data, value_at)
        for number in range(count):
            yield struct.unpack_from(form, data, value_at + number * struct.calcsize(form))[0]


def _entries(data: bytes, place: int, forms: _Forms) -> int:
    entries: int = struct.unpack_from(forms.number, data, place)[0]
    if entries > MOST_ENTRIES:
        raise ScanError(
            f"is a TIFF with a directory of {entries} entries, at most {MOST_ENTRIES} are read: save it again"
        )
    return entries
