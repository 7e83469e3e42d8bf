"""Parts unlike those that calibration saw are refused: a verdict on them would mean nothing."""

from __future__ import annotations

from collections.abc import Sequence

from .bundle.parameters import PartRange
from .errors import ScanError
from .inspection import RefusedPart
from .preparation.part_range import outside, part_outside, scan_outside, unit_advice
from .preparation.part_view import PartView
from .preparation.prepared_part import PreparedPart

_ANYWAY = "(--allow-any-size of `cmdiad-rt infer` and `watch`, allow_any_size of a line file)"


def check_likeness(view: PartView, expected: PartRange, metres_per_unit: float | None) -> None:
    """Refuse a part that is unlike those calibration saw, or that was not seen well: its verdict would mean nothing.

    Args:
        view: what the scan shows of the part.
        expected: what calibration saw.
        metres_per_unit: how the scan's numbers were read; None: as meters.

    Raises:
        ScanError: says in what it differs, with what calibration saw and what is allowed.
    """
    if reasons := outside(view, expected):
        raise _unlike([*reasons, *unit_advice(view, expected, metres_per_unit)], view)


def _unlike(reasons: Sequence[str], view: PartView, which: str = "") -> ScanError:
    """The refusal of a part that is unlike those calibration saw; `which` says which one in the scan."""
    told = f"{which}{which and ' '}is not a part that the bundle was calibrated for: {'; '.join(reasons)}"
    if view.plane_rms_m is not None and view.is_framed:
        # Of a preprocessed scan a side of the part was taken as the plane, and all figures are of what was left.
        return ScanError(
            f"{told}; nothing was measured up to {view.empty_margin} pixels from the image's border, as in a "
            "preprocessed scan, but this bundle expects raw scans and removes the background itself: give the scan as "
            "the sensor saved it, or calibrate on preprocessed ones; if it is raw, check the view and the product"
        )
    return ScanError(f"{told}: check the view and the product, or inspect it anyway {_ANYWAY}")


def refused_parts(
    parts: Sequence[PreparedPart | ScanError], expected: PartRange | None, metres_per_unit: float | None
) -> list[RefusedPart]:
    """What of a scan of several parts cannot be judged, and at the end what else stands in view that should not.

    Args:
        parts: of the scan, at least one.
        expected: what calibration saw; None: whatever can be prepared is judged.
        metres_per_unit: how the scan's numbers were read; None: as meters.
    """
    refused, views = [], []
    for number, one in enumerate(parts, 1):
        if isinstance(one, ScanError):
            refused.append(RefusedPart(number, one))
            continue
        views.append(one.view)
        if expected is not None and (reasons := part_outside(one.view, expected)):
            reasons += unit_advice(one.view, expected, metres_per_unit)
            refused.append(RefusedPart(number, _unlike(reasons, one.view, f"part {number} of {len(parts)}")))
    if expected is not None and views and (reasons := scan_outside(views[0], expected)):
        said = f"not everything in view is judged: {'; '.join(reasons)}"
        advice = f"remove it, separate parts that touch, or allow it {_ANYWAY}"
        refused.append(RefusedPart(None, ScanError(f"{said}: {advice}")))
    return refused
