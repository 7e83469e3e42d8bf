"""A part as a cloud in the heat map's colors, for programs that show points: PLY, binary, little-endian.

The vertices are followed by a range grid, as in Stanford's scans: it says which vertex each pixel of the scan shows, so
the file is an organized scan too. Programs that do not know range grids skip it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from ..files.atomic import atomic_write
from ..sensor.missing import valid_mask
from ..sensor.origin import Vector
from .heatmap import point_colors

_COLORS = ("red", "green", "blue")


class Inspected(Protocol):
    """The attributes of an `Inspection` that a cloud shows."""

    @property
    def points(self) -> npt.NDArray[np.float32] | None:
        """(H, W, 3), meters, relative to `origin`."""

    @property
    def map(self) -> npt.NDArray[np.float32]:
        """(H, W), the anomaly map."""

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """(H, W), the part."""

    @property
    def pixel_threshold(self) -> float:
        """The map value above which a pixel is marked."""

    @property
    def origin(self) -> Vector:
        """What was subtracted from the file's coordinates, meters."""


def write_cloud(path: str | Path, inspection: Inspected, everything: bool = False) -> None:
    """Write a part's points in the file's coordinates, meters, with the heat map's colors and the map as `score`.

    Coordinates are float32, or float64 if the scan is far from its origin. Equal input gives equal bytes.

    Args:
        path: the PLY file; its folder is created.
        inspection: of a part with points.
        everything: write all measured points, not only the part's; the others are dark and have a score of NaN, as
            nothing was inspected there.

    Raises:
        UsageError: the inspection is of an image alone.
        OutputError: the file cannot be written.

    Example:
        >>> write_cloud("part.ply", inspector("scan.tiff"))  # doctest: +SKIP
    """
    if inspection.points is None:
        raise UsageError("a cloud needs points, and this is an inspection of an image alone: leave the cloud out")
    written = valid_mask(inspection.points)
    if not everything:
        written &= inspection.valid
    vertices = _vertices(inspection, written)
    header = _header(vertices, written.shape)
    with atomic_write(path) as stream:
        stream.write(header)
        stream.write(vertices.data)
        stream.write(_range_grid(written).data)


def _vertices(inspection: Inspected, written_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.void]:
    """(N,) records of a point, its color and its score."""
    assert inspection.points is not None
    kind = "<f8" if any(inspection.origin) else "<f4"
    fields = [*((axis, kind) for axis in "xyz"), *((color, "u1") for color in _COLORS), ("score", "<f4")]
    vertices = np.empty(np.count_nonzero(written_hw), np.dtype(fields))
    points = inspection.points[written_hw]
    for number, axis in enumerate("xyz"):
        vertices[axis] = points[:, number].astype(kind) + inspection.origin[number]
    score, valid = inspection.map[written_hw], inspection.valid[written_hw]
    colors = point_colors(score, valid, inspection.pixel_threshold)
    for number, color in enumerate(_COLORS):
        vertices[color] = colors[:, number]
    vertices["score"] = np.where(valid, score, np.float32(np.nan))
    return vertices


def _header(vertices: npt.NDArray[np.void], shape_hw: tuple[int, ...]) -> bytes:
    coordinate = "double" if vertices.dtype["x"].itemsize == 8 else "float"
    height, width = shape_hw
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        "comment cmdiad: meters, colors of the heat map, score is the anomaly map",
        f"obj_info num_cols {width}",
        f"obj_info num_rows {height}",
        f"element vertex {len(vertices)}",
        *(f"property {coordinate} {axis}" for axis in "xyz"),
        *(f"property uchar {color}" for color in _COLORS),
        "property float score",
        f"element range_grid {height * width}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return "\n".join(lines).encode("ascii") + b"\n"


def _range_grid(written_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """For every pixel a byte 0, or a byte 1 and the number of its vertex in four."""
    written = written_hw.reshape(-1)
    begin = np.cumsum(np.where(written, 5, 1)) - np.where(written, 5, 1)
    grid = np.zeros(written.size + 4 * np.count_nonzero(written), np.uint8)
    starts = begin[written]
    grid[starts] = 1
    numbers = np.arange(len(starts), dtype="<i4").view(np.uint8).reshape(-1, 4)
    for place in range(4):
        grid[starts + 1 + place] = numbers[:, place]
    return grid
