"""Where the defects of a part are and how large: the connected regions of its map above the pixel threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..preparation.part_view import surface_area
from ..sensor.missing import valid_mask
from ..sensor.origin import NEAR, Vector

MOST_REGIONS = 32
_EIGHT_NEIGHBORS = np.ones((3, 3), np.bool_)
_AXES_POINTS = 4096  # are enough to tell how a region lies
# In steps of three degrees a rectangle is turned in search of the smallest.
_TURNS = np.deg2rad(np.arange(0, 90, 3))

_Map = npt.NDArray[np.float32]
_Mask = npt.NDArray[np.bool_]
_Points = npt.NDArray[np.floating]


@dataclass(frozen=True)
class PixelBox:
    """A rectangle of a scan's pixels: its first row and column, and how many of both."""

    row: int
    column: int
    height: int
    width: int

    def slices(self) -> tuple[slice, slice]:
        """The slices of an (H, W) array that it covers."""
        return slice(self.row, self.row + self.height), slice(self.column, self.column + self.width)


@dataclass(frozen=True)
class DefectRegion:
    """Connected pixels of a part whose map is above the pixel threshold.

    Lengths are None for an image alone, and if too little of the region was measured to tell them.

    Attributes:
        number: 1 for the region with the highest peak, and so on.
        of: how many regions the map has; only the first `MOST_REGIONS` of them are described.
        peak_score: the largest map value.
        peak_row, peak_column: the pixel that has it.
        peak_m: the point there in the file's coordinates, meters; None if that pixel was not measured.
        center_m: the mean of its measured points in the file's coordinates, meters.
        length_m, width_m: the sides of the smallest rectangle around its measured points, meters, seen at a right
            angle to the region; both include the outermost pixels as a whole, so a scratch one pixel wide has a width.
        area_m2: the area of its surface, square meters, computed as for a whole part (`surface_area`); if the region is
            a line or a single pixel, the area of a pixel is taken from the part around it.
        pixels: how many pixels it has.
        measured_pixels: how many of them have a point.
        box: the rectangle of pixels around it.
    """

    number: int
    of: int
    peak_score: float
    peak_row: int
    peak_column: int
    peak_m: Vector | None
    center_m: Vector | None
    length_m: float | None
    width_m: float | None
    area_m2: float | None
    pixels: int
    measured_pixels: int
    box: PixelBox

    def as_json(self) -> dict[str, Any]:
        """The object in `regions` of `infer --json`; the number of regions is given beside the list."""
        values = asdict(self)
        del values["of"]
        return values


@dataclass(frozen=True)
class _Extent:
    """What a region's points say; see `DefectRegion`."""

    center_m: Vector | None = None
    length_m: float | None = None
    width_m: float | None = None
    area_m2: float | None = None


def find_regions(
    map_hw: _Map,
    valid_hw: _Mask,
    pixel_threshold: float,
    points_hw3: _Points | None = None,
    origin: Vector = NEAR,
) -> tuple[DefectRegion, ...]:
    """The connected regions (8 neighbors) of a part's pixels above the pixel threshold, the highest peak first.

    At most `MOST_REGIONS` are described; the first of them says how many there are (`of`).

    Args:
        map_hw: (H, W) float32, the anomaly map.
        valid_hw: (H, W) bool, the part.
        pixel_threshold: the map value above which a pixel is marked.
        points_hw3: (H, W, 3), meters, relative to `origin`; missing ones zero or not finite. None for an image alone.
        origin: what was subtracted from the file's coordinates, meters.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> map_hw = np.zeros((5, 6), np.float32)
        >>> map_hw[1:3, 2:5] = 2.0
        >>> [(region.pixels, region.box.row) for region in find_regions(map_hw, np.ones((5, 6), bool), 1.0)]
        [(6, 1)]
    """
    if valid_hw.shape != map_hw.shape or (points_hw3 is not None and points_hw3.shape != (*map_hw.shape, 3)):
        raise ValueError("the map, the mask and the points must have the same height and width")
    above = (map_hw > pixel_threshold) & valid_hw
    if not above.any():
        return ()
    frame = _frame(above)
    labels_hw, count = ndimage.label(above[frame.slices()], _EIGHT_NEIGHBORS)
    boxes = ndimage.find_objects(labels_hw)
    scene = _Scene(map_hw, valid_hw, points_hw3, origin)
    highest = enumerate(_highest(labels_hw, map_hw[frame.slices()], count), 1)
    placed = ((number, _placed(boxes[label - 1], labels_hw, label, frame)) for number, label in highest)
    return tuple(scene.describe(number, count, *place) for number, place in placed)


def merged_regions(of_parts: Sequence[tuple[DefectRegion, ...]]) -> tuple[DefectRegion, ...]:
    """The regions of all parts of a scan, the highest peak first, numbered anew; at most `MOST_REGIONS`."""
    count = sum(regions[0].of for regions in of_parts if regions)
    highest = sorted((region for regions in of_parts for region in regions), key=lambda region: -region.peak_score)
    return tuple(replace(region, number=number, of=count) for number, region in enumerate(highest[:MOST_REGIONS], 1))


@dataclass(frozen=True)
class _Scene:
    """What all regions of a part are cut out of; see `find_regions`."""

    map_hw: _Map
    valid_hw: _Mask
    points_hw3: _Points | None
    origin: Vector

    def describe(self, number: int, of: int, box: PixelBox, mask: _Mask) -> DefectRegion:
        """One region: its box, and the pixels of it that are the region's."""
        values = np.where(mask, self.map_hw[box.slices()], -np.inf)
        row, column = divmod(int(values.argmax()), box.width)
        measured = self._measured(box, mask)
        extent = _Extent() if self.points_hw3 is None else self._extent(box, mask, measured)
        return DefectRegion(
            number=number,
            of=of,
            peak_score=float(values[row, column]),
            peak_row=box.row + row,
            peak_column=box.column + column,
            peak_m=self._located(box.row + row, box.column + column) if measured[row, column] else None,
            center_m=extent.center_m,
            length_m=extent.length_m,
            width_m=extent.width_m,
            area_m2=extent.area_m2,
            pixels=int(np.count_nonzero(mask)),
            measured_pixels=int(np.count_nonzero(measured)),
            box=box,
        )

    def _measured(self, box: PixelBox, mask: _Mask) -> _Mask:
        if self.points_hw3 is None:
            return np.zeros_like(mask)
        measured: _Mask = mask & valid_mask(self.points_hw3[box.slices()])
        return measured

    def _located(self, row: int, column: int) -> Vector:
        assert self.points_hw3 is not None
        return _in_file(self.points_hw3[row, column].astype(np.float64), self.origin)

    def _extent(self, box: PixelBox, mask: _Mask, measured: _Mask) -> _Extent:
        assert self.points_hw3 is not None
        if not measured.any():
            return _Extent()
        within = self.points_hw3[box.slices()]
        # One axis after the other: along rows of three numbers sums are slow.
        planes = np.stack([within[..., axis][measured] for axis in range(3)])
        center = planes.mean(axis=1, dtype=np.float64)
        pixel_m2 = self._pixel_area(box, measured)
        located = _in_file(center, self.origin)
        if pixel_m2 is None:
            return _Extent(located)
        length, width = _sides(planes, center, within[_row_ends(measured)].astype(np.float64))
        step = float(np.sqrt(pixel_m2))
        return _Extent(located, length + step, width + step, pixel_m2 * int(np.count_nonzero(mask)))

    def _pixel_area(self, box: PixelBox, measured: _Mask) -> float | None:
        """The mean surface of one of a region's pixels, square meters; None where no four neighbors tell it."""
        assert self.points_hw3 is not None
        planes = np.moveaxis(self.points_hw3[box.slices()], -1, 0)
        own = surface_area(planes, measured)
        if own > 0:
            return own / int(np.count_nonzero(measured))
        around = _grown(box, self.valid_hw.shape)
        points = self.points_hw3[around.slices()]
        part = self.valid_hw[around.slices()] & valid_mask(points)
        area = surface_area(np.moveaxis(points, -1, 0), part)
        return area / int(np.count_nonzero(part)) if area > 0 else None


def _frame(above: _Mask) -> PixelBox:
    """The box around all marked pixels: mostly a small piece of the picture."""
    rows, columns = np.flatnonzero(above.any(axis=1)), np.flatnonzero(above.any(axis=0))
    first, left = int(rows[0]), int(columns[0])
    return PixelBox(first, left, int(rows[-1]) + 1 - first, int(columns[-1]) + 1 - left)


def _highest(labels_hw: npt.NDArray[np.integer], map_hw: _Map, count: int) -> Sequence[int]:
    """The labels of the highest peaks; of equal ones the first in reading order."""
    peaks = np.full(count + 1, -np.inf, np.float32)
    marked = np.flatnonzero(labels_hw)
    np.maximum.at(peaks, labels_hw.reshape(-1)[marked], map_hw.reshape(-1)[marked])
    order = np.argsort(-peaks[1:], kind="stable")[:MOST_REGIONS]
    return [int(label) + 1 for label in order]


def _placed(
    within: tuple[slice, slice], labels_hw: npt.NDArray[np.integer], label: int, frame: PixelBox
) -> tuple[PixelBox, _Mask]:
    """A region's box in the whole picture, and its pixels in it."""
    rows, columns = within
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return PixelBox(frame.row + rows.start, frame.column + columns.start, height, width), labels_hw[within] == label


def _grown(box: PixelBox, shape_hw: tuple[int, ...]) -> PixelBox:
    """A box with a pixel more on every side, where there is one."""
    row, column = max(box.row - 1, 0), max(box.column - 1, 0)
    last_row = min(box.row + box.height + 1, shape_hw[0])
    last_column = min(box.column + box.width + 1, shape_hw[1])
    return PixelBox(row, column, last_row - row, last_column - column)


def _in_file(point: npt.NDArray[np.float64], origin: Vector) -> Vector:
    x, y, z = (float(value) + offset for value, offset in zip(point, origin, strict=True))
    return x, y, z


def _sides(
    planes_3n: _Points, center: npt.NDArray[np.float64], outline_n3: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Length and width of the smallest rectangle around an outline, in the plane of a region's principal axes.

    The principal axes themselves are the first candidate; alone they would measure a square along its diagonal.
    """
    offsets = planes_3n[:, :: -(-planes_3n.shape[1] // _AXES_POINTS)] - center[:, None]
    # Not a matrix product: BLAS would split this thin one over threads.
    spread = np.einsum("in,jn->ij", offsets, offsets)
    axes = np.linalg.eigh(spread)[1][:, :0:-1]
    flat = (outline_n3 - center) @ axes
    turned = np.stack([np.cos(_TURNS), np.sin(_TURNS)]), np.stack([-np.sin(_TURNS), np.cos(_TURNS)])
    extents = np.stack([np.ptp(flat @ direction, axis=0) for direction in turned])
    first, second = extents[:, int(extents.prod(axis=0).argmin())]
    return float(max(first, second)), float(min(first, second))


def _row_ends(mask: _Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the first and the last pixel of every row: all corners of a mask's hull are among them."""
    rows = np.flatnonzero(mask.any(axis=1))
    first, last = mask[rows].argmax(axis=1), mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([rows, rows]), np.concatenate([first, last])
