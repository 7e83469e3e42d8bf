"""What a scan shows of its part: how large, where, how much of it was measured, and what else is in view."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..sensor.origin import Vector

# What else stands there is an object where it has this share of the part's pixels. On scenes of a Kinect the smaller
# objects have 12 % of the largest and more; neither there nor on synthetic scans does noise make a cluster.
LEAST_OBJECT = 0.02
MOST_OBJECTS = 16
_DIRECTIONS = 32
_EXTREME_POINTS = 1500
_AREA_STEPS = 48  # along the part's side; the noise of shorter steps would count as area
# Pixels of nothing on every side: raw scans reach the image's border on one side at least.
_LEAST_MARGIN = 9
_LOWEST = 0.01  # of a part's points may lie lower than where it begins: flying pixels

_Mask = npt.NDArray[np.bool_]
_Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class OtherObject:
    """Something beside the part that stands there too.

    Attributes:
        pixels: of the scan that show it.
        diameter_m: the largest distance between two of its points, meters; None for an image.
        row, column: the middle of its bounding box, pixels.
    """

    pixels: int
    diameter_m: float | None
    row: int
    column: int


@dataclass(frozen=True)
class PartView:
    """What was seen of a part. Lengths are None for an image without a scan.

    Attributes:
        part_pixels: pixels of the scan that show the part.
        diameter_px: the largest distance between two of them, pixels.
        diameter_m: the largest distance between two of its points, meters, without its outermost pixels, which may be
            strays.
        area_m2: the area of the surface that is seen, square meters.
        center_m: the mean of its points, meters.
        row, column: the middle of its bounding box, pixels.
        on_plane: whether it may stand on the supporting plane: it reaches down to it, or begins above it by no more
            than half its diameter, as overhanging parts do; None if no plane was removed.
        clearance_m: how far above the plane it begins, meters; None if no plane was removed.
        inspected_share: the part's share of all pixels that stand on the plane; 1 if no plane was removed.
        measured_share: how much of the part's silhouette (all pixels between two of the part's, in their row and in
            their column) was measured.
        touches_border: the share of the part's outline, pixels, that the edge of the measured field cuts off.
        other_objects: other things there with at least 2 % of the part's pixels, the largest first, 16 at most.
        plane_rms_m: the root mean square distance of the plane's points from it, meters; None without one.
        empty_margin: how many pixels around all that was measured are empty, on the side with the fewest; 0 if no plane
            was removed.
        plane_normal: of the supporting plane, towards where parts stand, of length 1; None without one.
        plane_origin_m: how far before the plane the origin of the file's coordinates is, meters; None without one.
        depth_m: the first and the 99th percentile of the z of its points, meters; None for an image.
        box: its bounding box: first row, first column, height and width, pixels.
        grid: rows and columns of the scan.
    """

    part_pixels: int
    diameter_px: float
    diameter_m: float | None
    area_m2: float | None
    center_m: tuple[float, float, float] | None
    row: int
    column: int
    on_plane: bool | None
    clearance_m: float | None
    inspected_share: float
    measured_share: float
    touches_border: float
    other_objects: tuple[OtherObject, ...]
    plane_rms_m: float | None
    empty_margin: int
    plane_normal: tuple[float, float, float] | None = None
    plane_origin_m: float | None = None
    depth_m: tuple[float, float] | None = None
    box: tuple[int, int, int, int] | None = None
    grid: tuple[int, int] | None = None

    @property
    def is_framed(self) -> bool:
        """Whether nothing was measured around it on every side, as in scans whose background was removed."""
        return self.empty_margin >= _LEAST_MARGIN

    def center_from(self, origin: Vector) -> Vector | None:
        """Its center in the file's coordinates, meters, from which `origin` was subtracted; None for an image."""
        if self.center_m is None:
            return None
        x, y, z = map(sum, zip(self.center_m, origin, strict=True))
        return x, y, z


def box_of(window: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """First row, first column, height and width of a window of rows and columns."""
    rows, columns = window
    return rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start


def diameter(points_dn: npt.NDArray[np.floating]) -> float:
    """The largest distance between two of (D, N) points that are extreme in any of 32 directions: to two percent."""
    dimension, n_points = points_dn.shape
    if not n_points:
        return 0.0
    chosen = points_dn[:, :: -(-n_points // _EXTREME_POINTS)]
    # Not a matrix product: BLAS would split this thin one over threads, which costs more than it saves.
    reached = np.einsum("da,dn->an", _directions(dimension).T, chosen.astype(np.float32))
    extreme = chosen[:, np.unique([reached.argmin(axis=1), reached.argmax(axis=1)])].astype(np.float64)
    between = extreme[:, :, None] - extreme[:, None, :]
    return float(np.sqrt(np.sum(np.square(between), axis=0).max()))


def inner(part_hw: _Mask) -> _Mask:
    """The part without its outermost pixels; the part itself where these are most of it."""
    inside = part_hw.copy()
    inside[0] = inside[-1] = False
    inside[:, 0] = inside[:, -1] = False
    inside[1:-1] &= part_hw[:-2] & part_hw[2:]
    inside[:, 1:-1] &= part_hw[:, :-2] & part_hw[:, 2:]
    if 2 * np.count_nonzero(inside) < np.count_nonzero(part_hw):
        return part_hw
    return inside


def surface_area(planes_3hw: _Planes, part_hw: _Mask) -> float:
    """The area of a part's surface, square meters: its pixels times the mean area of one, told by the grid's steps."""
    count = np.count_nonzero(part_hw)
    step = max(1, round(np.sqrt(count) / _AREA_STEPS))
    for stride in (step, 1):
        corners = planes_3hw[:, ::stride, ::stride].astype(np.float64)
        whole = part_hw[::stride, ::stride]
        whole = whole[:-1, :-1] & whole[1:, 1:] & whole[:-1, 1:] & whole[1:, :-1]
        if whole.any():
            falling = (corners[:, 1:, 1:] - corners[:, :-1, :-1]).reshape(3, -1).compress(whole.ravel(), axis=1)
            rising = (corners[:, 1:, :-1] - corners[:, :-1, 1:]).reshape(3, -1).compress(whole.ravel(), axis=1)
            # `np.cross` takes four times as long.
            crossed = [falling[i - 2] * rising[i - 1] - falling[i - 1] * rising[i - 2] for i in range(3)]
            areas = 0.5 * np.sqrt(sum(np.square(along) for along in crossed))
            return float(count * areas.mean() / stride**2)
    return 0.0


def measured_share(part_hw: _Mask, valid_hw: _Mask) -> float:
    """The part's share of its silhouette, without pixels that show something else."""
    silhouette = _between(part_hw, axis=0)
    silhouette &= _between(part_hw, axis=1)
    silhouette &= ~valid_hw
    count = np.count_nonzero(part_hw)
    return float(count / (count + np.count_nonzero(silhouette)))


def border_share(part_hw: _Mask, edges: tuple[bool, bool, bool, bool]) -> float:
    """The share of a part's outline (first and last pixels of its rows and columns) on the edges that end the field.

    Args:
        part_hw: (H, W) bool.
        edges: whether the first row, the last row, the first column and the last column end what was measured.
    """
    outline = 2 * int(np.count_nonzero(part_hw.any(axis=0)) + np.count_nonzero(part_hw.any(axis=1)))
    lines = (part_hw[0], part_hw[-1], part_hw[:, 0], part_hw[:, -1])
    cut = sum(int(np.count_nonzero(line)) for line, ends in zip(lines, edges, strict=True) if ends)
    return float(cut / max(1, outline))


def clearance(heights_n: npt.NDArray[np.floating]) -> float:
    """Where a part begins above the plane: the height under which a hundredth of its points lie, meters."""
    position = int(_LOWEST * len(heights_n))
    return float(np.partition(heights_n, position)[position])


def outline_diameter(mask_hw: _Mask) -> float:
    """The largest distance between two pixels of a mask, pixels: from the ends of its rows, which hold both."""
    rows = np.flatnonzero(mask_hw.any(axis=1))
    first = mask_hw[rows].argmax(axis=1)
    last = mask_hw.shape[1] - 1 - mask_hw[rows, ::-1].argmax(axis=1)
    return diameter(np.stack([np.concatenate([rows, rows]), np.concatenate([first, last])]).astype(np.float64))


@lru_cache(maxsize=2)
def _directions(dimension: int) -> npt.NDArray[np.float32]:
    """Unit vectors spread evenly over half a circle, or half a sphere by the golden angle: (32, D)."""
    number = np.arange(_DIRECTIONS) + 0.5
    if dimension == 2:
        angle = np.pi * number / _DIRECTIONS
        return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    up = number / _DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5)) * number
    flat = np.sqrt(1 - up**2)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), up], axis=1).astype(np.float32)


def _between(mask_hw: _Mask, axis: int) -> _Mask:
    """Pixels between the first and the last of a mask along an axis."""
    place = np.arange(mask_hw.shape[axis], dtype=np.int32).reshape((-1, 1) if axis == 0 else (1, -1))
    first = mask_hw.argmax(axis=axis, keepdims=True).astype(np.int32)
    last = mask_hw.shape[axis] - 1 - np.flip(mask_hw, axis).argmax(axis=axis, keepdims=True).astype(np.int32)
    between: _Mask = (place > first) & (place < last) & mask_hw.any(axis=axis, keepdims=True)
    return between
