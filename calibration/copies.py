"""Parts that were measured once but are given twice: the same file, or the same points in another file or format."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from ..runtime.errors import UsageError
from ..runtime.preparation.prepare import PreparedScan
from ..runtime.preparation.prepared_part import PreparedPart
from ..runtime.sensor.file_copies import REMOVE_COPIES
from ..runtime.sensor.in_memory import PartSource

# Two scans of a part at rest differ by their sensor's noise somewhere among so many points.
N_COMPARED = 256
# Meters: more than text with six digits after the point rounds off, less than any sensor's noise.
SAME_POINT = 2e-6

Name = PartSource | str


class KnownParts:
    """The prepared parts so far, by what was measured of them.

    Files of one scan in two formats, with and without colors, or with another comment have different digests and the
    same points.
    """

    def __init__(self) -> None:
        self._by_count: dict[int, list[tuple[npt.NDArray[np.float32], Name]]] = defaultdict(list)
        self._by_pixels: dict[bytes, Name] = {}

    def like(self, part: PreparedPart) -> Name | None:
        """The part that this one is the same measurement of; None if there is none."""
        if part.scan is None:
            return self._by_pixels.get(_pixels(part))
        points = _compared(part.scan)
        for others, name in self._by_count[int(part.scan.valid.sum())]:
            if np.abs(others - points).max() <= SAME_POINT:
                return name
        return None

    def add(self, part: PreparedPart, name: Name) -> None:
        """A part that is known from now on."""
        if part.scan is None:
            self._by_pixels[_pixels(part)] = name
        else:
            self._by_count[int(part.scan.valid.sum())].append((_compared(part.scan), name))

    def require_new(self, part: PreparedPart, name: Name) -> None:
        """Add a part that must not have been there: its copy's patches would be in the banks that score it.

        Raises:
            UsageError: it was.
        """
        if (known := self.like(part)) is not None:
            raise UsageError(
                f"{name} holds the same measurement as {known}, in another file: each part counts once: {REMOVE_COPIES}"
            )
        self.add(part, name)


def _compared(scan: PreparedScan) -> npt.NDArray[np.float32]:
    points = scan.points[scan.valid]
    return points[np.linspace(0, len(points) - 1, N_COMPARED).astype(np.intp)]


def _pixels(part: PreparedPart) -> bytes:
    assert part.image is not None
    return hashlib.sha256(part.image.tobytes()).digest()
