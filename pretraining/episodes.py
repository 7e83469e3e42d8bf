"""Episodes: a few normal parts of one random family and two damaged ones, as one sensor sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..runtime.bundle.parameters import Grouping
from ..runtime.patches.grouping import group_points
from .damage import damaged
from .scans import posed, random_camera, seen
from .shapes import RandomPart, Surface

Float32 = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]

NORMAL_PARTS, DAMAGED_PARTS = 5, 2
TILT_JITTER_RAD, BRIGHTNESS_STD = 0.006, 0.05
# Sensor noise of an episode, in pixel pitches.
WHITE_NOISE, MAX_SMOOTH_NOISE = (0.03, 0.5), 0.2
# Labels: untouched, damaged, and so near the damage (or off the part) that neither can be asked for.
NORMAL, DAMAGED, EITHER = 0, 1, 2
# A damage of fewer pixels is not seen; a token is damaged within the first reach, untouched beyond the second.
LEAST_PIXELS, DAMAGED_REACH, EITHER_REACH = 8, 2, 9


@dataclass(frozen=True)
class Episode:
    """The normal parts' scans first, then the damaged ones'; P parts.

    Attributes:
        groups: (P, G, M, 3) float32, meters, relative to their center.
        centers: (P, G, 3) float32, meters.
        group_labels: (P, G) uint8, `NORMAL`, `DAMAGED` or `EITHER`.
    """

    groups: Float32
    centers: Float32
    group_labels: Labels


def episode(seed: int, number: int, grouping: Grouping) -> Episode | None:
    """The episode of a number, or None where a part or its damage is hardly seen."""
    rng = np.random.default_rng([seed, number, 1])
    camera, family = random_camera(rng), RandomPart.of_family(rng)
    white = float(np.exp(rng.uniform(*np.log(WHITE_NOISE))))
    smooth = rng.uniform(0, MAX_SMOOTH_NOISE)
    parts = []
    for number in range(NORMAL_PARTS + DAMAGED_PARTS):
        tilt_x, tilt_y = np.add(camera.tilt_rad, rng.normal(0, TILT_JITTER_RAD, 2))
        tilted = replace(camera, tilt_rad=(float(tilt_x), float(tilt_y)))
        surface = posed(family.sibling(rng), tilted, rng)
        in_shape = in_image = np.zeros(surface.height.shape, bool)
        if number >= NORMAL_PARTS:
            damage = damaged(surface, rng)
            surface, in_shape, in_image = damage.surface, damage.in_shape, damage.in_image
        view = seen(_brightened(surface, rng), tilted, family.gloss, rng)
        if view is None:
            return None
        shape_pixels, image_pixels = view.hits.nearest(in_shape), view.hits.nearest(in_image)
        if number >= NORMAL_PARTS and max(shape_pixels.sum(), image_pixels.sum()) < LEAST_PIXELS:
            return None
        noise = white * rng.standard_normal(len(view.points)) + smooth * view.smooth_noise
        points = view.points.copy()
        points[:, 2] += (tilted.pitch_m * noise).astype(np.float32)
        groups = group_points(points, grouping)
        labels = _group_labels(shape_pixels).ravel()[view.pixels][groups.center_idx]
        parts.append((groups.groups, groups.centers, labels))
    return Episode(*map(np.stack, zip(*parts, strict=True)))


def _brightened(surface: Surface, rng: np.random.Generator) -> Surface:
    """Every scan has its own exposure; what is too dark is not measured."""
    albedo = np.clip(surface.albedo * rng.normal(1, BRIGHTNESS_STD), 0.02, 0.95)
    return replace(surface, albedo=albedo.astype(np.float32))


def in_any_order(rng: np.random.Generator) -> list[int]:
    """The parts of an episode: the normal ones shuffled, so that any of them is the last, then the damaged ones."""
    return [*rng.permutation(NORMAL_PARTS).tolist(), *range(NORMAL_PARTS, NORMAL_PARTS + DAMAGED_PARTS)]


def _group_labels(damage_hw: npt.NDArray[np.bool_]) -> Labels:
    """(224, 224) uint8, of a group whose center is seen there."""
    labels = np.full(damage_hw.shape, NORMAL, np.uint8)
    if damage_hw.any():
        labels[ndimage.binary_dilation(damage_hw, iterations=EITHER_REACH)] = EITHER
        labels[ndimage.binary_dilation(damage_hw, iterations=DAMAGED_REACH)] = DAMAGED
    return labels
