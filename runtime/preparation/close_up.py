"""The part's own window: a square around the part, of one size for all scans of a product, in place of the whole scan.

A part that fills a tenth of the field of view then has more than a tenth of the 224 x 224 pixels that the networks see.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Preprocessing
from ..errors import ScanError, UsageError
from .frame import SIZE, Frame
from .part_choice import bounds
from .part_view import PartView

_Mask = npt.NDArray[np.bool_]


def frame_of(body_hw: _Mask, preprocessing: Preprocessing) -> Frame:
    """The frame of a scan, by where its part is: (H, W) bool, not empty.

    Raises:
        ScanError: the part does not fit into the window.
        UsageError: nobody has decided how large the window is.
    """
    height, width = body_hw.shape
    if preprocessing.window != "part":
        return Frame.of(height, width, preprocessing.pad_multiple, SIZE)
    side = preprocessing.window_pixels
    if side is None:
        raise UsageError(
            "the part's window has no size yet, which calibration fixes for each product: calibrate this bundle with "
            "`cmdiad calibrate`, or set preprocessing.window_pixels"
        )
    box = bounds(body_hw)
    extent = extent_of(box)
    if extent > side:
        raise ScanError(
            f"the part spans {extent} pixels, and the window that calibration fixed has {side}: check the view and the "
            "product, or calibrate again with such parts among the scans"
        )
    return Frame.around(height, width, box, side, SIZE)


def within_frame(kept_hw: _Mask, frame: Frame) -> _Mask:
    """Of the pixels that are part (H, W) those that the frame shows."""
    rows, columns = frame.inside
    if (rows, columns) == (slice(0, frame.height), slice(0, frame.width)):
        return kept_hw
    shown = np.zeros_like(kept_hw)
    shown[frame.inside] = kept_hw[frame.inside]
    return shown


def view_within(view: PartView, kept_hw: _Mask, shown_hw: _Mask) -> PartView:
    """A view with what the window leaves out counted: strays of a scan without a plane may lie anywhere."""
    n_kept, n_shown = int(np.count_nonzero(kept_hw)), int(np.count_nonzero(shown_hw))
    if n_kept == n_shown:
        return view
    return replace(view, part_pixels=n_shown, inspected_share=view.inspected_share * n_shown / n_kept)


def extent_of(box: tuple[slice, slice]) -> int:
    """The longer side of a box of rows and columns, pixels."""
    return max(side.stop - side.start for side in box)
