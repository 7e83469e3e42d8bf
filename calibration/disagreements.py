"""What calibration's own scans do not agree about: warnings, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..runtime.preparation.part_view import PartView

# A part this much larger or smaller than most is not one of them, or was not seen whole.
_MOST_TIMES, _MOST_TIMES_AREA = 1.3, 1.6
# Something this large beside the part may be the part itself.
_LARGE = 0.5
_LEAST_INSPECTED = 0.5
_LEAST_MEASURED = 0.7
_MOST_CUT = 0.03
_NAMED = 3

_Remarks = list[str | None]
"""What is odd about every scan; None where nothing is."""


def disagreements(views: Sequence[PartView], names: Sequence[str]) -> list[str]:
    """What should be looked at before these scans are called normal, one sentence each; empty where nothing is odd.

    Args:
        views: of all scans, at least one.
        names: how the scans are called in messages.
    """
    checks = [
        *_size_checks(views),
        (_beside_title(views), [_beside(view) for view in views]),
        ("a part that the edge of the measured field cuts off", [_cut(view) for view in views]),
        ("a part that is not on the plane", [_hanging(view) for view in views]),
        ("other objects that are larger than the part", [_little(view) for view in views]),
        ("a part with large holes where nothing was measured", [_holes(view) for view in views]),
        ("an empty margin all around, unlike the others", _margins(views)),
    ]
    return [_sentence(title, remarks, names) for title, remarks in checks if any(remarks)]


def _sentence(title: str, remarks: _Remarks, names: Sequence[str]) -> str:
    odd = [f"{name} ({remark})" for name, remark in zip(names, remarks, strict=True) if remark is not None]
    more = f"; and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
    show = "shows" if len(odd) == 1 else "show"
    return f"{len(odd)} of {len(remarks)} scans {show} {title}: {'; '.join(odd[:_NAMED])}{more}"


def _size_checks(views: Sequence[PartView]) -> list[tuple[str, _Remarks]]:
    diameters = [view.diameter_m for view in views if view.diameter_m is not None]
    areas = [view.area_m2 for view in views if view.area_m2 is not None]
    if len(diameters) < len(views) or len(areas) < len(views):
        return [_unlike([view.diameter_px for view in views], "pixels", "across", 1.0, _MOST_TIMES)]
    return [
        _unlike(diameters, "mm", "across", 1e3, _MOST_TIMES),
        _unlike(areas, "cm2", "of visible surface", 1e4, _MOST_TIMES_AREA),
    ]


def _unlike(sizes: Sequence[float], unit: str, what: str, scale: float, most_times: float) -> tuple[str, _Remarks]:
    middle = float(np.median(sizes))
    remarks: _Remarks = [
        None if middle <= most_times * size and size <= most_times * middle else f"{scale * size:.4g} {unit}"
        for size in sizes
    ]
    return f"a part of another size than most ({scale * middle:.4g} {unit} {what})", remarks


def _beside_title(views: Sequence[PartView]) -> str:
    large = [view for view in views if view.other_objects and view.other_objects[0].pixels >= _LARGE * view.part_pixels]
    # The same in most scans may be a fixture, or the part.
    return "something next to the part" + (" (which of them is it?)" if 2 * len(large) > len(views) else "")


def _beside(view: PartView) -> str | None:
    if not view.other_objects:
        return None
    other, more = view.other_objects[0], len(view.other_objects) - 1
    if other.diameter_m is None or view.diameter_m is None:
        return f"{other.pixels} pixels next to a part of {view.part_pixels}"
    return (
        f"{other.diameter_m * 1e3:.1f} mm at row {other.row}, column {other.column}"
        f"{f' and {more} more' if more else ''}, the part {view.diameter_m * 1e3:.1f} mm at row {view.row}, column "
        f"{view.column}"
    )


def _cut(view: PartView) -> str | None:
    return f"{view.touches_border:.0%} of its outline" if view.touches_border > _MOST_CUT else None


def _hanging(view: PartView) -> str | None:
    if view.on_plane is not False or view.clearance_m is None:
        return None
    return f"it begins {view.clearance_m * 1e3:.1f} mm above it"


def _little(view: PartView) -> str | None:
    return f"{view.inspected_share:.0%} is the part" if view.inspected_share < _LEAST_INSPECTED else None


def _holes(view: PartView) -> str | None:
    return f"{view.measured_share:.0%} measured" if view.measured_share < _LEAST_MEASURED else None


def _margins(views: Sequence[PartView]) -> _Remarks:
    framed = [view.is_framed for view in views]
    if all(framed):
        return [None] * len(views)
    return [f"{view.empty_margin} pixels" if frame else None for view, frame in zip(views, framed, strict=True)]
