"""Organized point clouds from files: what every stage takes as a scan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import eyecandies
from .errors import ScanError, UsageError
from .readers import decode_scan
from .readers.limits import check_shape, read_bounded


@dataclass(frozen=True)
class Scan:
    """One organized point cloud.

    Attributes:
        points: (H, W, 3) float32, metres; (0, 0, 0) where nothing was measured, finite everywhere.
        path: the file it was read from.
    """

    points: npt.NDArray[np.float32]
    path: Path | None = None

    def __post_init__(self) -> None:
        check_shape(self.points.shape)
        if self.points.dtype != np.float32:
            raise ScanError(f"holds {self.points.dtype} points: give float32 metres")


def read_scan(path: str | Path, metres_per_unit: float | None = None) -> Scan:
    """Read a TIFF, PLY, PCD, NPY or NPZ file, whose content decides which of them it is, or Eyecandies' depth map.

    Args:
        path: the file.
        metres_per_unit: what the file's numbers are multiplied with. Integers have no unit of their own and
            need it; floats without it are metres.

    Raises:
        ScanError: the file is missing, damaged, of another shape, holds integers whose unit is not known, or
            not one measured point.
        UsageError: metres_per_unit is not positive.
    """
    path = Path(path)
    if eyecandies.is_depth_map(path):
        unit = eyecandies.METRES_PER_UNIT if metres_per_unit is None else metres_per_unit
        return replace(scan_from_array(eyecandies.read_points(path), unit), path=path)
    data = read_bounded(path)
    try:
        return replace(scan_from_bytes(data, metres_per_unit), path=path)
    except ScanError as error:
        raise ScanError(f"{path}: {error}") from error


def scan_from_bytes(data: bytes, metres_per_unit: float | None = None) -> Scan:
    """What `read_scan` makes of a file, of its content; errors are about the content alone."""
    try:
        return scan_from_array(decode_scan(data), metres_per_unit)
    except MemoryError as error:
        raise ScanError("is too large for this machine's memory") from error


def scan_from_array(points_hw3: npt.NDArray[Any], metres_per_unit: float | None = None) -> Scan:
    """A scan of an array of any numeric type, which is treated as the same numbers in a file.

    Raises:
        ScanError: the array has another shape or no numbers, holds integers whose unit is not known, or not one
            measured point.
        UsageError: metres_per_unit is not positive.
    """
    if metres_per_unit is not None and not 0 < metres_per_unit < math.inf:
        raise UsageError(f"metres per unit is {metres_per_unit}: give a positive number, such as 0.001")
    check_shape(points_hw3.shape)
    if points_hw3.dtype.kind not in "fiu":
        raise ScanError(f"holds {points_hw3.dtype}, not numbers: give floats or integers")
    return Scan(_in_metres(points_hw3, metres_per_unit))


def valid_mask(points_hw3: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Which points were measured: (H, W, 3) -> (H, W) bool.

    A point is missing when all three coordinates are zero or any is not finite.
    """
    x, y, z = np.moveaxis(points_hw3, -1, 0)
    measured: npt.NDArray[np.bool_] = (x != 0) | (y != 0) | (z != 0)
    measured &= np.isfinite(x) & np.isfinite(y) & np.isfinite(z)
    return measured


def _in_metres(raw: npt.NDArray[Any], metres_per_unit: float | None) -> npt.NDArray[np.float32]:
    if raw.dtype.kind != "f" and metres_per_unit is None:
        raise ScanError(
            f"holds {raw.dtype} numbers without a unit: give it with --metres-per-unit when calibrating "
            "(0.001 for millimetres); the bundle's manifest keeps it"
        )
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # Scaled in float64, so that a value is rounded once.
        scaled = raw if metres_per_unit is None else np.multiply(raw, metres_per_unit, dtype=np.float64)
        points = np.array(scaled, dtype=np.float32, order="C")
    valid = valid_mask(points)
    if not valid.any():
        raise ScanError("has no measured point: check the sensor's exposure and range")
    np.copyto(points, 0, where=~valid[..., None])
    return points
