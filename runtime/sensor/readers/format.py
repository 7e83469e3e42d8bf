"""What a reader module says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt


@dataclass(frozen=True)
class Format:
    """A file format of scans. A module of this folder that has some names them in `FORMATS`.

    Attributes:
        name: in messages.
        suffixes: of its files' names, in lower case and with the dot.
        recognizes: whether a file's bytes are of it and of no other format; do not rely on the order of asking.
        read: these bytes to (H, W, 3) integers or floats, as stored; raises `ScanError` about the content alone.
    """

    name: str
    suffixes: tuple[str, ...]
    recognizes: Callable[[bytes], bool]
    read: Callable[[bytes], npt.NDArray[Any]]
