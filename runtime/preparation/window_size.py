"""How large the part's window is, fixed for a product from its normal scans."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

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


def decide_window(
    preprocessing: Preprocessing,
    scans: Sequence[PartSource],
    measured: AbstractSet[Modality],
    expected: PartRange | None = None,
    progress: StepProgress = lambda *_: None,
) -> Preprocessing:
    """Fix the size of the part's window from normal scans of one product, where it is asked for and not fixed yet.

    At most as large as a whole scan's square: a larger one would show parts that fill their scans smaller than that.

    Args:
        preprocessing: with raw or preprocessed decided.
        scans: all of them, at least one; each is read and prepared.
        measured: what the route measures.
        expected: what calibration saw, where it was before.
        progress: called with (done, all).

    Raises:
        ScanError: a scan cannot be read or prepared.
        UsageError: a part spans more pixels than a window may have.
    """
    if preprocessing.window == "scan" or preprocessing.window_pixels is not None or not scans:
        return preprocessing
    whole = msgspec.structs.replace(preprocessing, window="scan")
    largest = most = 0
    for number, scan in enumerate(scans, 1):
        with naming_scan(scan):
            parts = require_parts(prepare_parts(read_source(scan, measured, whole), measured, whole, expected))
        largest = max(largest, *(extent_of(bounds(prepared.kept)) for prepared in parts))
        most = max(most, parts[0].frame.side)
        progress(number, len(scans))
    side = min(most, max(SIZE, math.ceil(_ROOM * largest)))
    if side > GREATEST_WINDOW:
        raise UsageError(f"parts span {largest} pixels, more than a window may have: use --window scan")
    return msgspec.structs.replace(preprocessing, window_pixels=side)
