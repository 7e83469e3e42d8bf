"""A structured-light camera over a supporting plane: one surface in, a registered scan and image out.

Frames: camera x right, y down, z forward, meters. Plane x right, y down, h upwards (towards the camera),
origin on the optical axis. A surface is a grid of heights over the plane, rows along +y and columns along +x,
centered on the origin and `GRID_EXTENT_M` wide. Points and colors are read at the same ray-surface
intersections, so silhouettes of scan and image coincide by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .raycast import Lookup, blocked, first_hit
from .shading import highlight, openness, shade

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

GRID_EXTENT_M = 0.12
GRID_PER_PIXEL = 1.5
# Cosine of normal and view (or projector) below which nothing is measured, and below which it gets patchy.
GRAZING_BLIND, GRAZING_PATCHY = 0.12, 0.25
# A highlight this strong saturates the pattern.
BURNT_OUT = 0.55
CORRELATION_PIXELS = 2.0


@dataclass(frozen=True)
class Camera:
    """A square pinhole camera looking down on the plane, with a pattern projector beside it.

    `tilt_rad` turns the plane about the camera's x and y axes. `projector_m` is the projector's place in the
    camera frame: what it cannot see is not measured. `light` points from the scene to the lamp of the color
    image, camera frame. `depth_noise_m` is white noise along z, `correlated_noise_m` smooth noise a few pixels
    wide, `dropout` the share of pixels lost for no visible reason.
    """

    size: int = 400
    field_of_view_m: float = 0.10
    distance_m: float = 0.40
    tilt_rad: tuple[float, float] = (0.045, -0.03)
    projector_m: tuple[float, float, float] = (0.10, 0.015, 0.0)
    light: tuple[float, float, float] = (-0.45, -0.55, -0.70)
    depth_noise_m: float = 6e-5
    correlated_noise_m: float = 3e-5
    dropout: float = 0.002

    @property
    def grid_size(self) -> int:
        """Cells along one side of the height grid that suits this camera, a multiple of 6."""
        return 6 * round(GRID_PER_PIXEL * self.size / 6)

    @property
    def pitch_m(self) -> float:
        """Width of a pixel on the plane, meters."""
        return self.field_of_view_m / self.size

    def rays(self) -> Float32:
        """(size, size, 3) directions through the pixel centers, z = 1, camera frame."""
        axis = (np.arange(self.size) - (self.size - 1) / 2) * self.field_of_view_m / (self.size * self.distance_m)
        x, y = np.meshgrid(axis, axis)
        return np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)

    def camera_from_plane(self) -> npt.NDArray[np.float64]:
        """(3, 3) whose columns are the plane's x, y, h axes in the camera frame (a rotation, mirrored in h)."""
        (cos_x, cos_y), (sin_x, sin_y) = np.cos(self.tilt_rad), np.sin(self.tilt_rad)
        about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
        about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
        return np.asarray(about_x @ about_y @ np.diag([1.0, 1.0, -1.0]))

    def to_plane(self, position_m: npt.ArrayLike) -> Float32:
        """A (3,) position from the camera frame to the plane frame, meters."""
        origin = np.array([0.0, 0.0, self.distance_m])
        position = np.asarray(position_m, dtype=np.float64) - origin
        return np.asarray(self.camera_from_plane().T @ position, dtype=np.float32)

    def light_on_plane(self) -> Float32:
        """(3,) unit vector to the lamp, plane frame."""
        return _unit(np.asarray(self.camera_from_plane().T @ np.asarray(self.light), dtype=np.float32))


@dataclass(frozen=True)
class Render:
    """What the camera saw: `points` (H, W, 3) float32 meters, (0,0,0) missing; `rgb` (H, W, 3) uint8.

    `hits` reads anything else on the surface's grid where each pixel sees it: `hits.nearest(mask_grid)`.
    """

    points: Float32
    rgb: npt.NDArray[np.uint8]
    hits: Lookup


@dataclass(frozen=True)
class _Geometry:
    """Where the pixel rays hit: camera z `depth_m` (H, W), plane-frame `place` (H, W, 3), grid `hits`."""

    depth_m: Float32
    place: Float32
    hits: Lookup


def grid_axes(grid_size: int) -> tuple[Float32, Float32]:
    """Plane x and y in meters of every cell of a height grid, each (N, N) float32."""
    axis = (((np.arange(grid_size) + 0.5) / grid_size - 0.5) * GRID_EXTENT_M).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def render_surface(
    height_m: Float32,
    albedo: Float32,
    camera: Camera,
    rng: np.random.Generator,
    gloss: Float32 | float = 0.1,
) -> Render:
    """Scan and image of one surface standing on the plane.

    `height_m`: (N, N) float32, meters above the plane, 0 where the plane itself is seen; any N, best
    `camera.grid_size`; cells as in `grid_axes(N)`; keep the border 0 so that the plane is seen all around.
    `albedo`: (N, N, 3) float32, linear reflectance 0..1, plane included. `gloss`: strength of the highlight
    0..1, (N, N) or one number.

    A ray's first intersection gives the point. It is missing where the projector's view is blocked, where
    either view grazes the surface, in burnt-out highlights, and in sparse drop-outs. Noise is drawn for every
    pixel whatever the surface, so surfaces rendered from equally seeded generators share their noise.
    """
    geometry = _intersect(height_m, camera)
    hits, place = geometry.hits, geometry.place
    normal = _normals(height_m, hits)
    view = _unit(camera.to_plane((0, 0, 0)) - place)
    projector = _unit(camera.to_plane(camera.projector_m) - place)
    light = camera.light_on_plane()
    color = hits(albedo)
    shine = highlight(normal, view, light, hits(np.broadcast_to(np.asarray(gloss, dtype=np.float32), height_m.shape)))
    shadowed = _lamp_shadow(height_m, place, light)
    rgb = shade(color, hits(openness(height_m, GRID_EXTENT_M)), _dot(normal, light), shine, shadowed, rng)
    grazing = np.minimum(_dot(normal, view), _dot(normal, projector))
    points = camera.rays() * (geometry.depth_m + _depth_noise(grazing, camera, rng))[..., None]
    missing = _unmeasured(grazing, shine, color.mean(-1), camera, rng)
    missing |= blocked(height_m, place, projector, GRID_EXTENT_M)
    points[missing] = 0
    return Render(points, rgb, hits)


def surface_hits(height_m: Float32, camera: Camera) -> Lookup:
    """The grid place that each pixel of `camera` sees of a surface, without rendering it."""
    return _intersect(height_m, camera).hits


def _intersect(height_m: Float32, camera: Camera) -> _Geometry:
    center = camera.to_plane((0, 0, 0))
    # einsum rather than a BLAS product: its bits do not depend on the number of threads.
    directions = np.einsum("hwc,cd->hwd", camera.rays(), camera.camera_from_plane().astype(np.float32))
    slope = directions[..., :2] / directions[..., 2:]
    ground = center[:2] - center[2] * slope
    height, hits = first_hit(height_m, ground, slope, GRID_EXTENT_M)
    place = np.concatenate([ground + slope * height[..., None], height[..., None]], axis=-1)
    return _Geometry((height - center[2]) / directions[..., 2], place, hits)


def _normals(height_m: Float32, hits: Lookup) -> Float32:
    """(H, W, 3) unit normals at the hits, plane frame."""
    slopes = np.gradient(height_m, np.float32(GRID_EXTENT_M / height_m.shape[0]))
    down, right = (hits(np.asarray(slope, dtype=np.float32)) for slope in slopes)
    return _unit(np.dstack([-right, -down, np.ones_like(right)]))


def _lamp_shadow(height_m: Float32, place: Float32, light: Float32) -> Bool:
    """(H, W) bool, at half the resolution: the shadow is blurred anyway."""
    coarse = place[::2, ::2]
    shadow = blocked(height_m, coarse, np.broadcast_to(light, coarse.shape), GRID_EXTENT_M)
    return shadow.repeat(2, axis=0).repeat(2, axis=1)[: place.shape[0], : place.shape[1]]


def _depth_noise(grazing: Float32, camera: Camera, rng: np.random.Generator) -> Float32:
    """(H, W) meters: white noise that grows at grazing view, and smooth noise of the pattern's decoding."""
    white, smooth = rng.standard_normal((2, camera.size, camera.size), dtype=np.float32)
    smooth = ndimage.gaussian_filter(smooth, CORRELATION_PIXELS) * (2 * np.sqrt(np.pi) * CORRELATION_PIXELS)
    white = white * camera.depth_noise_m / np.clip(grazing, 0.3, 1)
    return np.asarray(white + smooth * camera.correlated_noise_m, dtype=np.float32)


def _unmeasured(
    grazing: Float32, shine: Float32, brightness: Float32, camera: Camera, rng: np.random.Generator
) -> Bool:
    """(H, W) bool: lost to grazing view, saturation, darkness or chance."""
    chance = rng.random(grazing.shape, dtype=np.float32)
    patchy = np.clip((GRAZING_PATCHY - grazing) / (GRAZING_PATCHY - GRAZING_BLIND), 0, 1)
    dark = np.clip(1 - brightness / 0.03, 0, 1)
    return np.asarray((chance < camera.dropout + patchy**2 + 0.2 * dark) | (shine > BURNT_OUT))


def _unit(vectors: Float32) -> Float32:
    return np.asarray(vectors / np.sqrt(_dot(vectors, vectors))[..., None], dtype=np.float32)


def _dot(a: Float32, b: Float32) -> Float32:
    return np.asarray(np.einsum("...c,...c->...", a, b))
