"""Organized point clouds from files: what every stage takes as a scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScanError, naming_scan
from . import eyecandies
from .missing import refuse_marking_point, refuse_marks, valid_mask
from .origin import origin_of, refuse_lost_digits, relative_to
from .readers import decode_scan
from .readers.limits import check_shape, read_bounded
from .units import check_extent, checked_unit

__all__ = ["Scan", "read_scan", "scan_from_array", "scan_from_bytes", "valid_mask"]

# Enough to know where a scan lies and how large it is.
_SAMPLED_POINTS = 5000
_GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class Scan:
    """One organized point cloud.

    Attributes:
        points: (H, W, 3) float32, metres; (0, 0, 0) where nothing was measured, finite everywhere.
        path: the file it was read from.
        origin: (3,) float64, metres: what was subtracted from the file's coordinates, zero unless they lie 16 m or
            more from their own origin, where float32 would lose their digits. `points + origin` are the file's.
    """

    points: npt.NDArray[np.float32]
    path: Path | None = None
    origin: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        check_shape(self.points.shape)
        if self.points.dtype != np.float32:
            raise ScanError(f"holds {self.points.dtype} points: give float32 metres")


def read_scan(path: str | Path, metres_per_unit: float | None = None) -> Scan:
    """Read a file of any format in `readers`, whose content decides which it is, or Eyecandies' depth map.

    Args:
        path: the file.
        metres_per_unit: what the file's numbers are multiplied with. Integers have no unit of their own and
            need it; floats without it are metres.

    Raises:
        ScanError: the file is missing, damaged, of another shape, holds integers whose unit is not known, or
            not one measured point; its numbers cannot be metres (or what the unit makes of them), hold a mark of
            missing points such as -9999, repeat one point, or have lost their digits far from the origin.
        UsageError: metres_per_unit is not positive.

    Example:
        >>> read_scan("part.ply", metres_per_unit=0.001).points.shape  # doctest: +SKIP
        (480, 640, 3)
    """
    path = Path(path)
    if eyecandies.is_depth_map(path):
        unit = eyecandies.METRES_PER_UNIT if metres_per_unit is None else metres_per_unit
        with naming_scan(path):
            return replace(scan_from_array(eyecandies.read_points(path), unit), path=path)
    data = read_bounded(path)
    with naming_scan(path):
        return replace(scan_from_bytes(data, metres_per_unit), path=path)


def scan_from_bytes(data: bytes, metres_per_unit: float | None = None) -> Scan:
    """What `read_scan` makes of a file, of its content; errors are about the content alone."""
    try:
        return scan_from_array(decode_scan(data), metres_per_unit)
    except MemoryError as error:
        raise ScanError("is too large for this machine's memory: close other programs or save fewer points") from error


def scan_from_array(points_hw3: npt.NDArray[Any], metres_per_unit: float | None = None) -> Scan:
    """A scan of an array of any numeric type, which is treated as the same numbers in a file.

    Raises:
        ScanError: as `read_scan`, of the numbers; or the array has another shape or no numbers.
        UsageError: metres_per_unit is not positive.
    """
    unit = checked_unit(metres_per_unit)
    check_shape(points_hw3.shape)
    if points_hw3.dtype.kind not in "fiu":
        raise ScanError(f"holds {points_hw3.dtype}, not numbers: give floats or integers")
    points, origin = _in_metres(points_hw3, unit)
    return Scan(points, origin=origin)


def _in_metres(
    raw: npt.NDArray[Any], metres_per_unit: float | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Points as `Scan` holds them, and their origin."""
    if raw.dtype.kind != "f" and metres_per_unit is None:
        raise ScanError(
            f"holds {raw.dtype} numbers without a unit: give it with --metres-per-unit when calibrating "
            "(0.001 for millimetres); the bundle's manifest keeps it"
        )
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # Scaled in float64, so that a value is rounded once.
        scaled = raw if metres_per_unit is None else np.multiply(raw, metres_per_unit, dtype=np.float64)
        points = np.array(scaled, dtype=np.float32, order="C")
    measured = valid_mask(points)
    if not measured.any():
        raise ScanError("has no measured point: check the sensor's exposure and range")
    points[~measured] = 0
    unit = metres_per_unit or 1.0
    refuse_marks(raw, measured, float(max(points.max(), -points.min())) / unit)
    sample = _sample(scaled, measured)
    refuse_marking_point(sample)
    check_extent(sample, metres_per_unit)
    origin = origin_of(sample)
    if origin.any():
        refuse_lost_digits(raw, measured, origin, unit)
        points = relative_to(scaled, measured, origin)
    return points, origin


def _sample(points_hw3: npt.NDArray[Any], measured_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Evenly chosen measured points: (N, 3) float64."""
    indices = np.flatnonzero(measured_hw)
    if len(indices) > _SAMPLED_POINTS:
        # Every n-th would be the same few columns of many a width.
        indices = indices[(np.arange(_SAMPLED_POINTS) * _GOLDEN_RATIO % 1 * len(indices)).astype(np.intp)]
    rows, columns = np.divmod(indices, measured_hw.shape[1])
    sample: npt.NDArray[np.float64] = points_hw3[rows, columns].astype(np.float64)
    return sample
