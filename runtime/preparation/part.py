"""A part brought to the networks' resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import ScanError
from ..manifest import Manifest
from ..preprocessing import Frame, PreparedScan, prepare, prepare_image, prepare_rgb
from ..sensor.part import Part, modalities

if TYPE_CHECKING:
    from ..features import GroupedPoints


@dataclass(frozen=True)
class PreparedPart:
    """A part brought to the networks' resolution.

    Attributes:
        scan: the prepared points; None for an image alone.
        image: (side, side, 3) uint8, background zeroed; None without a camera.
        valid: (224, 224) bool, pixels that belong to the part.
        kept: (H, W) bool, the same in the input's own pixels.
        frame: how the two are related.
        grouped: the measured points' groups; None until `FeaturePath.group`, or without points.
    """

    scan: PreparedScan | None
    image: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    frame: Frame
    grouped: GroupedPoints | None = None


def prepare_part(part: Part, manifest: Manifest) -> PreparedPart:
    """Preprocess whatever the route uses of a part.

    Raises:
        ScanError: the sensor's data that the route needs is not there, or nothing of the part is left.
    """
    needed = modalities(manifest)
    if "pc" in needed and part.points is None:
        raise ScanError("this bundle inspects 3D scans: give a scan, not an image")
    if "rgb" in needed and part.rgb is None:
        raise ScanError("this bundle inspects images: give the registered RGB image too")
    if part.points is None:
        assert part.rgb is not None
        image, valid, kept, frame = prepare_image(part.rgb, manifest.preprocessing)
        return PreparedPart(None, image, valid, kept, frame)
    if part.rgb is not None and part.rgb.shape != part.points.shape:
        raise ScanError(
            f"the image has {part.rgb.shape[:2]} pixels, the scan {part.points.shape[:2]}: they must be registered"
        )
    scan = prepare(part.points, manifest.preprocessing)
    rgb = prepare_rgb(part.rgb, scan.kept, scan.frame) if part.rgb is not None and "rgb" in needed else None
    return PreparedPart(scan, rgb, scan.valid, scan.kept, scan.frame)
