"""Scans far from the origin of their coordinates, such as a plant's: float32 has no digits left for them there.

Float32 numbers from 16 m on are more than a micrometer apart, and at 100 km 8 mm. Nothing after the readers depends on
where the origin is, so scans far away are brought near before they become float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScanError

# From here on float32 numbers are more than 1 micrometer apart; also the grid that origins lie on, so that the scans
# of a station have one in common unless their middle moves over a line of it.
_FAR_M = 16.0
# What a measured point becomes that lies exactly at the origin, where (0, 0, 0) would say that it is missing.
_NEXT_TO_ORIGIN_M = np.float32(1e-7)
# Of the distance of neighboring pixels: coarser numbers turn a surface into steps.
_COARSEST_STEP = 0.1
_MEASURED_ROWS = 512

Vector = tuple[float, float, float]
NEAR: Vector = (0.0, 0.0, 0.0)
"""The origin of scans that lie near it: nothing was subtracted."""


def origin_of(sample_n3: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What to subtract from a scan's points before they become float32: (3,), meters.

    Zero along every axis whose median is less than 16 m from the origin, so that scans near it stay as they are; else
    the multiple of 16 m that is next to the median.

    Args:
        sample_n3: (N, 3) measured points in meters, evenly chosen from the scan's.
    """
    if np.abs(sample_n3).max() < _FAR_M:
        return np.zeros(3)
    middle = np.median(sample_n3, axis=0)
    origin: npt.NDArray[np.float64] = np.where(np.abs(middle) < _FAR_M, 0.0, np.round(middle / _FAR_M) * _FAR_M)
    return origin


def relative_to(
    points_hw3: npt.NDArray[np.floating], measured_hw: npt.NDArray[np.bool_], origin: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Points relative to an origin, subtracted in float64: (H, W, 3) float32, missing ones zero and no measured one.

    A point that is exactly at the origin is moved by 0.1 micrometers along z.
    """
    relative = np.zeros(points_hw3.shape, np.float32)
    near = (points_hw3[measured_hw].astype(np.float64) - origin).astype(np.float32)
    near[~near.any(axis=1), 2] = _NEXT_TO_ORIGIN_M
    relative[measured_hw] = near
    return relative


def refuse_lost_digits(
    raw_hw3: npt.NDArray[Any],
    measured_hw: npt.NDArray[np.bool_],
    origin: npt.NDArray[np.float64],
    metres_per_unit: float,
) -> None:
    """Refuse far points whose file has no digits for them either: nobody can bring these back.

    Args:
        raw_hw3: (H, W, 3), in the file's own unit.
        measured_hw: (H, W) bool.
        origin: (3,), meters, as `origin_of` returns it.
        metres_per_unit: of the file.

    Raises:
        ScanError: the numbers are float32, or doubles that were, and the next one is farther away than a tenth of
            the distance of neighboring pixels. It names both.
    """
    if raw_hw3.dtype.kind != "f":
        return
    stored = raw_hw3.dtype if raw_hw3.dtype.itemsize <= 4 else np.dtype(np.float32)
    farthest = int(np.abs(origin).argmax())
    values = raw_hw3[..., farthest][measured_hw]
    with np.errstate(over="ignore"):
        if (values.astype(stored) != values).any():
            return
    step = float(np.spacing(np.abs(origin[farthest] / metres_per_unit).astype(stored))) * metres_per_unit
    pitch = _pixel_pitch(raw_hw3, measured_hw) * metres_per_unit
    if step > _COARSEST_STEP * pitch:
        raise ScanError(
            f"was stored in {stored.name} {abs(origin[farthest]):.0f} m from the origin, where numbers are "
            f"{1e3 * step:.2g} mm apart, and neighboring pixels {1e3 * pitch:.2g} mm: save float64, or subtract the "
            "offset before saving"
        )


def _pixel_pitch(raw_hw3: npt.NDArray[Any], measured_hw: npt.NDArray[np.bool_]) -> float:
    """The distance of neighboring pixels in the file's unit, over whole rows, so that steps even out."""
    thinned = slice(None, None, max(1, len(measured_hw) // _MEASURED_ROWS))
    points, measured = raw_hw3[thinned], measured_hw[thinned]
    first, last = measured.argmax(axis=1), measured.shape[1] - 1 - measured[:, ::-1].argmax(axis=1)
    rows = np.flatnonzero(last > first)
    if not rows.size:
        return np.inf
    first, last = first[rows], last[rows]
    lengths = np.linalg.norm(points[rows, last].astype(np.float64) - points[rows, first].astype(np.float64), axis=1)
    return float(np.median(lengths / (last - first)))
