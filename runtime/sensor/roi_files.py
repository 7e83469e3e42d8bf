"""What a user gives as the region of interest, a rectangle or the file of a mask, becomes the values of its table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..bundle.region_of_interest import RegionOfInterest
from ..errors import ScanError, UsageError
from .image import read_mask

_NAMES = ("row", "column", "height", "width")
_NUMBERS = re.compile(r"[\s\d,()\[\]+-]+")


def roi_values(given: Any, folder: Path = Path()) -> Any:
    """The values of `preprocessing.roi`; what is of another type is left for the check of types.

    Args:
        given: `ROW,COLUMN,HEIGHT,WIDTH` as text or as a list; the path of a mask, a PNG, TIFF or BMP image of the
            scans' size, in which any value but 0 is looked at; or a table, which stays as it is.
        folder: what a relative path begins at.

    Raises:
        UsageError: there are not four numbers, or the mask cannot be read or marks nothing.

    Example:
        >>> roi_values("10,20,100,200")
        {'row': 10, 'column': 20, 'height': 100, 'width': 200}
    """
    if isinstance(given, str) and not _NUMBERS.fullmatch(given):
        return _values_of_mask(folder / given)
    numbers = given.strip("[]() ").split(",") if isinstance(given, str) else given
    if not isinstance(numbers, Sequence):
        return given
    try:
        values = [int(number) for number in numbers]
    except (TypeError, ValueError):
        values = []
    if len(values) != len(_NAMES):
        raise UsageError(
            f"roi {given}: give ROW,COLUMN,HEIGHT,WIDTH in pixels, such as 40,60,200,300, or the file of a mask image"
        )
    return dict(zip(_NAMES, values, strict=True))


def _values_of_mask(path: Path) -> Any:
    try:
        return msgspec.to_builtins(RegionOfInterest.of_mask(read_mask(path)))
    except ScanError as error:
        raise UsageError(f"roi: {error}") from error
    except ValueError as error:
        raise UsageError(f"roi: {path}: {error}") from error
