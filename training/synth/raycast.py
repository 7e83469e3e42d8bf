"""Rays against a height grid: first intersections, and what stands between a point and a lamp.

A ray of the camera, at height h over the plane, is at the plane position `ground + slope * h`: linear in h,
so a march over heights needs one grid look-up a step and no tree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

# A step is one grid cell sideways until a march would need more steps than this.
MAX_STEPS = 48
FALSE_POSITION_STEPS = 3
# Relief lower than this casts no shadow: it also covers the look-ups' rounding to the nearest cell.
SHADOW_BIAS_M = 3e-4
COARSE_CELLS = 8


class Lookup:
    """Reads (N, N) and (N, N, C) grids at fixed fractional cells; beyond the border it reads the border."""

    def __init__(self, columns: Float32, rows: Float32, grid_size: int) -> None:
        row, column = np.clip(rows, 0, grid_size - 1.01), np.clip(columns, 0, grid_size - 1.01)
        whole_row, whole_column = row.astype(np.int32), column.astype(np.int32)
        self._down, self._right = row - whole_row, column - whole_column
        self._index = whole_row * np.int32(grid_size) + whole_column
        self._grid_size = grid_size

    def __call__(self, grid: Float32) -> Float32:
        """Bilinear values, shaped like the places, with the grid's trailing C if it has one."""
        if grid.ndim == 3:
            return np.dstack([self(np.ascontiguousarray(plane)) for plane in np.moveaxis(grid, 2, 0)])
        flat, corner, down, right = grid.reshape(-1), self._index, self._down, self._right
        below = corner + np.int32(self._grid_size)
        upper, lower = flat.take(corner), flat.take(below)
        upper += (flat.take(corner + 1) - upper) * right
        lower += (flat.take(below + 1) - lower) * right
        return np.asarray(upper + (lower - upper) * down)

    def nearest(self, grid: Bool) -> Bool:
        """Values of a boolean (N, N) grid at the nearest cells."""
        step = (self._down > 0.5) * np.int32(self._grid_size) + (self._right > 0.5)
        return np.asarray(grid.reshape(-1).take(self._index + step))


def first_hit(height_m: Float32, ground_xy: Float32, slope_xy: Float32, extent_m: float) -> tuple[Float32, Lookup]:
    """Height (H, W) meters at which each ray first meets the surface from above, and the hits' grid places.

    `ground_xy` (H, W, 2): where the ray would meet the plane; `slope_xy` (H, W, 2): meters aside per meter up.
    """
    size = height_m.shape[0]
    start, per_metre = _in_cells(ground_xy, size, extent_m), slope_xy * np.float32(size / extent_m)
    reach = float(np.abs(per_metre).max() * height_m.max())
    near = _highest_within(height_m, reach, start) > 0
    x, y = start[..., 0][near], start[..., 1][near]
    dx, dy = per_metre[..., 0][near], per_metre[..., 1][near]
    height = np.zeros(near.shape, dtype=np.float32)
    height[near] = _between_levels(height_m, lambda h: (x + dx * h, y + dy * h), _steps(reach))
    at = start + per_metre * height[..., None]
    return height, Lookup(at[..., 0], at[..., 1], size)


def _between_levels(height_m: Float32, place: Callable[[Float32], tuple[Float32, Float32]], steps: int) -> Float32:
    """Height of the first hits of some rays that are at the cells `place(h)` at height h.

    A march over `steps` levels, then false position between the highest level inside the surface and the next.
    """
    size, flat, top = height_m.shape[0], height_m.reshape(-1), height_m.max()
    levels = np.linspace(0, top, steps + 1, dtype=np.float32)
    below = np.zeros_like(place(levels[0])[0])
    for level in levels[1:]:  # bottom up: higher hits overwrite lower ones
        below[flat.take(_nearest(*place(level), size)) >= level] = level

    def excess(height: Float32) -> Float32:
        return Lookup(*place(height), size)(height_m) - height

    # The march reads nearest cells, so the true crossing may lie just beyond its two levels.
    slack = levels[1] / 2
    below, above = np.maximum(below - slack, 0), below + levels[1] + slack
    under, over = excess(below), excess(above)
    for _ in range(FALSE_POSITION_STEPS):
        middle = below + np.clip(_root(under, over), 0.02, 0.98) * (above - below)
        gap = excess(middle)
        inside = gap >= 0
        below, under = np.where(inside, middle, below), np.where(inside, gap, under)
        above, over = np.where(inside, above, middle), np.where(inside, over, gap)
    return np.asarray(below + _root(under, over) * (above - below))


def _root(under: Float32, over: Float32) -> Float32:
    """Where, 0..1, the line from `under` to `over` crosses zero."""
    share = under / np.maximum(under - over, np.float32(1e-9))
    return np.asarray(np.clip(share, 0, 1), dtype=np.float32)


def blocked(height_m: Float32, place: Float32, direction: Float32, extent_m: float) -> Bool:
    """(H, W) bool: whether the surface stands between each `place` and what lies in `direction`.

    `place` (H, W, 3) meters and `direction` (H, W, 3) unit vectors, plane frame (x, y, height).
    """
    size, per_cell = height_m.shape[0], np.float32(extent_m / height_m.shape[0])
    cells, height = _in_cells(place[..., :2], size, extent_m), place[..., 2]
    run = np.hypot(direction[..., 0], direction[..., 1]) / np.maximum(direction[..., 2], np.float32(0.05))
    reach = float(run.max() * (height_m.max() - height.min()) / per_cell)
    climb = _highest_within(height_m, reach, cells) - height
    # Only what has something higher within reach can be in shadow: mostly the few pixels beside a wall.
    candidate = climb > SHADOW_BIAS_M
    climb, level = climb[candidate], height[candidate] + np.float32(SHADOW_BIAS_M)
    across = climb / np.maximum(direction[..., 2][candidate], np.float32(0.05)) / per_cell
    steps = _steps(float((run[candidate] * climb).max(initial=0) / per_cell))
    x, y = (cells[..., axis][candidate] for axis in (0, 1))
    dx, dy = (direction[..., axis][candidate] * across / np.float32(steps) for axis in (0, 1))
    rise, flat = climb / np.float32(steps), height_m.reshape(-1)
    shaded = np.zeros(level.shape, dtype=bool)
    for _ in range(steps):
        x += dx
        y += dy
        level += rise
        shaded |= flat.take(_nearest(x, y, size)) > level
    hidden = np.zeros(height.shape, dtype=bool)
    hidden[candidate] = shaded
    return hidden


def _highest_within(height_m: Float32, reach_cells: float, cells: Float32) -> Float32:
    """(H, W) meters: at least the highest surface within `reach_cells` of each place, found on a coarse grid."""
    block = COARSE_CELLS
    count = -(-height_m.shape[0] // block)
    padded = np.pad(height_m, (0, count * block - height_m.shape[0]), mode="edge")
    highest = padded.reshape(count, block, count, block).max(axis=(1, 3))
    highest = ndimage.maximum_filter(highest, 2 * (int(reach_cells) // block + 1) + 1)
    coarse = cells / np.float32(block)
    return np.asarray(highest.reshape(-1).take(_nearest(coarse[..., 0], coarse[..., 1], count)))


def _nearest(x: Float32, y: Float32, size: int) -> npt.NDArray[np.int32]:
    limit = np.float32(size - 1)
    rows = np.clip(y + np.float32(0.5), 0, limit).astype(np.int32)
    columns = np.clip(x + np.float32(0.5), 0, limit).astype(np.int32)
    return np.asarray(rows * np.int32(size) + columns)


def _in_cells(xy_m: Float32, size: int, extent_m: float) -> Float32:
    return np.asarray(xy_m * np.float32(size / extent_m) + np.float32(size / 2 - 0.5), dtype=np.float32)


def _steps(cells: float) -> int:
    return int(np.clip(np.ceil(cells), 4, MAX_STEPS))
