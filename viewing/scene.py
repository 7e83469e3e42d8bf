"""What there is to see of a scan: as it was measured, what was taken as the part, and the heat of its anomalies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion

from ..runtime.bundle.parameters import PartRange, Preprocessing
from ..runtime.bundle.reading import Bundle
from ..runtime.errors import CmdiadError, ScanError, UsageError, naming_scan
from ..runtime.inspection import Inspection
from ..runtime.inspector import Inspector
from ..runtime.patches.routes import modalities
from ..runtime.preparation.part_range import outside
from ..runtime.preparation.part_view import PartView
from ..runtime.preparation.prepared_part import kept_in_all, prepare_parts, require_parts
from ..runtime.sensor.missing import valid_mask
from ..runtime.sensor.origin import Vector
from ..runtime.sensor.part import POINTS, Part, read_part
from ..runtime.verdict.relief import shaded_surface

_PART = (60, 210, 120)
_TINT = 0.35

Points = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """One way to color the scan.

    Attributes:
        title: what it shows.
        picture: (H, W, 3) uint8, the color of each of the scan's pixels.
    """

    title: str
    picture: Picture


@dataclass(frozen=True, eq=False)
class Scene:
    """A scan and what became of it; it can be written as a cloud (`runtime.verdict.cloud.Inspected`).

    Attributes:
        points: (H, W, 3) float32, meters, relative to `origin`; zero where nothing was measured.
        origin: what was subtracted from the file's coordinates, meters.
        valid: (H, W) bool, the part; nowhere, where none was taken.
        map: (H, W) float32, the anomaly map; zero without a calibrated bundle.
        pixel_threshold: the map value above which a pixel is marked.
        panels: the scan, the part, and the heat, as far as there are such.
        view: what is seen of the part; None where none was taken.
        inspection: None without a calibrated bundle.
        remarks: why something is not shown, and what the line would refuse, a sentence each.
        error: why there is no part, or no verdict on it.
    """

    points: Points
    origin: Vector
    valid: Mask
    map: Points
    pixel_threshold: float
    panels: tuple[Panel, ...]
    view: PartView | None = None
    inspection: Inspection | None = None
    remarks: tuple[str, ...] = ()
    error: CmdiadError | None = None

    @property
    def measured(self) -> Mask:
        """(H, W) bool, where there is a point."""
        mask: Mask = valid_mask(self.points)
        return mask


def look_at_scan(scan: Path, preprocessing: Preprocessing) -> Scene:
    """A scan, and what these parameters take as the part.

    Raises:
        ScanError: the file cannot be read. A scan in which there is no part is shown all the same.
    """
    part = read_part(scan, POINTS, preprocessing)
    with naming_scan(scan):
        return _prepared(part, preprocessing, None, ())


def look_with_bundle(scan: Path, bundle: Bundle, provider: str = "cpu") -> Scene:
    """A scan as a bundle sees it: with its parameters and, where it is calibrated, its verdict.

    What is not such a part as calibration saw is inspected too, and the scene says so.

    Raises:
        ScanError: the file cannot be read.
        UsageError: the bundle inspects images, which have no points.
        EngineError: the provider is not available.
    """
    manifest = bundle.manifest
    if "pc" not in modalities(manifest):
        raise UsageError(f"{bundle.path}: inspects images, which have no points: look at the heat maps of infer")
    part = read_part(scan, modalities(manifest), manifest.preprocessing)
    if manifest.calibration is None:
        remark = "the bundle is not calibrated, so there is no verdict and no heat"
        with naming_scan(scan):
            return _prepared(part, manifest.preprocessing, None, (remark,))
    with Inspector(bundle, provider, allow_any_size=True) as inspector, naming_scan(scan):
        try:
            inspection = inspector.inspect(part)
        except CmdiadError as error:
            return _without_verdict(part, manifest.preprocessing, manifest.part_range, error)
    return _inspected(part, inspection, manifest.part_range)


def _prepared(part: Part, preprocessing: Preprocessing, expected: PartRange | None, remarks: tuple[str, ...]) -> Scene:
    assert part.points is not None
    try:
        parts = require_parts(prepare_parts(Part(part.points, None, part.origin), POINTS, preprocessing, expected))
    except ScanError as error:
        return _scene(part, np.zeros(part.points.shape[:2], np.bool_), None, remarks, error)
    return _scene(part, kept_in_all(parts), parts[0].view, (*remarks, *_several(len(parts))), None)


def _without_verdict(part: Part, preprocessing: Preprocessing, expected: PartRange | None, error: CmdiadError) -> Scene:
    """What can be shown where the inspection failed, with its error."""
    seen = _prepared(part, preprocessing, expected, ())
    return _scene(part, seen.valid, seen.view, (), error)


def _scene(part: Part, kept: Mask, view: PartView | None, remarks: tuple[str, ...], error: CmdiadError | None) -> Scene:
    assert part.points is not None
    panels = _plain_panels(part.points, kept)
    nothing = np.zeros(kept.shape, np.float32)
    return Scene(part.points, part.origin, kept, nothing, 1.0, panels, view, None, remarks, error)


def _inspected(part: Part, inspection: Inspection, expected: PartRange | None) -> Scene:
    assert part.points is not None
    parts = inspection.parts or (inspection,)
    reasons = [] if expected is None else [reason for one in parts for reason in outside(one.view, expected)]
    remarks = (*_several(len(parts)), *(f"the line would refuse it: {reason}" for reason in dict.fromkeys(reasons)))
    verdict = "defect" if inspection.is_defect else "good"
    title = f"{verdict}: score {inspection.score:.4g} of {inspection.threshold:.4g}"
    return Scene(
        points=part.points,
        origin=part.origin,
        valid=inspection.valid,
        map=inspection.map,
        pixel_threshold=inspection.pixel_threshold,
        panels=(*_plain_panels(part.points, inspection.valid), Panel(title, inspection.heatmap())),
        view=inspection.view,
        inspection=inspection,
        remarks=remarks,
    )


def _several(n_parts: int) -> tuple[str, ...]:
    """What is to be known of a scan of several parts."""
    return (
        () if n_parts == 1 else (f"{n_parts} parts are shown; what is said of one is said of the worst, or the first",)
    )


def _plain_panels(points: Points, kept: Mask) -> tuple[Panel, ...]:
    """The scan in gray and, where there is a part, the same with it in green."""
    scan = Panel("scan", _gray(shaded_surface(points, np.ones_like(kept))))
    if not kept.any():
        return (scan,)
    colors = _gray(shaded_surface(points, kept))
    tint = np.array(_PART, np.float32)
    colors[kept] = np.rint((1 - _TINT) * colors[kept] + _TINT * tint).astype(np.uint8)
    # A hole in the measurement is no edge of the part.
    inner = binary_erosion(kept | ~valid_mask(points), iterations=max(1, max(kept.shape) // 200))
    colors[kept & ~inner] = _PART
    return scan, Panel("taken as the part", colors)


def _gray(shading: Points) -> Picture:
    return np.repeat(np.rint(shading).astype(np.uint8)[..., None], 3, axis=-1)
