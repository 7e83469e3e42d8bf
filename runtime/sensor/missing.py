"""Which points of a scan were measured, and the constants that files hold where nothing was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScanError

MAX_COORDINATE_M = 1e8
"""No measurement lies farther from any origin: map coordinates reach 1e7 m. FLT_MAX and 1e30 are marks, not depths."""

# What programs write where nothing was measured, if it is neither NaN nor zero; in meters also a thousandth of it.
_MARKS = (-999.0, -9999.0, -99999.0, -32768.0, 9999.0, 99999.0, 32767.0, 65535.0, -1e10, 1e10)
_SMALLEST_MARK = 9.99
_REPEATED_SHARE = 0.01
_REPEATED_POINTS = 30


def valid_mask(points_hw3: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which points were measured: (H, W, 3), meters -> (H, W) bool.

    A point is missing when all three coordinates are zero, or any is not finite or beyond `MAX_COORDINATE_M`.
    """
    # NaN where one coordinate is.
    largest = np.abs(points_hw3[..., 0])
    for axis in (1, 2):
        np.maximum(largest, np.abs(points_hw3[..., axis]), out=largest)
    measured: npt.NDArray[np.bool_] = (largest > 0) & (largest <= MAX_COORDINATE_M)
    return measured


def refuse_marks(raw_hw3: npt.NDArray[Any], measured_hw: npt.NDArray[np.bool_], largest: float) -> None:
    """Refuse coordinates that can only be marks of missing points, such as -9999.

    That they are meant so would be a guess: a value counts as a mark if programs use it as one, or its type ends at
    it, and it lies apart from all other values of its axis by more than these reach.

    Args:
        raw_hw3: (H, W, 3), in the file's own unit; or (H, W, 1), the numbers of a depth image or a height map.
        measured_hw: (H, W) bool, points that are neither zero nor NaN.
        largest: the largest magnitude of their coordinates, in the file's unit.

    Raises:
        ScanError: names the value and how many points carry it.
    """
    if largest < _SMALLEST_MARK:
        return
    marks = _marks(raw_hw3.dtype)
    for axis in range(raw_hw3.shape[-1]):
        values = raw_hw3[..., axis][measured_hw]
        for extreme in (values.min(), values.max()):
            if extreme in marks and _is_apart(values, extreme):
                carrying = int(np.count_nonzero(measured_hw & (raw_hw3 == extreme).any(axis=-1)))
                raise ScanError(
                    f"has {extreme:g} as a coordinate of {carrying} of its {len(values)} points, far from all others: "
                    f"if it marks missing points, give --set geometry.missing={extreme.item():.17g}, or save "
                    "these as NaN"
                )


def refuse_marking_point(sample_n3: npt.NDArray[np.float64]) -> None:
    """Refuse a scan whose pixels repeat one point: no two rays of a sensor meet the same one.

    Of a file's own numbers, where few such pixels are a mark and few digits no reason; `preparation.repeated` then
    judges every part, also one that was never a file, and repeated rows and columns as well.

    Args:
        sample_n3: (N, 3) measured points, evenly chosen from the scan's.

    Raises:
        ScanError: names the point and its share.
    """
    # Equal points have equal sums; other points only by chance, and are not counted.
    sums = sample_n3 @ np.array([1.0, np.e, np.pi])
    ordered = np.sort(sums)
    if not (ordered[_REPEATED_POINTS - 1 :] == ordered[: 1 - _REPEATED_POINTS]).any():
        return
    _, first, counts = np.unique(sums, return_index=True, return_counts=True)
    point = sample_n3[first[counts.argmax()]]
    repeated = int(np.count_nonzero((sample_n3 == point).all(axis=1)))
    if repeated >= _REPEATED_POINTS and repeated >= _REPEATED_SHARE * len(sample_n3):
        x, y, z = point
        raise ScanError(
            f"has the same point, ({x:g}, {y:g}, {z:g}) m, in {repeated / len(sample_n3):.0%} of its measured pixels: "
            "check whether the sensor is frozen; if this marks missing points, save these as NaN or as 0, 0, 0"
        )


def _marks(dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The marks that a type can hold, as it holds them."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.array([*_MARKS, *(mark / 1000 for mark in _MARKS if abs(mark) > 1000)]).astype(dtype)
    limits = np.iinfo(dtype)
    whole = {limits.min, limits.max, *(int(mark) for mark in _MARKS)} - {0}
    return np.array([mark for mark in whole if limits.min <= mark <= limits.max], dtype)


def _is_apart(values: npt.NDArray[Any], extreme: np.generic) -> bool:
    """Whether an extreme value is farther from all others than these are from each other."""
    others = values[values != extreme].astype(np.float64)
    if not others.size:
        return False
    gap = min(abs(float(extreme) - others.min()), abs(float(extreme) - others.max()))
    return bool(gap > others.max() - others.min())
