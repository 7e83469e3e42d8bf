"""What one raw scan says of its sensor: pixel pitch, missing points, noise, and the table that parts stand on.

The table is looked for with thresholds of a few pixel pitches, of which the smallest serves that finds nearly as much
of it as any other. Its points' distances from the plane are the noise; nothing but noise lies behind a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from ...runtime.bundle.parameters import Preprocessing
from ...runtime.errors import ScanError
from ...runtime.preparation.plane import Plane
from ...runtime.preparation.prepare import evidence_of
from ...runtime.preparation.supporting import PlaneEvidence
from ...runtime.sensor.missing import valid_mask
from ...runtime.sensor.origin import NEAR, Vector

# Neighbors so far apart tell the pitch where noise is as large as a pixel.
_MOST_STEPS = 16
# Thresholds of the plane, pixel pitches, and how much of the largest plane a smaller threshold must find.
_THRESHOLDS = (1, 2, 4, 8, 16)
_NEARLY_ALL = 0.97
# A normal distribution's standard deviation over its median absolute value.
_SIGMA_OF_MEDIAN = 1.4826
# How far behind the plane points still are the table's noise, pixel pitches, and their quantile that counts.
_BEHIND_PITCHES, _BEHIND_QUANTILE = 20, 0.99

_Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TableMeasure:
    """The plane that parts stand on, lengths in meters.

    Attributes:
        plane: its normal towards where parts stand.
        noise_m: the standard deviation of its points' distances, told by their median.
        behind_m: 99 % of the points just behind it are no farther: noise and an uneven table.
        share: of the measured points that lie on it.
        tilt_deg: the angle of its normal and the z axis.
        distance_m: from the origin of the coordinates.
    """

    plane: Plane
    noise_m: float
    behind_m: float
    share: float
    tilt_deg: float
    distance_m: float


@dataclass(frozen=True)
class SensorMeasure:
    """What one scan says of its sensor.

    Attributes:
        height, width: pixels.
        pitch_m: the distance of neighboring pixels, meters, the larger of across and down.
        missing_share: pixels where nothing was measured.
        border_share: how much of the image's border was measured.
        table: None where the scan shows no plane that parts stand on.
    """

    height: int
    width: int
    pitch_m: float
    missing_share: float
    border_share: float
    table: TableMeasure | None


def measure_scan(points_hw3: _Points, preprocessing: Preprocessing, origin: Vector = NEAR) -> SensorMeasure:
    """Measure one scan.

    Args:
        points_hw3: (H, W, 3) float32, meters, missing points zero.
        preprocessing: everything but its lengths, which are measured.
        origin: what was subtracted from the file's coordinates, meters.

    Raises:
        ScanError: nothing was measured, one thing again and again, or no two neighboring pixels.
    """
    evidence = evidence_of(points_hw3, preprocessing, origin)
    pitch = pixel_pitch(points_hw3)
    if not pitch:
        raise ScanError("has no two neighboring pixels that were measured, so its pixel pitch is unknown")
    table = _best_evidence(points_hw3, pitch, preprocessing, origin)
    valid = valid_mask(points_hw3)
    return SensorMeasure(
        height=points_hw3.shape[0],
        width=points_hw3.shape[1],
        pitch_m=pitch,
        missing_share=1 - float(valid.mean()),
        border_share=evidence.border_share,
        table=None if table is None else _measured_table(points_hw3[valid], pitch, *table, origin),
    )


def pixel_pitch(points_hw3: _Points) -> float:
    """The distance of neighboring pixels, meters, the larger of across and down: their median over several pixels.

    Example:
        >>> grid = np.dstack([*np.meshgrid(np.arange(8) * 0.5, np.arange(8) * 0.25), np.ones((8, 8))])
        >>> pixel_pitch(grid.astype(np.float32))
        0.5
    """
    valid = valid_mask(points_hw3)
    return max(_pitch_along(np.moveaxis(points_hw3, axis, 0), np.moveaxis(valid, axis, 0)) for axis in (0, 1))


def _pitch_along(points: _Points, valid: npt.NDArray[np.bool_]) -> float:
    for steps in (_MOST_STEPS, 4, 1):
        both = valid[steps:] & valid[:-steps]
        if steps < len(points) and both.any():
            apart = points[steps:][both].astype(np.float64) - points[:-steps][both]
            return float(np.median(np.linalg.norm(apart, axis=1))) / steps
    return 0.0


def _best_evidence(
    points_hw3: _Points, pitch_m: float, preprocessing: Preprocessing, origin: Vector
) -> tuple[PlaneEvidence, float] | None:
    """What the smallest threshold says that finds nearly all of the table, and that threshold; None without a table."""
    candidates = []
    for factor in _THRESHOLDS:
        reach = factor * pitch_m
        lengths = {"ransac_threshold_m": reach, "plane_distance_m": reach, "refine_on": "scan"}
        evidence = evidence_of(points_hw3, msgspec.structs.replace(preprocessing, **lengths), origin)
        if evidence.verdict(preprocessing.border_valid_share) == "raw":
            candidates.append((evidence, reach))
    most = max((evidence.plane_share for evidence, _ in candidates), default=0.0)
    return next((item for item in candidates if item[0].plane_share >= _NEARLY_ALL * most), None)


def _measured_table(
    points_n3: _Points, pitch_m: float, evidence: PlaneEvidence, reach_m: float, origin: Vector
) -> TableMeasure:
    plane = evidence.plane
    assert plane is not None
    heights = plane.distances(points_n3.astype(np.float64))
    near = np.abs(heights[np.abs(heights) <= reach_m])
    behind = -heights[(heights < 0) & (heights > -_BEHIND_PITCHES * pitch_m)]
    return TableMeasure(
        plane=plane,
        noise_m=_SIGMA_OF_MEDIAN * float(np.median(near)),
        behind_m=float(np.quantile(behind, _BEHIND_QUANTILE)) if len(behind) else 0.0,
        share=len(near) / len(heights),
        tilt_deg=math.degrees(math.acos(min(1.0, abs(float(plane.normal[2]))))),
        distance_m=abs(plane.offset - float(plane.normal @ np.array(origin))),
    )
