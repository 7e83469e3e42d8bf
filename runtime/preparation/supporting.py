"""The plane that parts stand on: is there one in this scan, how sure is that, and on which side do parts stand?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Preprocessing
from ..sensor.origin import NEAR, Vector
from .plane import Plane, find_plane, median, refine_plane, thinned

Verdict = Literal["raw", "preprocessed", "unclear"]
Side = Literal["origin", "grid", "mirrored"]

_JUDGED_POINTS = 10_000  # fix every share to half a percent
# A plane is a peak of the heights: so much denser than just beside it. Raw scans with the sensor's preset have 200 and
# more, with another sensor's 22; round parts that were cut out, whose rim happens to lie near a plane, at most 4.2.
_LEAST_PEAK = 5.0
# Nothing lies close behind what carries everything: at most 0.15 % of its points in raw scans, even with another
# sensor's preset. Beside a box's own face lie its other faces: 1.9 % and more.
_MOST_BEHIND = 0.01
# A plane that ends within the image is the part's own, but where it reaches the image's border here and there, or fills
# its bounding box's border, it may be a table as well: one scan does not tell.
_SOME_BORDER, _SOME_FIELD = 0.02, 0.4
# An image whose border is measured to this share shows what lies around a part.
_FILLED_BORDER = 0.5
# Less than this on a plane is noise.
_LEAST_STANDING = 0.002
_CLEARLY_MORE = 4
_LEAST_ELEVATION = 0.1  # of the distance to a far origin: 6 degrees

_Mask = npt.NDArray[np.bool_]
_Planes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PlaneEvidence:
    """What one scan says about being raw, and about the plane its part stands on. Shares are of measured points.

    Attributes:
        plane: the best plane through the scan's border, its normal towards where parts stand; None without any.
        rms_m: root mean square distance of the points within `ransac_threshold_m`, meters.
        border_points: how many points it was looked for in.
        border_share: how much of the image's border was measured.
        field_share: the same of the measured points' bounding box.
        box: of the measured points: first row, row after the last, first column, column after the last.
        empty_margin: pixels of nothing around that box, on the side with the least.
        plane_share: points within `ransac_threshold_m` of the plane.
        peak: how much denser they lie than the points just beside it.
        standing_share: points more than `plane_distance_m` before the plane, where parts stand.
        behind_share: points behind it, beyond its noise but so near that they belong to the same thing.
        origin_m: how far before the plane, on its grid's viewer's side, the origin of the coordinates is; meters.
        grid_side: whether parts stand on the side of the viewer of a grid that is not mirrored.
    """

    plane: Plane | None
    rms_m: float
    border_points: int
    border_share: float
    field_share: float
    box: tuple[int, int, int, int]
    empty_margin: int
    plane_share: float = 0.0
    peak: float = 0.0
    standing_share: float = 0.0
    behind_share: float = 0.0
    origin_m: float = 0.0
    grid_side: bool = True

    @property
    def is_surface(self) -> bool:
        """Whether there is a plane, and not merely a band of points near one."""
        return self.plane is not None and self.peak >= _LEAST_PEAK

    @property
    def supports(self) -> bool:
        """Whether the plane is a surface, and whatever adjoins it stands on it."""
        return self.is_surface and self.behind_share <= _MOST_BEHIND * self.plane_share

    @property
    def carries(self) -> bool:
        """Whether something stands on the plane."""
        return self.standing_share >= _LEAST_STANDING

    @property
    def fills_border(self) -> bool:
        """Whether what lies around a part was measured, as far as the border says."""
        return self.border_share >= _FILLED_BORDER

    def verdict(self, border_valid_share: float) -> Verdict:
        """Raw, preprocessed, or not to be told from this scan alone."""
        if not self.supports:
            return "unclear" if self.fills_border else "preprocessed"
        if not self.carries:
            return "raw" if self.fills_border else "preprocessed"
        if self.border_share >= border_valid_share:
            return "raw"
        return "unclear" if self.border_share >= _SOME_BORDER or self.field_share >= _SOME_FIELD else "preprocessed"

    def objection(self) -> str:
        """Why the plane is not one that parts stand on, as the end of a sentence."""
        if self.plane is None:
            return "most of them are not on a common plane"
        if self.peak < _LEAST_PEAK:
            return "the plane nearest to them is not a surface: points next to it are as dense as on it"
        return (
            f"behind the plane that most of them are on is {self.behind_share:.0%} of the scan, before it "
            f"{self.standing_share:.0%}: it is a side of the part"
        )

    def doubt(self) -> str:
        """Why this scan alone does not tell whether it is raw, as the beginning of a sentence."""
        if not self.supports:
            return f"{self.border_share:.0%} of the image's border was measured, but {self.objection()}"
        return (
            f"a plane with {self.plane_share:.0%} of the points carries the others, but it ends within the image: it "
            "may be a table or the part's own plate"
        )


def plane_evidence(
    planes_3hw: _Planes, valid_hw: _Mask, preprocessing: Preprocessing, origin: Vector = NEAR
) -> PlaneEvidence:
    """Look for the supporting plane on the image's border or, where that was not measured, on the measured field's.

    Args:
        planes_3hw: (3, H, W) float32: x, y and z in meters.
        valid_hw: (H, W) bool, the measured pixels; at least one.
        preprocessing: the sensor's parameters.
        origin: what was subtracted from the file's coordinates, meters.
    """
    border_share = _ring_share(valid_hw, preprocessing.border_pixels)
    outermost_first = border_share < preprocessing.border_valid_share
    best = None
    for outermost in (outermost_first, not outermost_first):
        border = (_outermost if outermost else _on_ring)(valid_hw, preprocessing.border_pixels)
        evidence = _judged(planes_3hw, valid_hw, border, border_share, preprocessing, origin)
        if evidence.supports:
            return evidence
        if best is None or not best.is_surface:
            best = evidence
    assert best is not None
    return best


def _judged(
    planes_3hw: _Planes,
    valid_hw: _Mask,
    border: npt.NDArray[np.intp],
    border_share: float,
    preprocessing: Preprocessing,
    origin: Vector,
) -> PlaneEvidence:
    field_share, box, margin = _field(valid_hw, preprocessing.border_pixels)
    plane = _fitted(planes_3hw, valid_hw, border, preprocessing)
    if plane is None:
        return PlaneEvidence(None, 0.0, len(border), border_share, field_share, box, margin)
    step = max(1, int(np.sqrt(valid_hw.size / _JUDGED_POINTS)))
    some_planes, some_valid = np.ascontiguousarray(planes_3hw[:, ::step, ::step]), valid_hw[::step, ::step]
    plane = _towards_viewer(plane, some_planes[:, ::2, ::2], some_valid[::2, ::2])
    # Unlike an index, `compress` leaves coordinates contiguous.
    points_3n = some_planes.reshape(3, -1).compress(some_valid.ravel(), axis=1)
    heights, origin_m = plane.distances(points_3n.T), _height_of_origin(plane, origin)
    extent_m = float(np.linalg.norm([axis.max() - axis.min() for axis in points_3n]))
    on_grid_side = _stands_on_grid_side(heights, origin_m, extent_m, border_share, preprocessing)
    if not on_grid_side:
        plane, heights = Plane(-plane.normal, -plane.offset), -heights
    near = np.abs(heights) <= preprocessing.ransac_threshold_m
    behind = (heights < -2 * preprocessing.ransac_threshold_m) & (heights > -4 * preprocessing.ransac_threshold_m)
    return PlaneEvidence(
        plane=plane,
        rms_m=float(np.sqrt(np.mean(np.square(heights[near], dtype=np.float64)))) if near.any() else 0.0,
        border_points=len(border),
        border_share=border_share,
        field_share=field_share,
        box=box,
        empty_margin=margin,
        plane_share=_share(near),
        peak=_peak(heights, preprocessing.ransac_threshold_m),
        standing_share=_share(heights > preprocessing.plane_distance_m),
        behind_share=_share(behind),
        origin_m=origin_m,
        grid_side=on_grid_side,
    )


def _fitted(
    planes_3hw: _Planes, valid_hw: _Mask, border: npt.NDArray[np.intp], preprocessing: Preprocessing
) -> Plane | None:
    points_3n = planes_3hw.reshape(3, -1)
    plane = find_plane(
        points_3n.take(border, axis=1).T,
        preprocessing.ransac_threshold_m,
        preprocessing.ransac_iterations,
        preprocessing.ransac_sample,
        preprocessing.seed,
    )
    if plane is not None and preprocessing.refine_on == "scan":
        plane = refine_plane(
            points_3n.take(thinned(np.flatnonzero(valid_hw)), axis=1).T, plane, preprocessing.ransac_threshold_m
        )
    return plane


def _peak(heights_n: npt.NDArray[np.floating], threshold_m: float) -> float:
    """How much denser points lie in the core of a plane than just outside its threshold."""
    distances = np.abs(heights_n)
    near = distances[distances <= threshold_m]
    if not len(near):
        return 0.0
    # Two standard deviations, told by the median; a plane without noise still has a width.
    half_width = max(2 * 1.4826 * median(near), 0.01 * threshold_m)
    core = int(np.count_nonzero(distances <= half_width)) / half_width
    beside = int(np.count_nonzero((distances > threshold_m) & (distances <= 2 * threshold_m))) / threshold_m
    # One point more: nothing at all beside it is no proof of infinite density.
    return core / (beside + 1 / threshold_m)


def _height_of_origin(plane: Plane, origin: Vector) -> float:
    """How far before the plane the origin of the file's coordinates is, meters; 0 where that cannot be told.

    A plane's tilt is known to a fraction of a degree: so far away that decides on which side of it the origin lies,
    unless that is well off the plane, as a sensor's is.
    """
    height = plane.offset - float(plane.normal @ np.asarray(origin))
    return height if abs(height) >= _LEAST_ELEVATION * float(np.linalg.norm(origin)) else 0.0


def _stands_on_grid_side(
    heights_n: npt.NDArray[np.floating],
    origin_m: float,
    extent_m: float,
    border_share: float,
    preprocessing: Preprocessing,
) -> bool:
    """Whether parts stand where heights are positive, towards the viewer of a grid that is not mirrored.

    In a camera's frame both its origin and its grid say so. In a frame of the world the origin lies anywhere, and
    grids of height maps are often mirrored: then what adjoins the table decides, for behind it nothing near can be
    seen. Where no table is measured up to the border, that would be the other faces of a preprocessed part.
    """
    if preprocessing.side == "origin":
        return origin_m > 0
    if preprocessing.side != "auto":
        return preprocessing.side == "grid"
    if origin_m > preprocessing.plane_distance_m:
        return True
    if border_share < preprocessing.border_valid_share:
        # Only a camera is as far away as what it sees is wide.
        return origin_m > -extent_m
    for reach in (3 * preprocessing.ransac_threshold_m, np.inf):
        before = int(np.count_nonzero((heights_n > preprocessing.plane_distance_m) & (heights_n < reach)))
        behind = int(np.count_nonzero((heights_n < -preprocessing.plane_distance_m) & (heights_n > -reach)))
        if max(before, behind) > max(_CLEARLY_MORE * min(before, behind), _LEAST_STANDING * len(heights_n)):
            return before > behind
    return True


def _towards_viewer(plane: Plane, planes_3hw: _Planes, valid_hw: _Mask) -> Plane:
    """The same plane, its normal towards the viewer of a right-handed grid that is not mirrored."""
    right, down = _mean_step(planes_3hw, valid_hw, axis=1), _mean_step(planes_3hw, valid_hw, axis=0)
    if float(np.linalg.det([right, down, plane.normal])) > 0:
        return Plane(-plane.normal, -plane.offset)
    return plane


def _mean_step(planes_3hw: _Planes, valid_hw: _Mask, axis: int) -> npt.NDArray[np.float64]:
    """Mean of the vectors from measured points to those an eighth of the bounding box further along an axis."""
    inside = np.flatnonzero(valid_hw.any(axis=1 - axis))
    if not inside.size:
        return np.zeros(3)
    reach = max(1, (int(inside[-1]) - int(inside[0])) // 8)
    points, valid = (planes_3hw, valid_hw) if axis == 0 else (planes_3hw.swapaxes(1, 2), valid_hw.T)
    both = valid[:-reach] & valid[reach:]
    if not both.any():
        return np.zeros(3)
    steps = (points[:, reach:] - points[:, :-reach]).reshape(3, -1).compress(both.ravel(), axis=1)
    step: npt.NDArray[np.float64] = steps.mean(axis=1, dtype=np.float64)
    return step


def _on_ring(valid_hw: _Mask, pixels: int) -> npt.NDArray[np.intp]:
    """The measured pixels along the image's border, by flat indices."""
    ring = _ring(*valid_hw.shape, pixels)
    return ring[valid_hw.take(ring)]


@lru_cache(maxsize=2)
def _ring(height: int, width: int, pixels: int) -> npt.NDArray[np.intp]:
    """The pixels along an image's border, by flat indices."""
    ring = np.ones((height, width), dtype=bool)
    ring[pixels:-pixels, pixels:-pixels] = False
    return np.flatnonzero(ring)


def _ring_share(valid_hw: _Mask, pixels: int) -> float:
    """How much of the border was measured."""
    inside = valid_hw[pixels:-pixels, pixels:-pixels]
    return float((np.count_nonzero(valid_hw) - np.count_nonzero(inside)) / (valid_hw.size - inside.size))


def _outermost(valid_hw: _Mask, pixels: int) -> npt.NDArray[np.intp]:
    """The first and last measured pixels of every row and column, by flat indices."""
    outermost = np.zeros_like(valid_hw)
    for axis in (0, 1):
        count = np.cumsum(valid_hw, axis=axis, dtype=np.int32)
        outermost |= (count <= pixels) | (count > count.max(axis=axis, keepdims=True) - pixels)
    return np.flatnonzero(outermost & valid_hw)


def _field(valid_hw: _Mask, pixels: int) -> tuple[float, tuple[int, int, int, int], int]:
    """How much of the border of the measured pixels' bounding box was measured, the box, and the least margin."""
    rows, columns = np.flatnonzero(valid_hw.any(axis=1)), np.flatnonzero(valid_hw.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    margin = min(top, left, valid_hw.shape[0] - bottom, valid_hw.shape[1] - right)
    return _ring_share(valid_hw[top:bottom, left:right], pixels), (top, bottom, left, right), margin


def _share(mask: _Mask) -> float:
    return float(np.count_nonzero(mask) / max(1, mask.size))
