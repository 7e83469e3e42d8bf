"""How large the part's window is, fixed for a product from its normal scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from ..bundle.parameters import GREATEST_WINDOW, Modality, PartRange, Preprocessing
from ..errors import UsageError, naming_scan
from ..progress import StepProgress
from ..sensor.in_memory import PartSource, read_source
from .close_up import extent_of
from .frame import SIZE
from .part_choice import bounds
from .prepared_part import prepare_parts, require_parts

# Of the largest extent that calibration saw: parts differ, and are not always seen from the same place.
_ROOM = 1.1


# Of a whole scan's square: parts whose window is at most this large gain by it.
_SMALL = 0.75


@dataclass(frozen=True)
class ExtentInView:
    """How large a product's parts are in its scans, pixels.

    Attributes:
        longest: the longest side that any part spans.
        least_square, largest_square: of the whole scans' padded squares.
    """

    longest: int
    least_square: int
    largest_square: int

    @property
    def window_pixels(self) -> int:
        """The side of a window that holds every part with room.

        At most a whole scan's square: a larger one would show parts that fill their scans smaller than that.

        Raises:
            UsageError: it is larger than a window may be.
        """
        side = min(self.largest_square, max(SIZE, math.ceil(_ROOM * self.longest)))
        if side > GREATEST_WINDOW:
            raise UsageError(f"parts span {self.longest} pixels, more than a window may have: use --window scan")
        return side

    @property
    def is_small(self) -> bool:
        """Whether parts fill so little of the field of view that a window shows clearly more of them."""
        return self.window_pixels <= _SMALL * self.least_square


def measure_extent(
    preprocessing: Preprocessing,
    scans: Sequence[PartSource],
    measured: AbstractSet[Modality],
    expected: PartRange | None = None,
    progress: StepProgress = lambda *_: None,
) -> ExtentInView:
    """How large the parts of normal scans of one product are in view.

    Args:
        preprocessing: with raw or preprocessed decided.
        scans: all of them, at least one; each is read and prepared.
        measured: what the route measures.
        expected: what calibration saw, where it was before.
        progress: called with (done, all).

    Raises:
        ScanError: a scan cannot be read or prepared.
    """
    whole = msgspec.structs.replace(preprocessing, window="scan", window_pixels=None)
    longest, squares = 0, []
    for number, scan in enumerate(scans, 1):
        with naming_scan(scan):
            parts = require_parts(prepare_parts(read_source(scan, measured, whole), measured, whole, expected))
        longest = max(longest, *(extent_of(bounds(prepared.kept)) for prepared in parts))
        squares.append(parts[0].frame.side)
        progress(number, len(scans))
    return ExtentInView(longest, min(squares), max(squares))


def decide_window(
    preprocessing: Preprocessing,
    scans: Sequence[PartSource],
    measured: AbstractSet[Modality],
    expected: PartRange | None = None,
    progress: StepProgress = lambda *_: None,
) -> Preprocessing:
    """Fix the size of the part's window from normal scans of one product, where it is asked for and not fixed yet.

    Arguments and errors as `measure_extent`.

    Raises:
        UsageError: a part spans more pixels than a window may have.
    """
    if preprocessing.window != "part" or preprocessing.window_pixels is not None or not scans:
        return preprocessing
    extent = measure_extent(preprocessing, scans, measured, expected, progress)
    return msgspec.structs.replace(preprocessing, window_pixels=extent.window_pixels)
