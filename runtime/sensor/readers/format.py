"""What a reader module says about itself, and what it makes of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...bundle.scan_geometry import Intrinsics, ScanGeometry

Content = Literal["clouds", "pixels", "points"]


@dataclass(frozen=True)
class Stored:
    """What a file holds, as it was stored: unit, byte order and marks of missing points untouched.

    Attributes:
        numbers: integers or floats; (H, W, 3): an organized cloud; (N, 3): points that say nothing of pixels; (H, W):
            one number a pixel, a depth or a height.
        rgb: (H, W, 3) uint8, the registered image; None where the file has none.
        intrinsics: the camera's, if the file says that its numbers are depths.
    """

    numbers: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8] | None = None
    intrinsics: Intrinsics | None = None

    @property
    def is_unorganized(self) -> bool:
        """Whether it is (N, 3) points that say nothing of pixels."""
        return self.numbers.ndim == 2 and self.numbers.shape[1] == 3

    @property
    def is_pixels(self) -> bool:
        """Whether it is one number a pixel, (H, W)."""
        return self.numbers.ndim == 2 and self.numbers.shape[1] != 3


@dataclass(frozen=True)
class Format:
    """A file format of scans. A module of this folder that has some names them in `FORMATS`.

    Attributes:
        name: in messages.
        suffixes: of its files' names, in lower case and with the dot.
        recognizes: whether a file's bytes are of it and of no other format; do not rely on the order of asking.
        read: these bytes to what they hold; the geometry says which of several clouds is meant. Raises `ScanError`
            about the content alone. `plain` makes it of a function that needs no geometry.
        holds: "clouds" that may be organized, "pixels" of one number, or "points" that are never organized.
        doubtful: those of the suffixes whose files are often something else, a photo or a table of results: folders
            are searched for them last.
    """

    name: str
    suffixes: tuple[str, ...]
    recognizes: Callable[[bytes], bool]
    read: Callable[[bytes, ScanGeometry], Stored]
    holds: Content = "clouds"
    doubtful: tuple[str, ...] = ()


def plain(read: Callable[[bytes], npt.NDArray[Any]]) -> Callable[[bytes, ScanGeometry], Stored]:
    """What reads a format of one array: bytes to `Stored.numbers`."""
    return lambda data, _: Stored(read(data))
