"""Random parts: a body of some outline and dome, relief on it, features up and down, colors tied to both.

They are nobody's parts: the classes of `training.synth` are for judging and take no part in the training.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]

TEXTURE_SIZE, TEXTURE_EXTENT_M = 512, 0.10
FULL_TURN = 2 * np.pi
STAIN_ROUGHNESS = 1.3
# The part's lowest place: the supporting plane and what lies within 5 mm of it are removed from scans.
LOWEST_M = 0.0055


@dataclass(frozen=True)
class Surface:
    """A surface on a grid: `height` (N, N) meters over the plane, `albedo` (N, N, 3), `footprint` (N, N) bool."""

    height: Float32
    albedo: Float32
    footprint: Bool


@dataclass(frozen=True)
class Feature:
    """Something that stands out of a body or is cut into it; lengths in meters, angles in radians."""

    profile: str
    center: tuple[float, float]
    angle: float
    size: float
    rise: float
    edge: float
    aspect: float
    power: float
    length: float
    color: Float32 | None


def smooth_step(t: npt.NDArray[np.floating]) -> Float32:
    """0 below 0, 1 above 1, smooth between."""
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def fractal_texture(rng: np.random.Generator, roughness: float) -> Float32:
    """(512, 512) periodic noise of unit variance whose spectrum falls as frequency to the power of `roughness`."""
    size = TEXTURE_SIZE
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    real, imaginary = rng.standard_normal((2, *frequency.shape))
    noise = np.fft.irfft2((real + 1j * imaginary) * frequency**-roughness, s=(size, size))
    return np.asarray(noise / noise.std(), dtype=np.float32)


def texture_at(texture: Float32, x: Float32, y: Float32) -> Float32:
    """A texture's values at places in meters."""
    places = (np.stack([y, x]) / TEXTURE_EXTENT_M + 0.5) * (TEXTURE_SIZE - 1)
    return np.asarray(ndimage.map_coordinates(texture, places, order=1, mode="reflect"), dtype=np.float32)


@dataclass(frozen=True)
class Scatter:
    """Features that every part of a family has, each part at other places: chips, crumbs, pores."""

    profile: str
    count: int
    size: float
    rise: float
    edge: float
    aspect: float
    spread: float

    def draw(self, rng: np.random.Generator, radius: float, aspect: float) -> list[Feature]:
        """One part's own."""
        features = []
        for _ in range(rng.poisson(self.count)):
            place, angle = 0.95 * radius * np.sqrt(rng.random()), rng.uniform(0, FULL_TURN)
            size, rise = np.array([self.size, self.rise]) * np.exp(rng.normal(0, self.spread, 2))
            features.append(
                Feature(
                    profile=self.profile,
                    center=(place * np.cos(angle), place * np.sin(angle) * aspect),
                    angle=rng.uniform(0, FULL_TURN),
                    size=size,
                    rise=rise,
                    edge=self.edge,
                    aspect=self.aspect,
                    power=2.0,
                    length=3 * size,
                    color=None,
                )
            )
        return features


class RandomPart:
    """One random part; `surface` shows it in any pose, `sibling` is another one of its family."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._base, self._radius, self._aspect = rng.uniform([0.008, 0.016, 0.6], [0.02, 0.030, 1.0])
        wavy = rng.random() < 0.5
        self._waves = [(k, rng.uniform(0, 0.24) / k, rng.uniform(0, FULL_TURN)) for k in range(2, 7)] if wavy else []
        self._power = float(rng.choice([2, 2, 4, 8, 16]))
        self._fillet = rng.uniform(0.0004, 0.004)
        self._dome = rng.uniform(-0.004, 0.010) * (rng.random() < 0.6)
        self._slope = rng.normal(0, 0.12, 2) * (rng.random() < 0.4)
        self._features = [self._feature(rng) for _ in range(rng.integers(2, 11))]
        self._grain_m = rng.uniform(0, 0.00025) * (rng.random() < 0.5)
        self._relief_m = rng.uniform(0, 0.0015) * (rng.random() < 0.4)
        self._grain_roughness = rng.uniform(1.0, 2.2)
        self._grain = fractal_texture(rng, self._grain_roughness)
        self._relief_roughness = rng.uniform(1.6, 2.6)
        self._relief = fractal_texture(rng, self._relief_roughness)
        self._stain, self._stain_share = fractal_texture(rng, STAIN_ROUGHNESS), rng.uniform(0, 0.15)
        self._color, self._plane_color = rng.uniform(0.1, 0.9, 3), rng.uniform(0.05, 0.55, 3)
        self._color_per_m = rng.uniform(-0.5, 0.5, 3) * rng.uniform(0, 120)
        self._relief_tint = rng.uniform(-0.03, 0.03, 3) * (self._relief_m > 0)
        self._looseness = 0.0
        self._scatter: Scatter | None = None
        self.gloss = float(rng.uniform(0, 0.35) * (rng.random() < 0.4))

    @classmethod
    def of_family(cls, rng: np.random.Generator) -> RandomPart:
        """A part whose siblings differ: more often textured, and in two of five with scattered features."""
        part = cls(rng)
        if rng.random() < 0.4:
            part._relief_m = rng.uniform(0.0001, 0.0006)
        if rng.random() < 0.4:
            part._grain_m = rng.uniform(0.00003, 0.0002)
        part._looseness = rng.uniform(0, 1) * (rng.random() < 0.7)
        if rng.random() < 0.4:
            size, rise, edge, aspect, spread = rng.uniform(
                [0.0008, 0.0003, 0.0002, 0.5, 0.1], [0.004, 0.0025, 0.001, 1.0, 0.4]
            )
            part._scatter = Scatter(
                profile=str(rng.choice(SCATTERED)),
                count=int(rng.integers(6, 30)),
                size=size,
                rise=rise * rng.choice([1, 1, -1]),
                edge=edge,
                aspect=aspect,
                spread=spread,
            )
        return part

    def sibling(self, rng: np.random.Generator) -> RandomPart:
        """Another normal part of the family: other grain and stains, other lengths, features a little off."""
        part, loose = copy.copy(self), self._looseness
        part._grain = fractal_texture(rng, self._grain_roughness)
        part._relief = fractal_texture(rng, self._relief_roughness)
        part._stain = fractal_texture(rng, STAIN_ROUGHNESS)
        base, radius, dome = loose * rng.normal(0, [0.0003, 0.02, 0.0004])
        part._base, part._radius, part._dome = self._base + base, self._radius * (1 + radius), self._dome + dome
        part._waves = [
            (k, share * (1 + loose * rng.normal(0, 0.2)), phase + loose * rng.normal(0, 0.3))
            for k, share, phase in self._waves
        ]
        part._features = [_moved(feature, loose, rng) for feature in self._features]
        if self._scatter is not None:
            part._features += self._scatter.draw(rng, part._radius, part._aspect)
        return part

    def surface(self, x: Float32, y: Float32) -> Surface:
        """The part at the given places of its own frame, (N, N) meters each."""
        height, footprint = self._body(x, y)
        color = np.broadcast_to(np.float32(self._color), (*x.shape, 3)).copy()
        for feature in self._features:
            rise, cover = _shape(feature, x, y)
            height = height + rise
            if feature.color is not None:
                color += 0.8 * np.clip(cover, 0, 1)[..., None] * (feature.color - color)
        relief = texture_at(self._relief, x, y)
        height = height + self._grain_m * texture_at(self._grain, x, y) + self._relief_m * relief
        color += ((height - self._base) * footprint)[..., None] * self._color_per_m + relief[
            ..., None
        ] * self._relief_tint
        color *= 1 + self._stain_share * texture_at(self._stain, x, y)[..., None]
        height = np.where(footprint, np.maximum(height, LOWEST_M), 0)
        color = np.where(footprint[..., None], color, self._plane_color)
        return Surface(height.astype(np.float32), np.clip(color, 0.02, 0.95).astype(np.float32), footprint)

    def _body(self, x: Float32, y: Float32) -> tuple[Float32, Bool]:
        across = y / self._aspect
        if self._waves:
            angle, radius = np.arctan2(across, x), np.hypot(x, across)
            waves = [share * np.cos(k * angle + phase) for k, share, phase in self._waves]
            edge = self._radius * (1 + np.sum(waves, axis=0))
        else:
            radius = (np.abs(x) ** self._power + np.abs(across) ** self._power) ** (1 / self._power)
            edge = np.full_like(x, self._radius)
        into = edge - radius
        below_fillet = 1 - np.clip(into / self._fillet, 0, 1)
        height = self._base + self._dome * (1 - np.clip(radius / edge, 0, 1) ** 2)
        height = height + self._slope[0] * x + self._slope[1] * y
        return height - self._fillet * (1 - np.sqrt(1 - below_fillet**2)), into > 0

    def _feature(self, rng: np.random.Generator) -> Feature:
        place, angle = 0.85 * self._radius * np.sqrt(rng.random()), rng.uniform(0, FULL_TURN)
        size, rise, edge, aspect, length = rng.uniform(
            [0.0018, 0.0005, 0.0002, 0.3, 0.005], [0.009, 0.004, 0.0012, 1.0, 0.03]
        )
        return Feature(
            profile=str(rng.choice(list(PROFILES))),
            center=(place * np.cos(angle), place * np.sin(angle) * self._aspect),
            angle=rng.uniform(0, FULL_TURN),
            size=size,
            rise=rise * rng.choice([1, 1, 1, 0.4]) * rng.choice([-1, 1]),
            edge=edge,
            aspect=aspect,
            power=float(rng.choice([2, 2, 8])),
            length=length,
            color=rng.random(3).astype(np.float32) if rng.random() < 0.6 else None,
        )


def _moved(feature: Feature, loose: float, rng: np.random.Generator) -> Feature:
    """The feature as another part of the family has it."""
    shift_x, shift_y, turn, size, rise = loose * rng.normal(0, [0.0005, 0.0005, 0.05, 0.05, 0.08])
    center = feature.center[0] + shift_x, feature.center[1] + shift_y
    return replace(
        feature,
        center=center,
        angle=feature.angle + turn,
        size=feature.size * (1 + size),
        rise=feature.rise * (1 + rise),
    )


def _shape(feature: Feature, x: Float32, y: Float32) -> tuple[Float32, Float32]:
    """What a feature adds to the height, meters, and how far it covers each cell, 0..1."""
    cos, sin = np.cos(feature.angle), np.sin(feature.angle)
    along = (x - feature.center[0]) * cos + (y - feature.center[1]) * sin
    across = (y - feature.center[1]) * cos - (x - feature.center[0]) * sin
    power = feature.power
    reach = (np.abs(along) ** power + np.abs(across / feature.aspect) ** power) ** (1 / power)
    cover = PROFILES[feature.profile](feature, along, across, reach)
    return np.asarray(feature.rise * cover, dtype=np.float32), cover


def _block(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    return smooth_step((feature.size - reach) / feature.edge + 0.5)


def _terrace(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    return smooth_step((2 * feature.size - reach) / feature.edge + 0.5)


def _cone(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    return 1.5 * np.clip(1 - reach / feature.size, 0, 1)


def _cap(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    return 1.5 * np.sqrt(np.clip(1 - (reach / feature.size) ** 2, 0, 1))


def _bar(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    sides = smooth_step((0.25 * feature.size - np.abs(across)) / feature.edge + 0.5)
    return 0.7 * sides * smooth_step((feature.length / 2 - np.abs(along)) / feature.edge + 0.5)


def _ring(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    return 0.7 * smooth_step((0.2 * feature.size - np.abs(reach - feature.size)) / feature.edge + 0.5)


def _waves(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    period = 0.0012 + 0.004 * feature.aspect
    return 0.3 * smooth_step((1.5 * feature.size - reach) / 0.001) * np.sin(FULL_TURN * along / period)


def _dots(feature: Feature, along: Float32, across: Float32, reach: Float32) -> Float32:
    period = 0.002 + 0.003 * feature.aspect
    to_dot = np.hypot((along + period / 2) % period - period / 2, (across + period / 2) % period - period / 2)
    dots = smooth_step((0.3 * period - to_dot) / feature.edge + 0.5)
    return 0.6 * dots * smooth_step((1.6 * feature.size - reach) / 0.0005)


Profile = Callable[[Feature, Float32, Float32, Float32], Float32]
PROFILES: dict[str, Profile] = {
    "block": _block,
    "terrace": _terrace,
    "cone": _cone,
    "cap": _cap,
    "bar": _bar,
    "ring": _ring,
    "waves": _waves,
    "dots": _dots,
}
# What may be scattered over a part.
SCATTERED = ("block", "cap", "cone", "dots", "ring", "bar")
