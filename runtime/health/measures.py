"""What is measured of one inspection to tell the health of sensor, table and parts; the units are in the names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..bundle.health_baseline import SCORE, Direction3, HealthBaseline, MeasureBaseline
from ..preparation.part_view import PartView
from ..sensor.origin import NEAR, Vector

REJECT_SHARE = "reject_share"
_FACES_ALONG_X = 0.7

Measures = dict[str, float | None]
"""Values by measure; None where one cannot be measured, as a plane's where none was removed."""


@dataclass(frozen=True)
class MeasureKind:
    """What people need to know of a measure.

    Attributes:
        unit: of its values; empty for shares and scores.
        rises, falls: what to look at when it does, the end of a sentence.
    """

    unit: str
    rises: str
    falls: str


_TABLE = "the table or the sensor moved: check their mounting, then calibrate again"
_PLACE = "parts are in a different place: check the fixture, the trigger and the sensor's mounting"
_SIZE = "parts or the sensor's scale changed: measure a part, check the product and the sensor's calibration"
_SURFACE = "check the height of table and fixture, and the sensor's mounting"

KINDS: Mapping[str, MeasureKind] = {
    "missing_share": MeasureKind(
        "",
        "clean the sensor's window, check its exposure and whether parts have become shinier",
        "exposure or surface changed: check the sensor's settings",
    ),
    "plane_rms_m": MeasureKind(
        "m",
        "the plane is noisier or dirtier: clean the table and the sensor's window, let the sensor warm up",
        "the sensor smooths more than at calibration: check its filter settings",
    ),
    "plane_tilt_x_deg": MeasureKind("deg", _TABLE, _TABLE),
    "plane_tilt_y_deg": MeasureKind("deg", _TABLE, _TABLE),
    "plane_distance_m": MeasureKind("m", _TABLE, _TABLE),
    "depth_near_m": MeasureKind("m", _SURFACE, _SURFACE),
    "depth_far_m": MeasureKind("m", _SURFACE, _SURFACE),
    "part_diameter_m": MeasureKind("m", _SIZE, _SIZE),
    "part_area_m2": MeasureKind("m2", _SIZE, _SIZE),
    "part_x_m": MeasureKind("m", _PLACE, _PLACE),
    "part_y_m": MeasureKind("m", _PLACE, _PLACE),
    "part_z_m": MeasureKind("m", _SURFACE, _SURFACE),
    "part_diameter_px": MeasureKind("px", _SIZE, _SIZE),
    "part_area_px": MeasureKind("px", _SIZE, _SIZE),
    "part_row_px": MeasureKind("px", _PLACE, _PLACE),
    "part_column_px": MeasureKind("px", _PLACE, _PLACE),
    SCORE: MeasureKind(
        "",
        "parts look less and less like calibration's: look at the latest heat maps, clean the sensor, check tool "
        "and material; if these parts are good, run `cmdiad calibrate --update`",
        "parts look unusually alike: check that the sensor is not frozen or out of focus, run `cmdiad-rt selftest`",
    ),
    REJECT_SHARE: MeasureKind(
        "",
        "more parts are rejected: look at the rejected ones; if they are good, run `cmdiad calibrate --update`",
        "",
    ),
}
"""Every measure there is, in the order in which they are shown."""

SENSOR_MEASURES = tuple(name for name in KINDS if name not in (SCORE, REJECT_SHARE))


def measures_of(view: PartView, origin: Vector = NEAR, plane_normal: Direction3 | None = None) -> Measures:
    """What one inspection says of sensor, table and part: every one of `SENSOR_MEASURES`, in that order.

    Args:
        view: of the inspection.
        origin: of the inspection: what was subtracted from the scan file's coordinates, meters.
        plane_normal: the mean of calibration's planes, against which a tilt is measured; None: it is not measured.

    Returns:
        Lengths in meters in the file's coordinates, tilts in degrees. Of an image alone there are only pixels.
    """
    tilt_x, tilt_y = _tilts(view.plane_normal, plane_normal)
    x, y, z = view.center_from(origin) or (None, None, None)
    near, far = (None, None) if view.depth_m is None else (depth + origin[2] for depth in view.depth_m)
    of_scan = (tilt_x, tilt_y, view.plane_origin_m, near, far, view.diameter_m, view.area_m2, x, y, z)
    is_image = view.center_m is None
    pixels = (view.diameter_px, float(view.part_pixels), float(view.row), float(view.column))
    values = (
        None if is_image else 1.0 - view.measured_share,
        view.plane_rms_m,
        *of_scan,
        *(pixels if is_image else (None,) * len(pixels)),
    )
    return dict(zip(SENSOR_MEASURES, values, strict=True))


def baseline_of(views: Sequence[PartView], origins: Sequence[Vector], scores: Sequence[float]) -> HealthBaseline:
    """What the normal scans of a calibration measured.

    Args:
        views: of the scans, at least one.
        origins: of the same scans.
        scores: theirs, each without its own rows in the banks.
    """
    normal = _mean_direction([view.plane_normal for view in views if view.plane_normal is not None])
    measured = [measures_of(view, origin, normal) for view, origin in zip(views, origins, strict=True)]
    baselines = {}
    for name in SENSOR_MEASURES:
        values = [value for scan in measured if (value := scan[name]) is not None]
        if values:
            baselines[name] = MeasureBaseline.of(values)
    baselines[SCORE] = MeasureBaseline.of([float(score) for score in scores])
    return HealthBaseline(measures=baselines, plane_normal=normal)


def _tilts(normal: Direction3 | None, mean: Direction3 | None) -> tuple[float | None, float | None]:
    """How far a normal leans from the mean one, degrees: along x (or y, for a plane that faces along x), and across.

    Both have a sign, so that their mean over scans is zero and noise does not look like a tilt.
    """
    if normal is None or mean is None:
        return None, None
    axis = np.eye(3)[0 if abs(mean[0]) < _FACES_ALONG_X else 1]
    along = axis - np.dot(axis, mean) * np.array(mean)
    along /= np.linalg.norm(along)
    across = np.cross(mean, along)
    lean = (float(np.clip(np.dot(normal, side), -1, 1)) for side in (along, across))
    first, second = (math.degrees(math.asin(sine)) for sine in lean)
    return first, second


def _mean_direction(normals: Sequence[Direction3]) -> Direction3 | None:
    if not normals:
        return None
    total = np.sum(np.array(normals, np.float64), axis=0)
    length = float(np.linalg.norm(total))
    if not length > 0:
        return None
    x, y, z = (total / length).tolist()
    return x, y, z
