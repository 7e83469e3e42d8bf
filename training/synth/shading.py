"""The color image of a surface: Lambert, a highlight, ambient light dimmed in grooves, sensor noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

AMBIENT, DIFFUSE, SPECULAR, SHININESS = 0.42, 0.72, 0.9, 28
# The lamp is a panel, not a point: shadow edges are this soft, and a shadow keeps a part of the light.
SHADOW_BLUR_PIXELS, SHADOW_REST = 2.5, 0.35
LENS_BLUR_PIXELS = 0.5
SHOT_NOISE, READ_NOISE = 0.006, 0.004
GAMMA = 1 / 2.2
# Openness: how far below its surroundings a cell lies, at a groove's and a part's scale (radius, depth in meters).
OPENNESS_SCALES = ((0.0008, 0.0012), (0.004, 0.012))


def openness(height_m: Float32, extent_m: float) -> Float32:
    """(N, N) share of the ambient light that reaches each cell, 0.3..1: low in grooves and beside walls."""
    share = np.ones_like(height_m)
    for radius, depth in OPENNESS_SCALES:
        width = max(3, 2 * round(radius / extent_m * height_m.shape[0]) + 1)
        around = ndimage.uniform_filter(ndimage.uniform_filter(height_m, width), width)
        share -= np.clip((around - height_m) / np.float32(depth), 0, 0.35)
    return np.asarray(np.maximum(share, np.float32(0.3)))


def highlight(normal: Float32, view: Float32, light: Float32, gloss: Float32) -> Float32:
    """(H, W) Blinn-Phong highlight; `normal`, `view` (H, W, 3) and `light` (3,) unit vectors."""
    half = view + light
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    cosine = np.clip(np.einsum("hwc,hwc->hw", normal, half), 0, 1)
    return np.asarray(SPECULAR * gloss * cosine**SHININESS, dtype=np.float32)


def shade(
    albedo: Float32,
    open_sky: Float32,
    facing: Float32,
    shine: Float32,
    shadowed: Bool,
    rng: np.random.Generator,
) -> npt.NDArray[np.uint8]:
    """(H, W, 3) uint8 image of `albedo` (H, W, 3) and, (H, W): `open_sky`, `facing` (cosine), `shine`."""
    lit = 1 - (1 - SHADOW_REST) * ndimage.gaussian_filter(shadowed.astype(np.float32), SHADOW_BLUR_PIXELS)
    power = AMBIENT * open_sky + DIFFUSE * np.clip(facing, 0, 1) * lit
    image = albedo * power[..., None] + (shine * lit)[..., None]
    image = ndimage.gaussian_filter(image, (LENS_BLUR_PIXELS, LENS_BLUR_PIXELS, 0))
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    image += noise * np.sqrt(SHOT_NOISE**2 * np.maximum(image, 0) + READ_NOISE**2)
    return np.asarray((np.clip(image, 0, 1) ** GAMMA * 255).round().astype(np.uint8))
