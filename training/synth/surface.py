"""What parts and defects are made of: a surface with its relief and colors, smooth noise, and places on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse

from .camera import GRID_EXTENT_M

# Single or double precision: a scan is single, but what shapes it need not be.
Floats = npt.NDArray[np.floating[Any]]
Bool = npt.NDArray[np.bool_]
Window = tuple[slice, slice]
Place = tuple[float, float]
Color = tuple[float, float, float]

# Parts live on the middle two thirds of the camera's grid: the rest is plane.
EXTENT_MM = GRID_EXTENT_M * 1000 * 2 / 3

# The standard deviation of a two-dimensional cubic B-spline with unit normal coefficients.
SPLINE_NOISE_STD = 0.48
# Relief may lighten or darken the material by this share at most.
RELIEF_CONTRAST = 0.45


@dataclass(frozen=True)
class SynthPart:
    """A part standing on the plane, on an (N, N) grid (`grid_mm`); lengths in millimeters.

    `height` includes `relief`, the fine texture that wears off; `albedo` (N, N, 3) includes `relief_color` of it;
    `inside` is the color of a fresh fracture. Off the `footprint` height and relief are zero, the rest is not used.
    """

    height: Floats
    relief: Floats
    footprint: Bool
    albedo: Floats
    gloss: Floats
    inside: Color
    color_per_mm: float

    def relief_color(self, relief: Floats) -> Floats:
        """(N, N) factor by which the relief tints the material: grooves hold dirt, crests are worn bright."""
        factor = 1 + self.color_per_mm * relief
        return np.asarray(np.clip(factor, 1 - RELIEF_CONTRAST, 1 + RELIEF_CONTRAST))


def grid_mm(grid_size: int) -> tuple[Floats, Floats]:
    """Plane x and y of every cell, millimeters, each (N, N)."""
    axis = (((np.arange(grid_size) + 0.5) / grid_size - 0.5) * EXTENT_MM).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def painted(amount: Floats | float, color: Color) -> Floats:
    """(N, N, 3): `amount`, (N, N) or a number or already (N, N, 3), of a color."""
    return np.asarray(np.atleast_3d(amount) * np.asarray(color, dtype=np.float32))


def turned(x: Floats, y: Floats, angle: float) -> tuple[Floats, Floats]:
    """Coordinates along and across a direction."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * cos + y * sin, y * cos - x * sin


def window(x: Floats, y: Floats, center: Place, radius_mm: float) -> Window:
    """The block of cells that holds a disc, to work on that alone; `x`, `y` may be turned and scaled a little."""
    near = (np.abs(x - np.float32(center[0])) <= radius_mm) & (np.abs(y - np.float32(center[1])) <= radius_mm)
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def smooth_noise(rng: np.random.Generator, grid_size: int, cell_mm: float) -> Floats:
    """(N, N) noise of unit variance whose features are about two cells wide, the same at every grid size."""
    count = int(np.ceil(EXTENT_MM / cell_mm)) + 3
    weights = _spline_weights(grid_size, count, cell_mm)
    rows = weights @ rng.standard_normal((count, count), dtype=np.float32)
    return np.asarray((weights @ rows.T).T / np.float32(SPLINE_NOISE_STD), dtype=np.float32)


def _spline_weights(grid_size: int, count: int, cell_mm: float) -> sparse.csr_matrix:
    """(N, count) uniform cubic B-spline weights: four neighbors a row; sparse, so no threaded product reorders it."""
    at = (np.arange(grid_size) + 0.5) / grid_size * EXTENT_MM / cell_mm
    first = at.astype(int)
    t = at - first
    taps = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    columns = first[:, None] + np.arange(4)
    rows = np.arange(grid_size + 1) * 4
    return sparse.csr_matrix((taps.ravel().astype(np.float32), columns.ravel(), rows), (grid_size, count))


def smooth_max(a: Floats, b: Floats, fillet_mm: float) -> Floats:
    """The higher of two surfaces with their edge filled over about `fillet_mm`."""
    overlap = np.maximum(np.float32(fillet_mm) - np.abs(a - b), 0)
    return np.asarray(np.maximum(a, b) + overlap**2 / np.float32(4 * fillet_mm))


def smooth_step(low: float, high: float, value: Floats) -> Floats:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def pick_site(part: SynthPart, rng: np.random.Generator, margin_mm: float) -> Place:
    """x, y in millimeters of a random place on the part, away from its outline and its walls where there is room."""
    stride = max(1, part.height.shape[0] // 133)
    height = part.height[::stride, ::stride]
    pitch = EXTENT_MM / height.shape[0]
    slope = np.hypot(*np.gradient(height, pitch))
    level = part.footprint[::stride, ::stride] & (ndimage.uniform_filter(slope, 3) < 1.2)
    for margin in (margin_mm, margin_mm / 2, 0.0):
        width = 2 * int(margin / pitch) + 1
        cells = np.argwhere(ndimage.minimum_filter(level.astype(np.uint8), width))
        if len(cells):
            break
    else:
        cells = np.argwhere(part.footprint[::stride, ::stride])
    return _to_mm(cells, rng, pitch)


def pick_edge(part: SynthPart, rng: np.random.Generator) -> Place:
    """x, y in millimeters of a random place on the part's outer outline."""
    stride = max(1, part.height.shape[0] // 133)
    solid = ndimage.binary_fill_holes(part.footprint[::stride, ::stride])
    edge = solid & ~ndimage.binary_erosion(solid)
    return _to_mm(np.argwhere(edge), rng, EXTENT_MM / solid.shape[0])


def _to_mm(cells: npt.NDArray[np.intp], rng: np.random.Generator, pitch: float) -> Place:
    row, column = cells[int(rng.random() * len(cells))]
    return (column + 0.5) * pitch - EXTENT_MM / 2, (row + 0.5) * pitch - EXTENT_MM / 2
