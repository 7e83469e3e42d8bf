"""Organized point clouds from files: what every stage takes as a scan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.scan_geometry import AS_STORED, ScanGeometry
from ..errors import WITH_A_BUNDLE, ScanError, naming_scan
from . import eyecandies
from .arranging import arranged
from .missing import refuse_marking_point, refuse_marks, valid_mask
from .origin import origin_of, refuse_lost_digits, relative_to
from .readers import decode_scan
from .readers.format import Stored
from .readers.limits import check_shape, check_stored_shape, read_bounded
from .units import check_extent, checked_unit

__all__ = ["Scan", "read_scan", "scan_from_array", "scan_from_bytes", "valid_mask"]

# Enough to know where a scan lies and how large it is.
_SAMPLED_POINTS = 5000
# If so many of as many pixels were measured, these are the sample: looking for all that were takes as long as the rest.
# Fewer pixels than 20,000 would have to be taken twice.
_FEWEST_SAMPLED, _MANY_PIXELS = 3000, 20_000
# Where they are, of all: every n-th would be the same few columns of many a width. In their order, as memory is read
# fastest.
_PLACES = np.sort(np.arange(_SAMPLED_POINTS) * 0.6180339887498949 % 1)


@dataclass(frozen=True)
class Scan:
    """One organized point cloud.

    Attributes:
        points: (H, W, 3) float32, meters; (0, 0, 0) where nothing was measured, finite everywhere. Each coordinate lies
            by itself in memory, as whatever is done with all points at once wants it.
        path: the file it was read from.
        origin: (3,) float64, meters: what was subtracted from the file's coordinates, zero unless they lie 16 m or
            more from their own origin, where float32 would lose their digits. `points + origin` are the file's.
        rgb: (H, W, 3) uint8, the registered image, if the file holds it.
        notes: what the file holds that is not in the points, if it is worth mentioning; a sentence each.
    """

    points: npt.NDArray[np.float32]
    path: Path | None = None
    origin: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    rgb: npt.NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_shape(self.points.shape)
        if self.points.dtype != np.float32:
            raise ScanError(f"holds {self.points.dtype} points: give float32 meters")


def read_scan(path: str | Path, metres_per_unit: float | None = None, geometry: ScanGeometry = AS_STORED) -> Scan:
    """Read a file of any format in `readers`, recognized by its content, or a depth map of Eyecandies.

    Args:
        path: the file.
        metres_per_unit: the factor from the file's numbers to meters. Integers have no unit of their own and need it;
            floats without it are meters.
        geometry: what the file leaves unsaid about how its numbers become x, y and z of every pixel.

    Raises:
        ScanError: the file is missing, damaged, of another shape, holds integers whose unit is not known, or holds
            no measured point; the geometry does not fit it, or it needs one; its numbers cannot be meters (or
            what the unit makes of them), hold a mark of missing points such as -9999, repeat one point, or have lost
            their digits far from the origin.
        UsageError: metres_per_unit is not positive.

    Example:
        >>> read_scan("part.ply", metres_per_unit=0.001).points.shape  # doctest: +SKIP
        (480, 640, 3)
        >>> camera = ScanGeometry(intrinsics=Intrinsics(fx=615, fy=615, cx=320, cy=240))  # doctest: +SKIP
        >>> read_scan("depth.png", 0.001, camera).points.shape  # doctest: +SKIP
        (480, 640, 3)
    """
    path = Path(path)
    if eyecandies.is_depth_map(path):
        unit = eyecandies.METRES_PER_UNIT if metres_per_unit is None else metres_per_unit
        with naming_scan(path):
            return replace(scan_from_array(eyecandies.read_points(path), unit), path=path)
    data = read_bounded(path)
    with naming_scan(path):
        return replace(scan_from_bytes(data, metres_per_unit, geometry), path=path)


def scan_from_bytes(data: bytes, metres_per_unit: float | None = None, geometry: ScanGeometry = AS_STORED) -> Scan:
    """Do what `read_scan` does, for the content of a file; errors do not name the file."""
    try:
        return _scan_of(decode_scan(data, geometry), metres_per_unit, geometry)
    except MemoryError as error:
        raise ScanError("is too large for this machine's memory: close other programs or save fewer points") from error


def scan_from_array(
    points: npt.NDArray[Any], metres_per_unit: float | None = None, geometry: ScanGeometry = AS_STORED
) -> Scan:
    """Make a scan from an array of any numeric type, which is treated as the same numbers in a file would be.

    Args:
        points: (H, W, 3); depending on the geometry also (N, 3), or (H, W) depths or heights.
        metres_per_unit: as in `read_scan`.
        geometry: as in `read_scan`.

    Raises:
        ScanError: as `read_scan` does about the numbers; also if the array has another shape or holds no numbers.
        UsageError: metres_per_unit is not positive.
    """
    check_stored_shape(points.shape)
    if points.dtype.kind not in "fiu":
        raise ScanError(f"holds {points.dtype}, not numbers: give floats or integers")
    return _scan_of(Stored(points), metres_per_unit, geometry)


def _scan_of(stored: Stored, metres_per_unit: float | None, geometry: ScanGeometry) -> Scan:
    unit = checked_unit(metres_per_unit)
    raw = arranged(stored, geometry)
    has_length = stored.is_pixels and geometry.scales_pixels
    if stored.numbers.dtype.kind != "f" and unit is None and not has_length:
        raise ScanError(
            f"holds {stored.numbers.dtype} numbers without a unit: give --metres-per-unit (0.001 for millimeters), or "
            f"--set sensor.metres_per_unit=UNIT{WITH_A_BUNDLE}"
        )
    check_shape(raw.points.shape)
    pixels = stored.numbers if stored.is_pixels else None
    points, origin = _in_metres(raw.points, unit, geometry, pixels)
    return Scan(points, origin=origin, rgb=raw.rgb, notes=raw.notes)


def _in_metres(
    raw: npt.NDArray[Any], metres_per_unit: float | None, geometry: ScanGeometry, pixels: npt.NDArray[Any] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Points as `Scan` holds them, and their origin; `pixels` (H, W) are the numbers that they were computed from."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # Scaled in float64, so that a value is rounded once.
        scaled = raw if metres_per_unit is None else np.multiply(raw, metres_per_unit, dtype=np.float64)
        planes = np.array(np.moveaxis(scaled, -1, 0), dtype=np.float32, order="C")
    points = np.moveaxis(planes, 0, -1)
    measured = valid_mask(points)
    if not measured.any():
        raise ScanError("has no measured point: check the sensor's exposure and range")
    measured = _in_range(points, measured, geometry)
    _clear(planes, measured)
    unit = metres_per_unit or 1.0
    if pixels is None:
        refuse_marks(raw, measured, float(max(points.max(), -points.min())) / unit)
    else:
        refuse_marks(pixels[..., None], measured, float(np.abs(pixels[measured].astype(np.float64)).max()))
    sample = _sample(scaled, measured)
    refuse_marking_point(sample)
    check_extent(sample, metres_per_unit)
    origin = origin_of(sample)
    if origin.any():
        refuse_lost_digits(raw, measured, origin, unit)
        points = relative_to(scaled, measured, origin)
    return points, origin


def _clear(planes_3hw: npt.NDArray[np.float32], measured_hw: npt.NDArray[np.bool_]) -> None:
    """Make points that were not measured zero, in place; of many a sensor they are already."""
    planes_3n, missing = planes_3hw.reshape(3, -1), np.flatnonzero(~measured_hw)
    if planes_3n.take(missing, axis=1).view(np.uint32).any():
        planes_3n[:, missing] = 0


def _in_range(
    points_hw3: npt.NDArray[np.float32], measured_hw: npt.NDArray[np.bool_], geometry: ScanGeometry
) -> npt.NDArray[np.bool_]:
    """Which measured points have a z from `near_m` to `far_m`."""
    if geometry.near_m is None and geometry.far_m is None:
        return measured_hw
    near = -np.inf if geometry.near_m is None else geometry.near_m
    far = np.inf if geometry.far_m is None else geometry.far_m
    z = points_hw3[..., 2]
    within: npt.NDArray[np.bool_] = measured_hw & (z >= near) & (z <= far)
    if not within.any():
        least, greatest = z[measured_hw].min(), z[measured_hw].max()
        raise ScanError(
            f"has no point with z from {near:g} to {far:g} m, only from {least:.3g} to {greatest:.3g} m: check "
            "geometry.near_m and geometry.far_m, and the unit"
        )
    return within


def _sample(points_hw3: npt.NDArray[Any], measured_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Evenly chosen measured points: (N, 3) float64, each coordinate by itself in memory."""
    pixels = (_PLACES * measured_hw.size).astype(np.intp)
    indices = pixels[measured_hw.take(pixels)]
    if measured_hw.size < _MANY_PIXELS or len(indices) < _FEWEST_SAMPLED:
        indices = np.flatnonzero(measured_hw)
        if len(indices) > _SAMPLED_POINTS:
            indices = indices[(_PLACES * len(indices)).astype(np.intp)]
    sample: npt.NDArray[np.float64] = np.array(points_hw3.reshape(-1, 3).take(indices, axis=0).T, np.float64, order="C")
    return sample.T
