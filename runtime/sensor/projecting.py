"""Points without any order become an organized cloud: each goes to the pixel of a stated image that it is seen in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bundle.scan_geometry import Intrinsics, Projection
from ..errors import ScanError

_TOLD_SHARE = 0.03
_MOST_OUTSIDE = 0.5
_FEWEST_FILLED = 0.3

_Points = npt.NDArray[np.float64]
_Places = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Projected:
    """Points on the pixels of an image.

    Attributes:
        points: (H, W, 3) float64, in the unit of the points; (0, 0, 0) where no point is.
        total: points that were projected.
        hidden: those that share a pixel with a nearer one.
        outside: those that no pixel sees.
    """

    points: _Points
    total: int
    hidden: int
    outside: int

    def notes(self) -> tuple[str, ...]:
        """What of the scan was lost by it, where that is more than a few percent; a sentence each."""
        notes = []
        if self.hidden > _TOLD_SHARE * self.total:
            notes.append(
                f"{_share(self.hidden, self.total)} are hidden by a nearer point in the same pixel and not inspected: "
                "a smaller pitch, or more pixels, keeps more (geometry.projection)"
            )
        if self.outside > _TOLD_SHARE * self.total:
            notes.append(
                f"{_share(self.outside, self.total)} are outside the image, and are not inspected: make it larger, "
                "or move its center (geometry.projection)"
            )
        filled = self._filled()
        if filled < _FEWEST_FILLED:
            notes.append(
                f"only {filled:.0%} of the pixels between its points are filled: a larger pitch, or fewer pixels, "
                "leaves fewer holes (geometry.projection)"
            )
        return tuple(notes)

    def _filled(self) -> float:
        """Which share of the smallest rectangle around all points has points."""
        taken = (self.points != 0).any(axis=2)
        rows, columns = np.nonzero(taken)
        return float(taken[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean())


def project(points_n3: _Points, projection: Projection, intrinsics: Intrinsics | None) -> Projected:
    """Put points on the pixels of a stated image; of all that meet a pixel, the nearest is kept.

    Args:
        points_n3: (N, 3) measured points, in the unit of `projection.pitch`.
        projection: the image.
        intrinsics: of the camera, for a pinhole projection.

    Raises:
        ScanError: most points lie outside of the image.
    """
    if projection.model == "orthographic":
        columns, rows, distance = _seen_in_parallel(points_n3, projection)
    else:
        assert intrinsics is not None
        columns, rows, distance = _seen_by_camera(points_n3, intrinsics)
    with np.errstate(invalid="ignore"):
        inside = (columns >= 0) & (columns < projection.width) & (rows >= 0) & (rows < projection.height)
    n_inside = int(np.count_nonzero(inside))
    if n_inside < _MOST_OUTSIDE * len(points_n3) or not n_inside:
        raise ScanError(
            f"has {_share(len(points_n3) - n_inside, len(points_n3))} outside the {projection.width} x "
            f"{projection.height} pixels that it is projected to: check geometry.projection, its unit and center"
        )
    pixels = rows[inside].astype(np.int64) * projection.width + columns[inside].astype(np.int64)
    seen = _nearest(pixels, distance[inside])
    image = np.zeros((projection.height * projection.width, 3))
    image[pixels[seen]] = points_n3[inside][seen]
    shape = (projection.height, projection.width, 3)
    return Projected(image.reshape(shape), len(points_n3), n_inside - len(seen), len(points_n3) - n_inside)


def _seen_in_parallel(points_n3: _Points, projection: Projection) -> tuple[_Places, _Places, _Places]:
    """Column, row and distance of every point."""
    assert projection.pitch is not None
    x, y, z = points_n3.T
    if projection.center is None:
        middle = (points_n3[:, :2].min(axis=0) + points_n3[:, :2].max(axis=0)) / 2
    else:
        middle = np.array(projection.center)
    toward = 1.0 if projection.viewed_from == "-z" else -1.0
    columns = np.floor((x - middle[0]) / projection.pitch + projection.width / 2)
    rows = np.floor(toward * (y - middle[1]) / projection.pitch + projection.height / 2)
    return columns, rows, toward * z


def _seen_by_camera(points_n3: _Points, intrinsics: Intrinsics) -> tuple[_Places, _Places, _Places]:
    """The same; points that are not in front of the camera have no column and row."""
    x, y, z = points_n3.T
    depth = np.where(z > 0, z, np.nan)
    columns = np.floor(intrinsics.fx * x / depth + intrinsics.cx + 0.5)
    rows = np.floor(intrinsics.fy * y / depth + intrinsics.cy + 0.5)
    return columns, rows, z


def _nearest(pixels: npt.NDArray[np.int64], distance: _Places) -> npt.NDArray[np.intp]:
    """Of every pixel that has points, the index of the nearest; of equals, the first."""
    order = np.lexsort((distance, pixels))
    first = np.ones(len(order), bool)
    first[1:] = np.diff(pixels[order]) != 0
    return order[first]


def _share(some: int, total: int) -> str:
    return f"{some} of {total} points ({some / max(total, 1):.0%})"
