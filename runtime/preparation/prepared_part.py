"""A part brought to the networks' resolution."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Modality, PartRange, Preprocessing
from ..errors import ScanError, naming_scan
from ..sensor.in_memory import PartSource, read_source
from ..sensor.part import Part
from .frame import Frame, prepare_rgb
from .image_view import view_image
from .part_view import PartView
from .prepare import PreparedScan, prepare, prepare_all
from .prepare_images import PreparedImage, prepare_image, prepare_images


@dataclass(frozen=True)
class PreparedPart:
    """A part brought to the networks' resolution.

    Attributes:
        scan: the prepared points; None for an image alone.
        image: (side, side, 3) uint8, background zeroed; None without a camera.
        valid: (224, 224) bool, pixels that belong to the part.
        kept: (H, W) bool, the same in the input's own pixels.
        frame: how the two are related.
        image_view: what an image without a scan shows of the part, where it is not all that is kept.
    """

    scan: PreparedScan | None
    image: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    frame: Frame
    image_view: PartView | None = field(default=None, kw_only=True)

    @property
    def view(self) -> PartView:
        """What the sensor shows of the part."""
        view = self.image_view if self.scan is None else self.scan.view
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
    _require_measured(part, measured)
    if part.points is None:
        assert part.rgb is not None
        return _of_image(prepare_image(part.rgb, preprocessing))
    return _of_scan(prepare(part.points, preprocessing, expected, part.origin), part, measured)


def prepare_parts(
    part: Part,
    measured: AbstractSet[Modality],
    preprocessing: Preprocessing,
    expected: PartRange | None = None,
) -> list[PreparedPart | ScanError]:
    """The parts of a scan: one, or with `parts` "all" every thing that resembles the product, in reading order.

    Args:
        part, measured, preprocessing, expected: as `prepare_part` takes them.

    Returns:
        At least one; an error for a part that cannot be prepared while others can.

    Raises:
        ScanError: as `prepare_part` does; also if too many things are in view, or none has the product's size.
    """
    if preprocessing.parts == "largest":
        return [prepare_part(part, measured, preprocessing, expected)]
    _require_measured(part, measured)
    if part.points is None:
        assert part.rgb is not None
        images = prepare_images(part.rgb, preprocessing, expected)
        return [one if isinstance(one, ScanError) else _of_image(one, view) for one, view in images]
    scans = prepare_all(part.points, preprocessing, expected, part.origin)
    return [one if isinstance(one, ScanError) else _of_scan(one, part, measured) for one in scans]


def require_parts(prepared: Sequence[PreparedPart | ScanError]) -> list[PreparedPart]:
    """All parts of a scan, for those that cannot go on without one of them.

    Raises:
        ScanError: one could not be prepared.
    """
    parts: list[PreparedPart] = []
    for number, one in enumerate(prepared, 1):
        if isinstance(one, ScanError):
            raise ScanError(f"part {number} of {len(prepared)}: {one}") from one
        parts.append(one)
    return parts


def kept_in_all(parts: Sequence[PreparedPart]) -> npt.NDArray[np.bool_]:
    """The pixels that belong to any of a scan's parts, (H, W) bool."""
    kept: npt.NDArray[np.bool_] = np.logical_or.reduce([part.kept for part in parts])
    return kept


def _require_measured(part: Part, measured: AbstractSet[Modality]) -> None:
    if "pc" in measured and part.points is None:
        raise ScanError("this bundle inspects 3D scans: give a scan, not an image")
    if "rgb" in measured and part.rgb is None:
        raise ScanError("this bundle inspects images: give the registered RGB image too")


def _of_image(prepared: PreparedImage, view: PartView | None = None) -> PreparedPart:
    return PreparedPart(None, prepared.image, prepared.valid, prepared.kept, prepared.frame, image_view=view)


def _of_scan(scan: PreparedScan, part: Part, measured: AbstractSet[Modality]) -> PreparedPart:
    rgb = prepare_rgb(part.rgb, scan.kept, scan.frame) if part.rgb is not None and "rgb" in measured else None
    return PreparedPart(scan, rgb, scan.valid, scan.kept, scan.frame)


def prepare_file(
    source: PartSource, measured: AbstractSet[Modality], preprocessing: Preprocessing, expected: PartRange | None = None
) -> PreparedPart:
    """Read and preprocess a part, the first if there are several; takes what `read_source` and `prepare_parts` take.

    Raises:
        ScanError: a file cannot be read, or nothing of the part is left. The message names the file.
    """
    with naming_scan(source):
        part = read_source(source, measured, preprocessing)
        return require_parts(prepare_parts(part, measured, preprocessing, expected))[0]
