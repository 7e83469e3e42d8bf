"""What calibration saw of its parts, how far another scan may be from that, and whether it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..bundle.parameters import PartRange, Seen
from ..sensor.units import UNITS, length_in_words, unit_in_words
from .part_view import PartView

# How far from what calibration saw a part may be. A part with two fifths of it missing is a defect and stays inside, as
# do parts of 0.9 and 1.1 times the size; a part of half or twice the size (a quarter or four times the area) is another
# one, and so is what is left where less than two fifths were seen.
DIAMETER = (0.55, 1.5)
AREA = (0.4, 2.0)
# Of the least share of the silhouette measured, and of what stands in view being the part.
LEAST_MEASURED = 0.5
LEAST_INSPECTED = 0.6
# Of the outline, more than at calibration.
MORE_CUT = 0.03
OTHER_DIAMETER = 1.5
# Of its diameter, farther above the plane than at calibration.
MORE_CLEARANCE = 0.25


def range_of(views: Sequence[PartView]) -> PartRange:
    """What was seen of normal parts, at least one.

    Raises:
        ValueError: there is none.
    """
    if not views:
        raise ValueError("a range needs at least one part's view")
    others = [_other_diameter(view) for view in views]
    return PartRange(
        n_parts=len(views),
        part_pixels=_seen([view.part_pixels for view in views]),
        diameter_px=_seen([view.diameter_px for view in views]),
        diameter_m=_seen_or_none([view.diameter_m for view in views]),
        area_m2=_seen_or_none([view.area_m2 for view in views]),
        clearance_m=_seen_or_none([view.clearance_m for view in views]),
        measured_share=_seen([view.measured_share for view in views]),
        inspected_share=_seen([view.inspected_share for view in views]),
        touches_border=_seen([view.touches_border for view in views]),
        on_plane=all(view.on_plane is True for view in views),
        other_objects=max(len(view.other_objects) for view in views),
        other_diameter=max(others),
        rows=_seen_or_none([None if view.grid is None else view.grid[0] for view in views]),
        columns=_seen_or_none([None if view.grid is None else view.grid[1] for view in views]),
    )


def joined(first: PartRange, second: PartRange) -> PartRange:
    """What either calibration saw; a length that one of them did not measure is None."""
    return PartRange(
        n_parts=first.n_parts + second.n_parts,
        part_pixels=_both(first.part_pixels, second.part_pixels),
        diameter_px=_both(first.diameter_px, second.diameter_px),
        diameter_m=_both_or_none(first.diameter_m, second.diameter_m),
        area_m2=_both_or_none(first.area_m2, second.area_m2),
        clearance_m=_both_or_none(first.clearance_m, second.clearance_m),
        measured_share=_both(first.measured_share, second.measured_share),
        inspected_share=_both(first.inspected_share, second.inspected_share),
        touches_border=_both(first.touches_border, second.touches_border),
        on_plane=first.on_plane and second.on_plane,
        other_objects=max(first.other_objects, second.other_objects),
        other_diameter=max(first.other_diameter, second.other_diameter),
        rows=_both_or_none(first.rows, second.rows),
        columns=_both_or_none(first.columns, second.columns),
    )


def outside(view: PartView, part_range: PartRange) -> list[str]:
    """Why a view is not one of such a part: sentences with the value, what calibration saw and what is allowed.

    Empty where it is inside the range. Half and twice the size are outside where the calibration's own parts were
    alike; 0.9 and 1.1 times the size and a missing piece of two fifths are inside.
    """
    return [*part_outside(view, part_range), *scan_outside(view, part_range)]


def part_outside(view: PartView, part_range: PartRange) -> list[str]:
    """What of `outside` is about the part itself."""
    return [*_size(view, part_range), *_measured(view, part_range), *_place(view, part_range)]


def unit_advice(view: PartView, part_range: PartRange, metres_per_unit: float | None) -> list[str]:
    """That a part of another size would be as large as calibration's, if its scan were read in another unit.

    Args:
        view: what the scan shows of the part.
        part_range: what calibration saw.
        metres_per_unit: how the scan's numbers were read; None: as meters.

    Returns:
        One sentence, with the unit that fits best; empty where the size is inside the range, or no unit fits.
    """
    diameter, normal = view.diameter_m, part_range.diameter_m
    if not diameter or normal is None or normal.allows(diameter, DIAMETER):
        return []
    factors = {unit: unit / (metres_per_unit or 1.0) for unit in UNITS}
    fitting = [
        (normal.distance(diameter * factor), unit)
        for unit, factor in factors.items()
        if normal.allows(diameter * factor, DIAMETER) and _area_fits(view, part_range, factor)
    ]
    if not fitting:
        return []
    _, unit = min(fitting)
    across = length_in_words(diameter * factors[unit])
    return [
        f"if the scan's numbers were {UNITS[unit]}, not {unit_in_words(metres_per_unit)}, it would be {across} across, "
        "as at calibration: check in which unit scans are saved"
    ]


def _area_fits(view: PartView, part_range: PartRange, factor: float) -> bool:
    if view.area_m2 is None or part_range.area_m2 is None:
        return True
    return part_range.area_m2.allows(view.area_m2 * factor**2, AREA)


def scan_outside(view: PartView, part_range: PartRange) -> list[str]:
    """What of `outside` is about what else stands in view, the same for all parts of a scan."""
    return [*_inspected(view, part_range), *_others(view, part_range)]


def _size(view: PartView, part_range: PartRange) -> list[str]:
    checks: list[str | None] = []
    if view.diameter_m is not None and part_range.diameter_m is not None:
        checks.append(_beyond(view.diameter_m, part_range.diameter_m, DIAMETER, "across", "mm", 1e3))
    else:
        checks.append(_beyond(view.diameter_px, part_range.diameter_px, DIAMETER, "across", "pixels", 1))
    if view.area_m2 is not None and part_range.area_m2 is not None:
        checks.append(_beyond(view.area_m2, part_range.area_m2, AREA, "of visible surface", "cm2", 1e4))
    else:
        checks.append(_beyond(view.part_pixels, part_range.part_pixels, AREA, "in all", "pixels", 1))
    return [check for check in checks if check is not None]


def _beyond(value: float, normal: Seen, factors: tuple[float, float], what: str, unit: str, scale: float) -> str | None:
    if normal.allows(value, factors):
        return None
    allowed = normal.allowed(factors)
    figures = [
        _plain(number * scale) for number in (value, normal.least, normal.greatest, allowed.least, allowed.greatest)
    ]
    return "the part is {0} {u} {w}: calibration saw {1} to {2} {u}, and {3} to {4} {u} is allowed".format(
        *figures, u=unit, w=what
    )


def _plain(number: float) -> str:
    """Four digits, and all of those before the point: no exponent."""
    return f"{number:.0f}" if number >= 1000 else f"{number:.4g}"


def _measured(view: PartView, part_range: PartRange) -> list[str]:
    what = "of the part's silhouette was measured"
    return _too_little(view.measured_share, LEAST_MEASURED, part_range.measured_share, what)


def _inspected(view: PartView, part_range: PartRange) -> list[str]:
    what = "of what is in view is the part"
    return _too_little(view.inspected_share, LEAST_INSPECTED, part_range.inspected_share, what)


def _too_little(share: float, factor: float, normal: Seen, what: str) -> list[str]:
    least = factor * normal.least
    if share >= least:
        return []
    return [f"{share:.0%} {what}: calibration saw {normal.least:.0%} and more, {least:.0%} is the least"]


def _place(view: PartView, part_range: PartRange) -> list[str]:
    reasons = []
    cut = part_range.touches_border.greatest
    if not view.touches_border <= cut + MORE_CUT:
        reasons.append(
            f"{view.touches_border:.0%} of the part's outline is cut off by the edge of the measured field: "
            f"calibration saw at most {cut:.0%}, and {cut + MORE_CUT:.0%} is allowed"
        )
    clearance = part_range.clearance_m
    if part_range.on_plane and view.on_plane is False and view.clearance_m is not None and clearance is not None:
        allowed = clearance.greatest + MORE_CLEARANCE * (view.diameter_m or 0.0)
        if not view.clearance_m <= allowed:
            reasons.append(
                f"what was taken as the part starts {view.clearance_m * 1e3:.1f} mm above the plane: calibration saw "
                f"at most {clearance.greatest * 1e3:.1f} mm, and {allowed * 1e3:.1f} mm is allowed"
            )
    return reasons


def _others(view: PartView, part_range: PartRange) -> list[str]:
    count, most = len(view.other_objects), part_range.other_objects
    if count > most:
        sizes = ", ".join(
            f"{_length(other.diameter_m, other.pixels)} at row {other.row}, column {other.column}"
            for other in view.other_objects
        )
        return [f"{count} other object{'s' * (count > 1)} in view ({sizes}): calibration saw at most {most}"]
    largest, allowed = _other_diameter(view), OTHER_DIAMETER * part_range.other_diameter
    if largest > allowed:
        return [
            f"another object in view has {largest:.2f} times the part's diameter: calibration saw at most "
            f"{part_range.other_diameter:.2f} times, and {allowed:.2f} times is allowed"
        ]
    return []


def _length(diameter_m: float | None, pixels: int) -> str:
    return f"{pixels} pixels" if diameter_m is None else f"{diameter_m * 1e3:.1f} mm"


def _other_diameter(view: PartView) -> float:
    """The largest other object's diameter over the part's; of images, the square root of their pixels' ratio."""
    ratios = [
        other.diameter_m / view.diameter_m
        if other.diameter_m is not None and view.diameter_m
        else math.sqrt(other.pixels / view.part_pixels)
        for other in view.other_objects
    ]
    return max(ratios, default=0.0)


def _seen(values: Sequence[float]) -> Seen:
    return Seen(least=float(min(values)), greatest=float(max(values)))


def _both(first: Seen, second: Seen) -> Seen:
    return Seen(least=min(first.least, second.least), greatest=max(first.greatest, second.greatest))


def _both_or_none(first: Seen | None, second: Seen | None) -> Seen | None:
    return None if first is None or second is None else _both(first, second)


def _seen_or_none(values: Sequence[float | None]) -> Seen | None:
    known = [value for value in values if value is not None]
    return _seen(known) if len(known) == len(values) else None
