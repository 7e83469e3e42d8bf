"""Random parts as random sensors see them, prepared and grouped as the line does it, each with its targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..runtime.bundle.parameters import Grouping
from ..runtime.patches.grouping import farthest_points, nearest_points
from ..runtime.patches.pooling import SIZE
from ..training.synth.camera import Camera, grid_axes, render_surface
from ..training.synth.raycast import Lookup
from .shapes import LOWEST_M, RandomPart, Surface
from .surface_targets import surface_targets

Float32 = npt.NDArray[np.float32]

MIN_POINTS = 1500
# Sensor noise in pixel pitches, as grouping sees it; training draws its own levels.
WHITE_NOISE, SMOOTH_NOISE, SMOOTH_NOISE_PIXELS = 0.14, 0.07, 1.1


@dataclass(frozen=True)
class TrainingScan:
    """One scan of a random part.

    Attributes:
        points: (N, 3) float32, meters, camera frame, without noise.
        smooth_noise: (N,) float32, unit variance, correlated over a few pixels.
        center_idx: (G,) int64 the groups' centers.
        members: (G, M) uint16 the groups' points, nearest first.
        targets: (G, 6, bins) float32, what the tokens should know (`surface_targets`).
        pitch_m: pixel pitch.
    """

    points: Float32
    smooth_noise: Float32
    center_idx: npt.NDArray[np.int64]
    members: npt.NDArray[np.uint16]
    targets: Float32
    pitch_m: float


def training_scans(count: int, grouping: Grouping, seed: int) -> Iterator[TrainingScan]:
    """`count` scans; the seed fixes them all."""
    made, number = 0, 0
    while made < count:
        scan = _scan(np.random.default_rng([seed, number]), grouping)
        number += 1
        if scan is not None:
            made += 1
            yield scan


def _scan(rng: np.random.Generator, grouping: Grouping) -> TrainingScan | None:
    """One scan, or None where too little of the part is seen."""
    camera = random_camera(rng)
    part = RandomPart(rng)
    surface = posed(part, camera, rng)
    view = seen(surface, camera, part.gloss, rng)
    if view is None:
        return None
    pitch_m = camera.pitch_m
    white = rng.standard_normal(len(view.points))
    noisy = view.points.copy()
    noisy[:, 2] += pitch_m * (WHITE_NOISE * white + SMOOTH_NOISE * view.smooth_noise)
    center_idx = farthest_points(noisy, grouping.n_groups)
    _, members = nearest_points(noisy, noisy[center_idx], grouping.group_size)
    return TrainingScan(
        points=view.points,
        smooth_noise=view.smooth_noise,
        center_idx=center_idx,
        members=members.astype(np.uint16),
        targets=surface_targets(surface.height, _on_plane(view.points[center_idx], camera), pitch_m),
        pitch_m=pitch_m,
    )


@dataclass(frozen=True)
class View:
    """What a camera without noise sees of a part.

    Attributes:
        points: (N, 3) float32, meters, camera frame.
        pixels: (N,) int64, their places in the flattened 224x224 map.
        smooth_noise: (N,) float32, unit variance, correlated over a few pixels.
        on_part: (224, 224) bool.
        hits: reads the surface's grid where every pixel sees it.
    """

    points: Float32
    pixels: npt.NDArray[np.int64]
    smooth_noise: Float32
    on_part: npt.NDArray[np.bool_]
    hits: Lookup


def seen(surface: Surface, camera: Camera, gloss: float, rng: np.random.Generator) -> View | None:
    """The camera's view of a surface, or None where too little of it is seen."""
    render = render_surface(surface.height, surface.albedo, camera, rng, gloss)
    on_part = render.hits(surface.height) > LOWEST_M * 0.95
    pixels = np.flatnonzero((render.points[..., 2] > 0) & on_part)
    if len(pixels) < MIN_POINTS:
        return None
    smooth = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), SMOOTH_NOISE_PIXELS).ravel()[pixels]
    return View(
        points=render.points.reshape(-1, 3)[pixels],
        pixels=pixels,
        smooth_noise=(smooth / smooth.std()).astype(np.float32),
        on_part=on_part,
        hits=render.hits,
    )


def random_camera(rng: np.random.Generator) -> Camera:
    """A camera without depth noise: pitch, tilt and the projector's side vary."""
    projector_angle, projector_distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.16)
    return Camera(
        size=SIZE,
        field_of_view_m=rng.uniform(0.06, 0.13),
        tilt_rad=(rng.uniform(-0.12, 0.12), rng.uniform(-0.12, 0.12)),
        projector_m=(
            projector_distance * np.cos(projector_angle),
            projector_distance * np.sin(projector_angle),
            0.0,
        ),
        depth_noise_m=0.0,
        correlated_noise_m=0.0,
        dropout=float(rng.choice([0.002, 0.01])),
    )


def posed(part: RandomPart, camera: Camera, rng: np.random.Generator) -> Surface:
    """The part turned and moved anywhere near the middle of the camera's view."""
    x, y = grid_axes(camera.grid_size)
    angle, shift_x, shift_y = rng.uniform([0, -0.004, -0.004], [2 * np.pi, 0.004, 0.004])
    x, y = x - np.float32(shift_x), y - np.float32(shift_y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return part.surface(x * cos + y * sin, y * cos - x * sin)


def _on_plane(points_n3: Float32, camera: Camera) -> Float32:
    """(n, 2) meters on the plane under points of the camera frame."""
    below = points_n3 - np.array([0, 0, camera.distance_m], np.float32)
    return np.asarray((below @ camera.camera_from_plane())[:, :2], dtype=np.float32)
