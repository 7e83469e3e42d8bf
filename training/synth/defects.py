"""Five kinds of damage, each shown differently: by shape, by color, by both, or by the surface's texture.

A defect takes a normal part and a generator and returns the damaged part and the (N, N) bool cells it concerns.
All lengths are millimeters; sizes and depths are drawn evenly on a logarithmic scale, so that slight ones are common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .surface import (
    Bool,
    Floats,
    Place,
    SynthPart,
    grid_mm,
    painted,
    pick_edge,
    pick_site,
    smooth_noise,
    smooth_step,
    turned,
    window,
)

# Thickness left at the bottom of the deepest dent or crack: a defect never opens a window to the plane.
FLOOR_MM = 0.5
# A broken face this close to the plane is broken through.
BROKEN_THROUGH_MM = 0.6
# The texture damage takes off, or smears on, no more than this: about twice the sensor's noise.
TEXTURE_LIMIT_MM = 0.12
STAINS = (
    (0.45, 0.05, 0.04),
    (0.05, 0.12, 0.40),
    (0.04, 0.04, 0.04),
    (0.75, 0.74, 0.68),
    (0.10, 0.28, 0.10),
    (0.55, 0.42, 0.06),
)


@dataclass(frozen=True)
class Severity:
    """How much larger, and how much deeper or higher, defects are than the slightest that are made."""

    size: float
    depth: float


HARD = Severity(1, 1)


def dent(part: SynthPart, rng: np.random.Generator, severity: Severity = HARD) -> tuple[SynthPart, Bool]:
    """A blow: an oval hollow with a slight rim; the color hardly changes."""
    length, width = severity.size * _log_uniform(rng, 2.6, 6.5), severity.size * _log_uniform(rng, 2.0, 4.5)
    depth = severity.depth * _log_uniform(rng, 0.4, 2.2)
    q = _oval(part, rng, pick_site(part, rng, 0.6 * width), length, width, roughness=0.12)
    hollow = depth * np.maximum(1 - q**2, 0) ** 1.5
    rim = 0.12 * depth * np.exp(-(((q - 1.15) / 0.18) ** 2))
    height = _carved(part, part.height - hollow + rim * part.footprint)
    return replace(part, height=height), (q < 0.95) & part.footprint


def crack(part: SynthPart, rng: np.random.Generator, severity: Severity = HARD) -> tuple[SynthPart, Bool]:
    """A wandering crack that tapers to its ends; dark inside."""
    half_width, depth = severity.size * _log_uniform(rng, 0.28, 0.75), severity.depth * _log_uniform(rng, 0.5, 2.5)
    path = _wander(rng, pick_site(part, rng, 2.0), severity.size * _log_uniform(rng, 10, 26))
    distance, progress = _to_path(part.height.shape[0], path, reach=3.0 * severity.size)
    width = half_width * np.sqrt(np.clip(np.minimum(progress, 1 - progress) * 6, 0.04, 1))
    width *= np.clip(1 + 0.25 * smooth_noise(rng, len(width), 1.2), 0.5, 1.6)
    opening = np.clip(1.3 * (1 - distance / width), 0, 1) * part.footprint
    height = _carved(part, part.height - depth * opening)
    albedo = part.albedo * (1 - 0.55 * opening[..., None])
    concerned = (distance < width + 0.12) & part.footprint
    return replace(part, height=height, albedo=albedo), concerned


def missing_piece(part: SynthPart, rng: np.random.Generator, severity: Severity = HARD) -> tuple[SynthPart, Bool]:
    """A piece broken off the rim, down to a ledge or altogether; the fracture is rough and of the inner color."""
    radius, slope = severity.size * _log_uniform(rng, 3.5, 8.0), severity.depth * rng.uniform(1.2, 4.0)
    center_x, center_y = pick_edge(part, rng)
    x, y = grid_mm(part.height.shape[0])
    noise = 0.35 * smooth_noise(rng, len(x), 1.5) + 0.12 * smooth_noise(rng, len(x), 0.5)
    into = radius - np.hypot(x - center_x, y - center_y) + noise
    reached = (into > 0) & part.footprint
    ledge = rng.uniform(0.15, 0.7) * float(np.median(part.height[reached])) if rng.random() < 0.5 else 0.0
    fracture = np.maximum(ledge + 0.5 * noise, part.height - slope * np.maximum(into, 0) + 0.3 * noise)
    broken = reached & (fracture < part.height - 0.1)
    footprint = largest_piece(part.footprint & ~(broken & (fracture < BROKEN_THROUGH_MM)))
    height = np.where(footprint, np.where(broken, fracture, part.height), 0)
    albedo = np.where(broken[..., None], painted(1 + 0.08 * noise, part.inside), part.albedo)
    relief = np.where(footprint & ~broken, part.relief, 0)
    gloss = np.where(broken, np.float32(0.04), part.gloss)
    left = replace(part, height=height, relief=relief, footprint=footprint, albedo=albedo, gloss=gloss)
    return left, broken | (part.footprint & ~footprint)


def contamination(part: SynthPart, rng: np.random.Generator, severity: Severity = HARD) -> tuple[SynthPart, Bool]:
    """A foreign drop or shred that sticks to the part: raised, of another color and gloss."""
    length, rise = severity.size * _log_uniform(rng, 2.2, 6.0), severity.depth * _log_uniform(rng, 0.25, 2.2)
    q = _oval(part, rng, pick_site(part, rng, 1.0), length, length * rng.uniform(0.35, 1.0), roughness=0.22)
    cover = smooth_step(1.0, 0.88, q) * part.footprint
    opacity = rng.uniform(0.55, 1.0) * cover
    filled = part.height - 0.7 * part.relief * cover
    height = filled + rise * np.sqrt(np.maximum(1 - q**2, 0)) * part.footprint
    stain = painted(rng.uniform(0.8, 1.3), STAINS[int(rng.integers(len(STAINS)))])
    albedo = part.albedo + opacity[..., None] * (stain - part.albedo)
    gloss = part.gloss + cover * (rng.uniform(0.02, 0.35) - part.gloss)
    return replace(part, height=height, albedo=albedo, gloss=gloss), (q < 0.97) & part.footprint


def worn_texture(part: SynthPart, rng: np.random.Generator, severity: Severity = HARD) -> tuple[SynthPart, Bool]:
    """A scuffed patch: relief worn down by about the sensor's noise, but bleached and scratched in the image."""
    site = _roughest(part, [pick_site(part, rng, 1.5) for _ in range(3)])
    length, width = severity.size * _log_uniform(rng, 3.5, 8.0), severity.size * _log_uniform(rng, 2.2, 5.0)
    q = _oval(part, rng, site, length, width, roughness=0.2)
    patch = smooth_step(1.08, 0.85, q) * part.footprint
    scratches = _scratches(rng, len(q)) * patch
    limit = severity.depth * TEXTURE_LIMIT_MM
    wear = severity.depth * (patch * (rng.uniform(0.5, 1.0) * part.relief + rng.uniform(0.03, 0.08)) + 0.05 * scratches)
    relief = part.relief - np.clip(wear, -limit, limit)
    tint = part.relief_color(relief) / part.relief_color(part.relief)
    # Crests lose their skin first; grooves keep some of it.
    bare = patch * (0.55 + 0.45 * smooth_step(-0.15, 0.15, part.relief)) * rng.uniform(0.55, 1.0)
    bare = np.maximum(bare, 0.9 * scratches)
    albedo = part.albedo * (tint * (1 - bare))[..., None] + painted(bare, part.inside)
    gloss = np.clip(part.gloss + patch * rng.uniform(-0.08, 0.12), 0.01, 1)
    height = part.height + (relief - part.relief)
    worn = replace(part, height=height, relief=relief, albedo=albedo, gloss=gloss)
    return worn, (q < 0.97) & part.footprint


DefectMaker = Callable[[SynthPart, np.random.Generator, Severity], tuple[SynthPart, Bool]]
DEFECT_MAKERS: dict[str, DefectMaker] = {
    "dent": dent,
    "crack": crack,
    "missing_piece": missing_piece,
    "contamination": contamination,
    "worn_texture": worn_texture,
}


def largest_piece(cells: Bool) -> Bool:
    """The piece of most cells: crumbs that a fracture leaves standing beside the part have fallen off."""
    pieces, _ = ndimage.label(cells)
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _roughest(part: SynthPart, sites: Sequence[Place]) -> Place:
    """The place with the strongest relief around it: wear shows where there is something to wear."""
    x, y = grid_mm(part.height.shape[0])
    return max(sites, key=lambda site: float(np.ptp(part.relief[window(x, y, site, 2.0)])))


def _oval(
    part: SynthPart, rng: np.random.Generator, site: Place, length: float, width: float, roughness: float
) -> Floats:
    """(N, N) distance from a place, 1 on an oval with an uneven outline."""
    x, y = grid_mm(part.height.shape[0])
    u, v = turned(x - np.float32(site[0]), y - np.float32(site[1]), rng.uniform(0, np.pi))
    uneven = 1 + roughness * smooth_noise(rng, len(x), 0.8 * width)
    return np.asarray(np.hypot(u / np.float32(length), v / np.float32(width)) * np.maximum(uneven, 0.75))


def _carved(part: SynthPart, height: Floats) -> Floats:
    """`height` where it is above the floor; where the part itself is thinner, as it was."""
    return np.where(part.footprint, np.maximum(height, np.minimum(part.height, FLOOR_MM)), part.height)


def _wander(rng: np.random.Generator, start: Place, length: float) -> npt.NDArray[np.float64]:
    """(K, 2) corners of a random walk that mostly keeps its direction, `start` in its middle."""
    steps = max(6, round(length / 0.7))
    drift, jolts = np.cumsum(rng.normal(0, 0.25, steps)), rng.normal(0, 0.45, steps)
    heading = rng.uniform(0, 2 * np.pi) + drift + jolts
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1) * length / steps, axis=0)
    return np.asarray(path - path[steps // 2] + np.asarray(start))


def _to_path(grid_size: int, path: npt.NDArray[np.float64], reach: float) -> tuple[Floats, Floats]:
    """(N, N) distance to a path, and 0..1 how far along it; `reach` or more where it is not near."""
    x, y = grid_mm(grid_size)
    axis = x[0]
    distance, progress = np.full_like(x, reach), np.zeros_like(x)
    columns, rows = (slice(*np.searchsorted(axis, (c.min() - reach, c.max() + reach))) for c in path.T)
    near_x, near_y = x[rows, columns], y[rows, columns]
    for index, (a, b) in enumerate(pairwise(path)):
        run = (b - a).astype(np.float32)
        t = np.clip(((near_x - a[0]) * run[0] + (near_y - a[1]) * run[1]) / (run @ run), 0, 1)
        away = np.hypot(near_x - a[0] - t * run[0], near_y - a[1] - t * run[1])
        nearer = away < distance[rows, columns]
        distance[rows, columns][nearer] = away[nearer]
        progress[rows, columns][nearer] = (index + t[nearer]) / (len(path) - 1)
    return distance, progress


def _scratches(rng: np.random.Generator, grid_size: int) -> Floats:
    """(N, N) 0..1: fine, nearly parallel lines."""
    x, y = grid_mm(grid_size)
    along, across = turned(x, y, rng.uniform(0, np.pi))
    bend = 1.2 * smooth_noise(rng, grid_size, 12)
    lines = np.sin(2 * np.pi * (across + bend) / rng.uniform(0.9, 1.5)) + np.sin(0.9 * along + 4.1 * across)
    return smooth_step(1.0, 1.8, lines)
