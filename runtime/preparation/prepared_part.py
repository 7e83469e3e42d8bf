"""A part brought to the networks' resolution."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Modality, PartRange, Preprocessing
from ..errors import ScanError, naming_scan
from ..sensor.in_memory import PartSource, read_source
from ..sensor.part import Part
from .frame import Frame, prepare_rgb
from .image_view import view_image
from .part_view import PartView
from .prepare import PreparedScan, prepare, prepare_image


@dataclass(frozen=True)
class PreparedPart:
    """A part brought to the networks' resolution.

    Attributes:
        scan: the prepared points; None for an image alone.
        image: (side, side, 3) uint8, background zeroed; None without a camera.
        valid: (224, 224) bool, pixels that belong to the part.
        kept: (H, W) bool, the same in the input's own pixels.
        frame: how the two are related.
    """

    scan: PreparedScan | None
    image: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    frame: Frame

    @property
    def view(self) -> PartView:
        """What the sensor shows of the part."""
        view = None if self.scan is None else self.scan.view
        return view_image(self.kept) if view is None else view


def prepare_part(
    part: Part,
    measured: AbstractSet[Modality],
    preprocessing: Preprocessing,
    expected: PartRange | None = None,
) -> PreparedPart:
    """Preprocess whatever the route measures of a part.

    Args:
        part: as read.
        measured: what the route measures.
        preprocessing: the sensor's parameters.
        expected: what calibration saw; of several things in view, the one most like that is the part.

    Raises:
        ScanError: the sensor's data that the route needs is not there, or nothing of the part is left.
    """
    if "pc" in measured and part.points is None:
        raise ScanError("this bundle inspects 3D scans: give a scan, not an image")
    if "rgb" in measured and part.rgb is None:
        raise ScanError("this bundle inspects images: give the registered RGB image too")
    if part.points is None:
        assert part.rgb is not None
        image, valid, kept, frame = prepare_image(part.rgb, preprocessing)
        return PreparedPart(None, image, valid, kept, frame)
    scan = prepare(part.points, preprocessing, expected, part.origin)
    rgb = prepare_rgb(part.rgb, scan.kept, scan.frame) if part.rgb is not None and "rgb" in measured else None
    return PreparedPart(scan, rgb, scan.valid, scan.kept, scan.frame)


def prepare_file(
    source: PartSource, measured: AbstractSet[Modality], preprocessing: Preprocessing, expected: PartRange | None = None
) -> PreparedPart:
    """Read and preprocess a part; arguments as of `read_source` and `prepare_part`.

    Raises:
        ScanError: a file cannot be read, or nothing of the part is left. The message names the file.
    """
    with naming_scan(source):
        return prepare_part(read_source(source, measured, preprocessing), measured, preprocessing, expected)
