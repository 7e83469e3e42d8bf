"""How a scan differs from those of calibration although its part is alike: its verdict may mean less.

Such a scan is judged, and the difference is reported: a sensor's grid, resolution or frame that was changed, or a map
that finds almost the whole part anomalous.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .bundle.health_baseline import HealthBaseline, MeasureBaseline
from .bundle.parameters import PartRange, Seen
from .preparation.part_view import PartView
from .sensor.origin import Vector

# Wider than calibration's own spread by this factor: perspective and crops change these a little.
_GRID = (1 / 1.15, 1.15)
_RESOLUTION = (1 / 1.25, 1.25)
# Degrees: no table was leveled so badly, and a swapped or mirrored axis gives 90 or 180.
_MOST_TILT = 30.0
# Diameters of the part that it may lie from where calibration saw parts, beside ten times their spread.
_FAR = 2.0
# Of the part above the pixel threshold. Defects of the demo mark 5 % at most, other classes of its kind 100 %.
WHOLE = 0.5


def differences(
    view: PartView, origin: Vector, expected: PartRange | None, health: HealthBaseline | None
) -> tuple[str, ...]:
    """What the sensor delivers otherwise than at calibration, a sentence each; none where all is alike.

    Args:
        view: of the part.
        origin: what was subtracted from the file's coordinates, meters.
        expected: what calibration saw of its parts; None: not known.
        health: what it measured of the sensor; None: not known.
    """
    notes = [] if expected is None else [*_grid(view, expected), *_resolution(view, expected)]
    if health is not None:
        notes += [*_frame(view, health), *_place(view, origin, health)]
    return tuple(notes)


def whole_part_note(
    map_hw: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], pixel_threshold: float
) -> tuple[str, ...]:
    """A hint where almost the whole part is anomalous: map and valid (H, W); no defect of a part looks so."""
    share = int(np.count_nonzero((map_hw > pixel_threshold) & valid)) / max(1, int(np.count_nonzero(valid)))
    if share < WHOLE:
        return ()
    return (
        f"{share:.0%} of the part is above the pixel threshold, as a single defect hardly makes it: check that the "
        "part is of the bundle's product and lies as at calibration, and that the sensor's settings are the same",
    )


def _grid(view: PartView, expected: PartRange) -> list[str]:
    if view.grid is None or expected.rows is None or expected.columns is None:
        return []
    seen = (expected.rows, expected.columns)
    if all(known.allows(value, _GRID) for value, known in zip(view.grid, seen, strict=True)):
        return []
    return [
        f"the scan has {view.grid[0]} x {view.grid[1]} pixels, and calibration's had {_span(expected.rows)} x "
        f"{_span(expected.columns)}: the networks see the part at another scale: record as at calibration, or "
        "calibrate again"
    ]


def _resolution(view: PartView, expected: PartRange) -> list[str]:
    if view.diameter_m is None or expected.diameter_m is None or not expected.diameter_m.least > 0:
        return []
    pixels, lengths = expected.diameter_px, expected.diameter_m
    seen = Seen(least=pixels.least / lengths.greatest, greatest=pixels.greatest / lengths.least)
    density = view.diameter_px / view.diameter_m if view.diameter_m > 0 else 0.0
    if seen.allows(density, _RESOLUTION):
        return []
    return [
        f"the part has {density / 1e3:.3g} pixels a millimeter, and calibration's had {_span(seen, 1e-3)}: another "
        "resolution, distance or unit of the sensor: record as at calibration, or calibrate again"
    ]


def _frame(view: PartView, health: HealthBaseline) -> list[str]:
    if view.plane_normal is None or health.plane_normal is None:
        return []
    cosine = sum(one * other for one, other in zip(view.plane_normal, health.plane_normal, strict=True))
    angle = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
    if angle <= _MOST_TILT:
        return []
    return [
        f"the plane that the part stands on is turned by {angle:.0f} degrees against calibration's: an axis was "
        "swapped or changed its sign, or the sensor was moved: check the sensor's frame, or calibrate again"
    ]


def _place(view: PartView, origin: Vector, health: HealthBaseline) -> list[str]:
    center = view.center_from(origin)
    if center is None or view.diameter_m is None:
        return []
    known = [health.measures.get(f"part_{axis}_m") for axis in "xyz"]
    told = [
        f"{axis} = {value * 1e3:.0f} mm (calibration: {measure.low * 1e3:.0f} to {measure.high * 1e3:.0f} mm)"
        for axis, value, measure in zip("xyz", center, known, strict=True)
        if measure is not None and _is_far(value, measure, view.diameter_m)
    ]
    if not told:
        return []
    return [
        f"the part lies far from where calibration saw parts, {', '.join(told)}: check the sensor's frame, unit and "
        "mounting, or calibrate again"
    ]


def _is_far(value: float, measure: MeasureBaseline, diameter_m: float) -> bool:
    room = 10 * (measure.high - measure.low) + _FAR * diameter_m
    return not measure.low - room <= value <= measure.high + room


def _span(seen: Seen, scale: float = 1.0) -> str:
    least, greatest = f"{seen.least * scale:.3g}", f"{seen.greatest * scale:.3g}"
    return least if least == greatest else f"{least} to {greatest}"
