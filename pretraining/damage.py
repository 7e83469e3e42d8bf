"""Generic damage on random parts: a groove, a hollow, a lump, a broken rim, a rubbed place, a stain.

Drawn at random sizes on whatever surface, in shape and color. The defects of `training.synth`, which judge the
extractors, are made by other code of other shapes and take no part in the training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from ..training.synth.camera import GRID_EXTENT_M, grid_axes
from .shapes import FULL_TURN, LOWEST_M, Bool, Surface

# A change of height below this is not counted as a change of shape.
LEAST_CHANGE_M = 0.00012
# A groove's reach, meters, and the length of its steps.
REACH_M, STEP_M = 0.004, 0.0005

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Damage:
    """A damaged surface, and where: (N, N) bool cells whose shape changed, and those that an image shows."""

    surface: Surface
    in_shape: Bool
    in_image: Bool


@dataclass(frozen=True)
class _Change:
    """New heights, the part that is left, the cells concerned, and the color's factor or cover."""

    height: Float64
    footprint: Bool
    cells: Bool
    albedo: Float64


def damaged(surface: Surface, rng: np.random.Generator) -> Damage:
    """The surface with one damage of a random kind."""
    kind = KINDS[int(rng.choice(len(KINDS), p=SHARES))]
    change = kind(_Canvas(surface, rng))
    height = np.where(change.footprint, np.maximum(change.height, LOWEST_M), 0).astype(np.float32)
    in_shape = change.cells & (np.abs(height - surface.height) > LEAST_CHANGE_M)
    albedo = np.clip(change.albedo, 0.02, 0.95).astype(np.float32)
    return Damage(Surface(height, albedo, change.footprint), in_shape, change.cells & surface.footprint)


class _Canvas:
    """The surface that a damage is drawn on, and a place on it."""

    def __init__(self, surface: Surface, rng: np.random.Generator) -> None:
        self.rng, self.footprint = rng, surface.footprint
        self.height, self.albedo = surface.height.astype(np.float64), surface.albedo.astype(np.float64)
        self.size = len(self.height)
        self.x, self.y = grid_axes(self.size)
        inside = ndimage.binary_erosion(self.footprint, iterations=6)
        self.place = self._place_in(inside if inside.any() else self.footprint)

    def rim(self) -> tuple[float, float]:
        """A place on the part's rim."""
        return self._place_in(self.footprint & ~ndimage.binary_erosion(self.footprint, iterations=3))

    def oval(self, length: float, width: float, roughness: float) -> Float64:
        """(N, N) distance from the place, 1 on an oval with an uneven outline; lengths in meters."""
        angle = self.rng.uniform(0, np.pi)
        x, y = self.x - self.place[0], self.y - self.place[1]
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        uneven = 1 + roughness * self.noise(max(0.6 * width, 0.0005))
        return np.asarray(np.hypot(along / length, across / width) * np.maximum(uneven, 0.6))

    def noise(self, correlation_m: float) -> Float64:
        """(N, N) smooth noise of unit variance."""
        half = self.size // 2
        white = self.rng.standard_normal((half, half))
        smooth = ndimage.gaussian_filter(white, correlation_m / GRID_EXTENT_M * half, mode="wrap")
        rows = np.minimum(np.arange(self.size) // 2, half - 1)
        return np.asarray((smooth / smooth.std())[np.ix_(rows, rows)])

    def log_uniform(self, low: float, high: float) -> float:
        """Sizes are even on a logarithmic scale."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def soft(self, cells: Bool) -> Float64:
        """(N, N, 1) 0 to 1, with blurred borders: how far a color covers."""
        return np.asarray(ndimage.gaussian_filter(cells.astype(np.float64), self.rng.uniform(0.6, 1.6))[..., None])

    def painted(self, cells: Bool, color: npt.ArrayLike, cover: float) -> Float64:
        """The albedo with some of a color on cells."""
        return self.albedo + cover * self.soft(cells) * (np.asarray(color) - self.albedo)

    def _place_in(self, cells: Bool) -> tuple[float, float]:
        cell = self.rng.choice(np.flatnonzero(cells))
        return float(self.x.flat[cell]), float(self.y.flat[cell])


def _groove(canvas: _Canvas) -> _Change:
    """A wandering groove, dark inside."""
    rng = canvas.rng
    width, depth = canvas.log_uniform(0.0003, 0.0014), canvas.log_uniform(0.0003, 0.0025)
    steps = int(canvas.log_uniform(0.006, 0.03) / STEP_M) + 2
    heading = rng.uniform(0, FULL_TURN) + np.cumsum(rng.normal(0, rng.uniform(0.05, 0.35), steps))
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * STEP_M
    path += np.array(canvas.place) - path[steps // 2]
    cells = np.stack([canvas.x.ravel(), canvas.y.ravel()], axis=1)
    distance, _ = cKDTree(path).query(cells, distance_upper_bound=REACH_M)
    opening = np.clip((1.2 - np.minimum(distance, REACH_M) / width) * rng.uniform(1, 2.5), 0, 1)
    opening = opening.reshape(canvas.height.shape)
    albedo = canvas.albedo * (1 - rng.uniform(0.1, 0.6) * canvas.soft(opening > 0.3))
    return _Change(canvas.height - depth * opening, canvas.footprint, opening > 0.3, albedo)


def _hollow(canvas: _Canvas) -> _Change:
    """A smooth hollow, sometimes a little darker."""
    rng, length = canvas.rng, canvas.log_uniform(0.0018, 0.008)
    q = canvas.oval(length, length * rng.uniform(0.5, 1), 0.12)
    depth = canvas.log_uniform(0.0003, 0.0025)
    height = canvas.height - depth * np.maximum(1 - q**2, 0) ** rng.uniform(0.7, 2)
    darker = rng.uniform(0, 0.25) * (rng.random() < 0.4)
    return _Change(height, canvas.footprint, q < 0.9, canvas.albedo * (1 - darker * canvas.soft(q < 0.9)))


def _lump(canvas: _Canvas) -> _Change:
    """Something that sticks to the part, mostly of another color; a stain where it has no height."""
    rng, length = canvas.rng, canvas.log_uniform(0.0014, 0.006)
    q = canvas.oval(length, length * rng.uniform(0.35, 1), 0.25)
    rise = canvas.log_uniform(0.0003, 0.0025) * (rng.random() < 0.75)
    height = canvas.height + rise * np.maximum(1 - q**2, 0) ** rng.uniform(0.3, 1)
    cover = rng.uniform(0.4, 1) * (rng.random() < 0.85)
    return _Change(height, canvas.footprint, q < 0.95, canvas.painted(q < 0.95, rng.uniform(0.03, 0.9, 3), cover))


def _bite(canvas: _Canvas) -> _Change:
    """A piece broken off the rim, down to a ledge or altogether; the fracture shows another color."""
    rng, radius = canvas.rng, canvas.log_uniform(0.002, 0.008)
    center_x, center_y = canvas.rim()
    away = np.hypot(canvas.x - center_x, canvas.y - center_y) * (1 + 0.15 * canvas.noise(0.002))
    into = radius - away + 0.0003 * canvas.noise(0.0007)
    ledge = rng.choice([0, rng.uniform(0.3, 0.8)]) * np.median(canvas.height[canvas.footprint])
    height = np.where(into > 0, np.maximum(canvas.height - into * rng.uniform(1, 5), ledge), canvas.height)
    cells = (into > 0) & canvas.footprint & (height < canvas.height - 0.0002)
    gone = cells & (height < LOWEST_M)
    inner = np.clip(canvas.albedo.mean(axis=(0, 1)) * rng.uniform(0.6, 1.8) + rng.normal(0, 0.08, 3), 0.03, 0.9)
    return _Change(height, canvas.footprint & ~gone, cells, canvas.painted(cells, inner, rng.uniform(0.5, 1)))


def _rubbed(canvas: _Canvas) -> _Change:
    """A place worn smooth or roughened, bleached or darkened and scratched."""
    rng, length = canvas.rng, canvas.log_uniform(0.003, 0.008)
    q = canvas.oval(length, length * rng.uniform(0.5, 1), 0.2)
    share = np.clip((1 - q) * 5, 0, 1)
    if rng.random() < 0.6:
        smoothed = ndimage.gaussian_filter(canvas.height, rng.uniform(0.0006, 0.002) / GRID_EXTENT_M * canvas.size)
        within = ndimage.binary_erosion(canvas.footprint, iterations=8)
        height = canvas.height + (smoothed - canvas.height) * share * within
    else:
        height = canvas.height + share * canvas.log_uniform(0.00006, 0.0004) * canvas.noise(rng.uniform(0.0003, 0.0012))
    scratches = canvas.noise(canvas.log_uniform(0.0002, 0.0008))[..., None]
    albedo = canvas.albedo * (1 + canvas.soft(q < 0.9) * (rng.uniform(-0.3, 0.6) + rng.uniform(0, 0.3) * scratches))
    return _Change(height, canvas.footprint, (q < 0.9) & canvas.footprint, albedo)


KINDS: tuple[Callable[[_Canvas], _Change], ...] = (_groove, _hollow, _lump, _bite, _rubbed)
SHARES = (0.25, 0.2, 0.2, 0.2, 0.15)
