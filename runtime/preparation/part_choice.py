"""Which of the things that stand on the plane is the part, and what the scan shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import PartRange
from . import part_view
from .clusters import Clusters
from .part_view import LEAST_OBJECT, MOST_OBJECTS, OtherObject, PartView, box_of, diameter, inner, surface_area
from .several_parts import MOST_PARTS, Thing

# What does not reach the plane is the part only where nothing that does has at least this share of its size: a flat
# box seen from above does not, and crumbs that do lie beside it.
_RIVAL = 0.25
# From above, nothing is seen of an overhanging part's foot, nor of a box's sides: something that begins no higher than
# this share of its diameter may still stand on the plane.
_OVERHANG = 0.5
_MEASURED_SIDE = 150  # pixels along a thing's longer side are enough to tell its size to a percent
_FEW = 200
_DEPTH_SHARES = (0.01, 0.99)  # of the part's points: flying pixels lie beyond

_Mask = npt.NDArray[np.bool_]
_Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PiecesInView:
    """What stands in view, in pieces.

    Attributes:
        planes: (3, H, W) float32: x, y and z in meters.
        valid: (H, W) bool, what was measured.
        mask: (H, W) bool, what may be part.
        clusters: of `mask`.
        heights: (H, W) float32, above the plane, meters; None where none was removed.
        reach_m: what begins this near the plane reaches it, meters.
        field: the rows and columns that end what is looked at: of a raw scan the box of what was measured, else the
            image or its region of interest.
        measured: the things that were looked at, by their clusters' numbers: each is thinned and measured once.
    """

    planes: _Planes
    valid: _Mask
    mask: _Mask
    clusters: Clusters
    heights: npt.NDArray[np.float32] | None
    reach_m: float
    field: tuple[slice, slice]
    measured: dict[int, _Body] = dataclass_field(default_factory=dict, init=False, repr=False)

    def body(self, number: int) -> _Body:
        """The thing that is the cluster `number`, from 1."""
        if number not in self.measured:
            self.measured[number] = _Body.of(self, self.clusters.mask(number))
        return self.measured[number]


def objects_among(clusters: Clusters, most: int = MOST_OBJECTS) -> int:
    """How many clusters, the largest first, are large enough to be an object; at most `most`."""
    sizes = clusters.sizes[:most]
    return int(np.count_nonzero(sizes >= LEAST_OBJECT * sizes[0]))


def choose_part(pieces: PiecesInView, expected: PartRange | None) -> int:
    """The number of the cluster that is the part.

    Where calibration said what to expect, what is most like that. Else the largest of those that reach down to the
    plane, but for one that does not and is far larger.
    """
    objects = range(1, 1 + objects_among(pieces.clusters))
    if len(objects) == 1:
        return 1
    if expected is not None and expected.diameter_m is not None:
        return min(objects, key=lambda number: _misfit(pieces.body(number), expected))
    sizes = pieces.clusters.sizes
    rivals = (number for number in objects if sizes[number - 1] >= _RIVAL * sizes[0])
    return next((number for number in rivals if (pieces.body(number).begins_m or 0.0) <= pieces.reach_m), 1)


def things_in(pieces: PiecesInView, most: int) -> list[Thing]:
    """The objects in view with their sizes, the largest first; at most `most`."""
    bodies = {number: pieces.body(number) for number in range(1, 1 + objects_among(pieces.clusters, most))}
    return [Thing(number, body.diameter_m, body.area_m2, body.window) for number, body in bodies.items()]


@dataclass(frozen=True)
class Beside:
    """What stands in view beside the parts of a scan; see `PartView`.

    Attributes:
        inspected_share: of all that stands there, the parts' share.
        objects: the others, the largest first, 16 at most.
    """

    inspected_share: float
    objects: tuple[OtherObject, ...]

    @classmethod
    def of(cls, pieces: PiecesInView, parts: Sequence[int]) -> Beside:
        """What is beside these clusters."""
        objects = range(1, 1 + objects_among(pieces.clusters, MOST_PARTS))
        others = [number for number in objects if number not in parts][:MOST_OBJECTS]
        share = sum(pieces.body(part).pixels for part in parts) / int(np.count_nonzero(pieces.mask))
        return cls(share, tuple(pieces.body(number).as_object() for number in others))


def view_of(
    pieces: PiecesInView, part: int, plane_rms_m: float | None, empty_margin: int, beside: Beside | None = None
) -> PartView:
    """What the scan shows of the cluster `part`; of the plane only its residual.

    Args:
        pieces: what stands in view.
        part: its cluster.
        plane_rms_m, empty_margin: see `PartView`.
        beside: what stands beside all parts of the scan; None: this is the only one, of a preprocessed scan with all
            strays, which are inspected too.
    """
    body = pieces.body(part)
    with_strays = beside is None and pieces.heights is None
    pixels = int(np.count_nonzero(pieces.mask)) if with_strays else body.pixels
    beside = beside or Beside.of(pieces, (part,))
    diameter_m, begins_m = body.diameter_m, body.begins_m
    return PartView(
        part_pixels=pixels,
        diameter_px=body.step * part_view.outline_diameter(body.mask),
        diameter_m=diameter_m,
        area_m2=body.area_m2,
        center_m=body.center_m(),
        row=(body.window[0].start + body.window[0].stop - 1) // 2,
        column=(body.window[1].start + body.window[1].stop - 1) // 2,
        on_plane=None if begins_m is None else begins_m <= max(pieces.reach_m, _OVERHANG * diameter_m),
        clearance_m=begins_m,
        inspected_share=1.0 if with_strays else beside.inspected_share,
        measured_share=part_view.measured_share(body.mask, body.valid),
        touches_border=part_view.border_share(
            pieces.clusters.labels[body.window] == part, _edges(body.window, pieces.field)
        ),
        other_objects=beside.objects,
        plane_rms_m=plane_rms_m,
        empty_margin=empty_margin,
        depth_m=body.depth_m(),
        box=box_of(body.window),
        grid=(pieces.valid.shape[0], pieces.valid.shape[1]),
    )


@dataclass(frozen=True)
class _Body:
    """One thing in view, thinned to pixels enough to measure it.

    Attributes:
        window: its bounding box.
        pixels: of the scan that show it.
        step: how many pixels of the scan are one here.
        mask: (h, w) bool.
        planes: (3, h, w) float32, meters.
        valid: (h, w) bool, what was measured.
        heights: (h, w) float32, above the plane, meters; None where none was removed.
    """

    window: tuple[slice, slice]
    pixels: int
    step: int
    mask: _Mask
    planes: _Planes
    valid: _Mask
    heights: npt.NDArray[np.float32] | None

    @classmethod
    def of(cls, pieces: PiecesInView, mask_hw: _Mask) -> _Body:
        """A thing by its pixels (H, W)."""
        rows, columns = window = bounds(mask_hw)
        step = -(-max(rows.stop - rows.start, columns.stop - columns.start) // _MEASURED_SIDE)
        pixels = int(np.count_nonzero(mask_hw))
        if pixels < _FEW * step * step:
            step = 1
        thin = slice(rows.start, rows.stop, step), slice(columns.start, columns.stop, step)
        mask = mask_hw[thin].copy()
        planes = pieces.planes[:, thin[0], thin[1]].copy()
        heights = None if pieces.heights is None else pieces.heights[thin]
        return cls(window, pixels, step, mask, planes, pieces.valid[thin], heights)

    @cached_property
    def _points(self) -> npt.NDArray[np.float32]:
        """Its points, (3, n), meters: unlike an index, `compress` leaves coordinates contiguous."""
        return self.planes.reshape(3, -1).compress(self.mask.ravel(), axis=1)

    @cached_property
    def begins_m(self) -> float | None:
        """How far above the plane it begins, meters; None where none was removed."""
        return None if self.heights is None else part_view.clearance(self.heights.ravel().compress(self.mask.ravel()))

    @cached_property
    def diameter_m(self) -> float:
        """The largest distance between two points of it, meters."""
        return diameter(self.planes.reshape(3, -1).compress(inner(self.mask).ravel(), axis=1))

    @cached_property
    def area_m2(self) -> float:
        """The area of its surface that is seen, square meters."""
        return surface_area(self.planes, self.mask)

    def center_m(self) -> tuple[float, float, float]:
        """The mean of its points, meters."""
        x, y, z = self._points.mean(axis=1, dtype=np.float64).tolist()
        return x, y, z

    def depth_m(self) -> tuple[float, float]:
        """The first and the 99th percentile of z, meters."""
        depths = self._points[2]
        places = [int(share * (len(depths) - 1)) for share in _DEPTH_SHARES]
        near, far = np.partition(depths, places)[places].tolist()
        return near, far

    def as_object(self) -> OtherObject:
        """The same as something beside a part."""
        row, column = ((side.start + side.stop - 1) // 2 for side in self.window)
        return OtherObject(self.pixels, self.diameter_m, row, column)


def _misfit(body: _Body, expected: PartRange) -> float:
    return expected.misfit(body.diameter_m, body.area_m2)


def _edges(window: tuple[slice, slice], field: tuple[slice, slice]) -> tuple[bool, bool, bool, bool]:
    """Which of a window's sides (top, bottom, left, right) are the field's."""
    (rows, columns), (all_rows, all_columns) = window, field
    return (
        rows.start == all_rows.start,
        rows.stop == all_rows.stop,
        columns.start == all_columns.start,
        columns.stop == all_columns.stop,
    )


def bounds(mask_hw: _Mask) -> tuple[slice, slice]:
    """The rows and columns that a mask (H, W) lies in; it is not empty."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
