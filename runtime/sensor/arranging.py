"""What a file holds becomes an organized cloud: by the file alone, or by what is said about the sensor's geometry.

What a file leaves open is never guessed: `ScanGeometry` alone says whether an image of one number per pixel is a depth
image or a height map, and whether points without an order are a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.scan_geometry import AS_STORED, HeightGrid, Intrinsics, ScanGeometry
from ..errors import DamagedScanError, ScanError
from .projecting import project
from .readers.format import Stored

_SAME_INTRINSICS = 1e-6


@dataclass(frozen=True)
class Arranged:
    """An organized cloud in the file's own unit.

    Attributes:
        points: (H, W, 3) integers or floats, x, y and z by `ScanGeometry.axes`; zero or not finite where nothing was
            measured.
        rgb: (H, W, 3) uint8, the image in the file; None where it has none.
        notes: what was lost by it, a sentence each.
    """

    points: npt.NDArray[Any]
    rgb: npt.NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()


def arranged(stored: Stored, geometry: ScanGeometry = AS_STORED) -> Arranged:
    """Bring what a file holds to the pixels of the sensor.

    Raises:
        ScanError: the geometry does not say how, or does not fit the file.
    """
    notes: tuple[str, ...] = ()
    if stored.is_pixels:
        points = _by_axes(_of_pixels(stored, geometry), geometry)
    else:
        points = _by_axes(_without_marks(stored.numbers, geometry), geometry)
    if stored.is_unorganized:
        points, notes = _organized(points, geometry)
    if stored.rgb is not None and stored.rgb.shape[:2] != points.shape[:2]:
        raise ScanError(f"holds an image of {stored.rgb.shape[:2]} pixels, its scan has {points.shape[:2]}")
    return Arranged(points, stored.rgb, notes)


def mark_of(numbers: npt.NDArray[Any], marks: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    """Which numbers are one of some marks, compared as their type holds these: a bool each."""
    kind = numbers.dtype
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            held = np.array(marks).astype(kind)
    else:
        limits = np.iinfo(kind)
        whole = [int(mark) for mark in marks if float(mark).is_integer() and limits.min <= mark <= limits.max]
        held = np.array(whole, kind)
    marked: npt.NDArray[np.bool_] = np.zeros(numbers.shape, bool)
    for mark in held:
        marked |= numbers == mark
    return marked


def _of_pixels(stored: Stored, geometry: ScanGeometry) -> npt.NDArray[np.float64]:
    """(H, W, 3) in the file's unit, (0, 0, 0) where nothing was measured."""
    numbers = stored.numbers
    shape = f"{numbers.shape[0]} x {numbers.shape[1]} {numbers.dtype.name}"
    if numbers.dtype.itemsize == 1:
        raise ScanError(f"is an 8-bit gray image ({shape}), not a scan: depths and heights have 16 bits or floats")
    intrinsics = _camera(stored, geometry)
    if intrinsics is not None:
        return _points_of_depths(numbers, intrinsics, geometry)
    if geometry.height_grid is not None:
        return _points_of_heights(numbers, geometry.height_grid, geometry.missing)
    raise ScanError(
        f"holds one number per pixel ({shape}), a depth or a height map, but does not say which: give the camera with "
        "--set geometry.intrinsics=FX,FY,CX,CY, or the grid with --set geometry.height_grid=X_PITCH,Y_PITCH (or in "
        "--sensor FILE), or save H x W x 3"
    )


def _camera(stored: Stored, geometry: ScanGeometry) -> Intrinsics | None:
    """The camera of a depth image; None: it is none.

    Raises:
        ScanError: the file and the geometry say different things.
    """
    own, given = stored.intrinsics, geometry.intrinsics
    if own is None:
        return given
    if geometry.height_grid is not None:
        raise ScanError("holds a camera's intrinsics, but geometry.height_grid says that it is a height map: drop one")
    if given is not None:
        pairs = zip(_four(own), _four(given), strict=True)
        if any(abs(one - other) > _SAME_INTRINSICS * max(abs(one), abs(other), 1) for one, other in pairs):
            raise ScanError(
                f"holds the intrinsics fx, fy, cx, cy = {_in_words(own)}, but geometry.intrinsics is "
                f"{_in_words(given)}: remove the wrong ones"
            )
    return own


def _points_of_depths(
    numbers: npt.NDArray[Any], intrinsics: Intrinsics, geometry: ScanGeometry
) -> npt.NDArray[np.float64]:
    """x = (u - cx) z / fx, y = (v - cy) z / fy; see `Intrinsics`."""
    measured = np.isfinite(numbers) & (numbers != 0) & ~mark_of(numbers, geometry.missing)
    negative = measured & (numbers < 0)
    if negative.any():
        raise ScanError(
            f"has {int(negative.sum())} depths below zero, such as {numbers[negative][0]:g}: if this marks missing "
            "points, say so with --set geometry.missing"
        )
    depth = np.where(measured, numbers, 0).astype(np.float64) * (geometry.depth_scale or 1.0)
    x = (np.arange(numbers.shape[1]) - intrinsics.cx) / intrinsics.fx * depth
    y = (np.arange(numbers.shape[0]) - intrinsics.cy)[:, None] / intrinsics.fy * depth
    return np.stack([x, y, depth], axis=-1)


def _points_of_heights(
    numbers: npt.NDArray[Any], grid: HeightGrid, marks: tuple[float, ...]
) -> npt.NDArray[np.float64]:
    """Pixels of one pitch, as `HeightGrid` says; a measured one is never (0, 0, 0), for x is half a pitch or more."""
    height, width = numbers.shape
    measured = np.isfinite(numbers) & ~mark_of(numbers, marks)
    points = np.zeros((height, width, 3))
    points[..., 0] = (np.arange(width) + 0.5) * grid.x_pitch
    points[..., 1] = (height - np.arange(height)[:, None] - 0.5) * grid.y_pitch
    points[..., 2] = np.where(measured, numbers, 0).astype(np.float64) * grid.z_scale + grid.z_offset
    points[~measured] = 0
    return points


def _without_marks(points: npt.NDArray[Any], geometry: ScanGeometry) -> npt.NDArray[Any]:
    """The points, zero where a coordinate is a mark; 0 is one of the coordinate that becomes z alone."""
    if not geometry.missing:
        return points
    marked = np.logical_or.reduce(mark_of(points, tuple(mark for mark in geometry.missing if mark != 0)), axis=-1)
    if 0 in geometry.missing:
        marked |= points[..., geometry.axis_order()[0][2]] == 0
    return np.where(marked[..., None], points.dtype.type(0), points)


def _by_axes(points: npt.NDArray[Any], geometry: ScanGeometry) -> npt.NDArray[Any]:
    order, signs = geometry.axis_order()
    if (order, signs) == ((0, 1, 2), (1, 1, 1)):
        return points
    turned = points[..., order]
    if min(signs) > 0:
        return turned
    if turned.dtype.kind != "f":
        # The least integer has no opposite, and unsigned ones have none.
        turned = turned.astype(np.float64) if turned.dtype.itemsize == 8 else turned.astype(np.int64)
    return turned * np.array(signs, turned.dtype)


def _organized(points: npt.NDArray[Any], geometry: ScanGeometry) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Points (N, 3) on the sensor's pixels, (H, W, 3), and what was lost by it."""
    if geometry.grid is not None:
        width, height = geometry.grid
        if len(points) != width * height:
            kind = DamagedScanError if len(points) < width * height else ScanError
            raise kind(
                f"has {len(points)} points, and geometry.grid is {width} x {height} = {width * height}: give the "
                "sensor's own grid, or geometry.projection if points are left out where nothing was measured"
            )
        return points.reshape(height, width, 3), ()
    if geometry.projection is None:
        raise ScanError(
            f"is an unorganized point cloud (1 x {len(points)}): nothing says which pixel a point belongs to; if they "
            "are stored row by row, give --set geometry.grid=WIDTHxHEIGHT, if not, the image to project them to with "
            "--set geometry.projection=orthographic,WIDTH,HEIGHT,PITCH (or in --sensor FILE), or save it organized"
        )
    with np.errstate(over="ignore"):
        measured = points[np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)].astype(np.float64)
    if not len(measured):
        raise ScanError("has no measured point: check the sensor's exposure and range")
    projected = project(measured, geometry.projection, geometry.intrinsics)
    return projected.points, projected.notes()


def _four(intrinsics: Intrinsics) -> tuple[float, float, float, float]:
    return intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy


def _in_words(intrinsics: Intrinsics) -> str:
    return ", ".join(f"{value:g}" for value in _four(intrinsics))
