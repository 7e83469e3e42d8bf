"""Defects painted into normal parts, so that detection can be judged where only normal parts are at hand.

A round place of the part is raised or sunk along the line of sight, and shows in the image the colors of another
place, brighter or darker: an anomaly to both sensors, at the same pixels. In spirit CutPaste (Li et al., CVPR
2021), with the surface moved too. They rank checkpoints; they are not a test of detection.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Radius as a share of the square root of the part's area in pixels; height as a share of the part's diagonal.
RADIUS = (0.06, 0.14)
HEIGHT = (0.01, 0.04)
DARKER, BRIGHTER = (0.55, 0.85), (1.2, 1.6)


def with_pseudo_defect(
    points: Array, image: npt.NDArray[np.uint8], valid: Mask, seed: int
) -> tuple[Array, npt.NDArray[np.uint8], Mask]:
    """Paint one defect.

    Args:
        points: (S, S, 3) float32, meters, zero where there is no part.
        image: (S, S, 3) uint8, registered with them.
        valid: (S, S) bool, where there is part.
        seed: of place, size, height and colors.

    Returns:
        Points, image, and what is defective, (S, S) bool.
    """
    rng = np.random.default_rng(seed)
    places = np.argwhere(valid)
    center, source = places[rng.integers(len(places), size=2)]
    radius = rng.uniform(*RADIUS) * np.sqrt(len(places))
    rows, columns = np.indices(valid.shape)
    distance = np.hypot(rows - center[0], columns - center[1]) / radius
    weight = np.where(valid, np.clip(1.5 - 1.5 * distance, 0, 1), 0).astype(np.float32)
    inside = points[valid]
    diagonal = float(np.linalg.norm(inside.max(axis=0) - inside.min(axis=0)))
    height = rng.choice([-1.0, 1.0]) * rng.uniform(*HEIGHT) * diagonal
    return (
        _moved(points, np.float32(height) * weight),
        _recolored(image, weight, tuple(source - center), rng),
        weight > 0.5,
    )


def _moved(points: Array, towards_sensor: Array) -> Array:
    """Points moved along their line of sight by (S, S) meters."""
    range_m = np.linalg.norm(points, axis=2)
    scale = np.ones_like(range_m)
    np.divide(range_m - towards_sensor, range_m, out=scale, where=range_m > 0)
    moved: Array = points * scale[..., None]
    return moved


def _recolored(
    image: npt.NDArray[np.uint8], weight: Array, offset: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The colors of the place `offset` away, with another brightness, blended in by `weight`."""
    gain = rng.uniform(*(DARKER if rng.random() < 0.5 else BRIGHTER))
    rows, columns = np.indices(weight.shape)
    size_h, size_w = weight.shape
    from_rows = np.clip(rows + offset[0], 0, size_h - 1)
    from_columns = np.clip(columns + offset[1], 0, size_w - 1)
    pasted = image[from_rows, from_columns] * np.float32(gain)
    blended = image + weight[..., None] * (pasted - image)
    return blended.round().clip(0, 255).astype(np.uint8)
