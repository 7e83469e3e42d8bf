"""Normal parts: a cable gland on its side, a cast flange, a cookie; each with its own everyday variation.

A maker takes a generator and a grid size and returns a `SynthPart`. All lengths are millimeters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .surface import (
    Bool,
    Color,
    Floats,
    SynthPart,
    grid_mm,
    painted,
    smooth_max,
    smooth_noise,
    smooth_step,
    turned,
    window,
)

# A feeder rail presents the long gland roughly along the image; round parts come as they may.
GLAND_TURN_RAD = 0.4


def make_gland(rng: np.random.Generator, grid_size: int) -> SynthPart:
    """A gray polyamide cable gland on its side: threaded spigot, hexagonal flange, hexagonal cap nut with a dome."""
    along, across = _posed(rng, grid_size, shift_mm=4, scale_std=0.012, turn=GLAND_TURN_RAD)
    pitch, phase, depth = 2.0, rng.uniform(0, 1), rng.normal(0.28, 0.02)
    flat, nut_roll, nut_shift = rng.normal(12.5, 0.12), rng.uniform(-np.pi / 6, np.pi / 6), rng.uniform(0, 1.6)
    radius = np.float32(rng.normal(8.3, 0.08))
    angle = np.arcsin(np.clip(across / radius, -1, 1)) / np.float32(2 * np.pi)
    thread = np.clip(1.7 * np.sin(2 * np.pi * (along / pitch + angle + phase)), -1, 1).astype(np.float32) * depth
    thread *= smooth_step(-27.5, -26.5, along) * smooth_step(-9.4, -10.4, along)
    chamfer = np.maximum(-25.6 - along, 0)
    spigot = _span(along, -27.5, -8)
    plain = _round_top(across, radius - chamfer) * spigot
    threaded = _round_top(across, radius - chamfer + thread) * spigot
    flange = _hex_top(across, flat - _bevel(along, -9, -3, 0.7), 0.0) * _span(along, -9, -3)
    neck = _round_top(across, np.full_like(across, 9.6)) * _span(along, -4, 3)
    start = -1.5 + nut_shift
    nut = _hex_top(across, 11.6 - _bevel(along, start, start + 15, 0.9), nut_roll) * _span(along, start, start + 14)
    crown = np.clip((along - start - 13) / 10.5, 0, 1)
    dome = _round_top(across, 6.2 + 5.2 * np.sqrt(1 - crown**2)) * _span(along, start + 13, start + 23.4)
    body = np.maximum.reduce([plain, flange, neck, nut, dome])
    relief = np.where(plain >= body, np.clip(threaded - plain, -0.5, 0.5), 0)
    footprint = body > 0
    relief = (relief + 0.018 * smooth_noise(rng, grid_size, 0.6)) * footprint
    height = np.where(footprint, body + np.float32(flat) + relief, 0)
    shade = rng.normal(1, 0.08)
    tone = np.where(along > start, rng.normal(1, 0.03), 1) * shade * (1 + 0.02 * smooth_noise(rng, grid_size, 6))
    return _finish(height, relief, footprint, tone, (0.36, 0.37, 0.38), 0.22, (0.60, 0.60, 0.59), 0.9)


def make_flange(rng: np.random.Generator, grid_size: int) -> SynthPart:
    """A cast flange: plate with four bolt holes, drafted hub with a machined face and a bore, four ribs."""
    x, y = _posed(rng, grid_size, shift_mm=4, scale_std=0.012, turn=np.pi)
    hub_x, hub_y = rng.normal(0, 0.25, 2)
    r, hub_r = np.hypot(x, y), np.hypot(x - hub_x, y - hub_y)
    edge = np.float32(rng.normal(30.5, 0.2)) + 0.18 * smooth_noise(rng, grid_size, 7)
    plate_top, hub_top = rng.normal(8.5, 0.15), rng.normal(17.0, 0.25)
    body = plate_top - _rounding(r - edge, 1.3)
    ribs = _ribs(x, y, hub_top - rng.uniform(1.8, 2.6), rng.normal(1.3, 0.1), rng.normal(0.47, 0.015))
    hub = hub_top - np.maximum(hub_r - rng.normal(12.3, 0.15), 0) * 3.2
    hub_face = smooth_step(12.0, 11.5, hub_r)
    body = smooth_max(smooth_max(body, ribs, 1.6), hub, 1.8)
    body -= np.clip(7.3 - hub_r, 0, 0.8)
    seats, holes = _bolt_holes(x, y)
    body = body * (1 - seats) + np.minimum(body, plate_top - 0.35) * seats
    footprint = (r < edge) & (hub_r > 6.5) & ~holes
    machined = np.maximum(hub_face, seats)
    cast = 0.05 * smooth_noise(rng, grid_size, 0.55) + 0.06 * smooth_noise(rng, grid_size, 1.4)
    turning = 0.012 * np.sin(hub_r * np.float32(2 * np.pi / 0.9))
    relief = ((1 - machined) * cast + machined * turning).astype(np.float32) * footprint
    waviness = 0.08 * smooth_noise(rng, grid_size, 12)
    tilt = _lean(rng, x, y, 0.004)
    height = np.where(footprint, body + waviness + tilt + relief, 0)
    tone = rng.normal(1, 0.07) * (1 + 0.05 * smooth_noise(rng, grid_size, 5)) * (1 + 0.55 * machined)
    gloss = 0.10 + 0.25 * machined
    return _finish(height, relief, footprint, tone, (0.27, 0.265, 0.26), gloss, (0.54, 0.53, 0.52), 1.6)


def make_cookie(rng: np.random.Generator, grid_size: int) -> SynthPart:
    """A baked cookie: a domed, wavy disc with crumb relief, browned where it stands out, and chocolate chips."""
    x, y = _posed(rng, grid_size, shift_mm=4, scale_std=0.025, turn=np.pi)
    r, edge = np.hypot(x, y), _wavy_outline(rng, x, y, 28.0)
    edge += 0.25 * smooth_noise(rng, grid_size, 2.5)
    share = np.clip(r / edge, 0, 1)
    body = rng.normal(10.5, 0.5) * (1 - share**2.6) ** 0.42 + rng.normal(0, 0.8) * (1 - share**2)
    body += 0.45 * smooth_noise(rng, grid_size, 8) + _lean(rng, x, y, 0.012)
    crumb = 0.20 * smooth_noise(rng, grid_size, 2.2) + 0.13 * smooth_noise(rng, grid_size, 0.9)
    crumb -= 0.35 * np.maximum(smooth_noise(rng, grid_size, 1.6) - 1.6, 0)
    chips, chip_height = _chips(rng, x, y)
    footprint = r < edge - 0.15
    rise = smooth_step(0, 1.2, edge - r)
    relief = (crumb * (1 - 0.85 * chips) * rise).astype(np.float32) * footprint
    height = np.where(footprint, np.maximum(body, 1.0) + chip_height * rise + relief, 0)
    browning = rng.normal(0, 0.05) - 0.22 * share**6 - 0.05 * smooth_noise(rng, grid_size, 6)
    tone = np.clip(1 + browning, 0.4, 1.5)[..., None] ** np.asarray([0.8, 1.15, 1.6], dtype=np.float32)
    color = painted(tone * (1 - chips[..., None]), (0.50, 0.30, 0.14)) + painted(chips, (0.085, 0.045, 0.028))
    gloss = 0.03 + 0.14 * chips
    return _finish(height, relief, footprint, color, (1, 1, 1), gloss, (0.66, 0.47, 0.27), 0.55)


PART_MAKERS: dict[str, Callable[[np.random.Generator, int], SynthPart]] = {
    "gland": make_gland,
    "flange": make_flange,
    "cookie": make_cookie,
}


def _posed(
    rng: np.random.Generator, grid_size: int, shift_mm: float, scale_std: float, turn: float
) -> tuple[Floats, Floats]:
    """The part's own coordinates over the grid: placed near the middle and turned by up to `turn` either way."""
    x, y = grid_mm(grid_size)
    shift_x, shift_y = rng.uniform(-shift_mm, shift_mm, 2)
    u, v = turned(x - np.float32(shift_x), y - np.float32(shift_y), rng.uniform(-turn, turn))
    scale = np.float32(1 + rng.normal(0, scale_std))
    return u / scale, v / scale


def _finish(
    height: Floats,
    relief: Floats,
    footprint: Bool,
    tone: Floats,
    color: Color,
    gloss: Floats | float,
    inside: Color,
    color_per_mm: float,
) -> SynthPart:
    """A part from its shape and from `tone` (N, N) or (N, N, 3) times `color`, tinted by the relief."""
    part = SynthPart(
        np.maximum(height, 0).astype(np.float32),
        relief.astype(np.float32),
        footprint,
        painted(tone, color).astype(np.float32),
        np.broadcast_to(np.float32(gloss), height.shape),
        inside,
        color_per_mm,
    )
    part.albedo[...] *= part.relief_color(part.relief)[..., None]
    return part


def _span(along: Floats, low: float, high: float) -> Bool:
    return (along >= low) & (along <= high)


def _bevel(along: Floats, low: float, high: float, width: float) -> Floats:
    """What a 45 degree bevel of both ends takes off."""
    return np.asarray(np.maximum(width - np.minimum(along - low, high - along), 0))


def _round_top(across: Floats, radius: Floats) -> Floats:
    """Height over its axis of a lying cylinder, and zero where it is not."""
    return np.asarray(np.sqrt(np.maximum(radius**2 - across**2, 0)))


def _hex_top(across: Floats, apothem: Floats, roll: float) -> Floats:
    """Height over its axis of a lying hexagonal bar, and zero beside it."""
    faces = [roll + turn * np.pi / 3 for turn in range(-1, 2)]
    slopes = [(np.float32(np.tan(face)), np.float32(1 / np.cos(face))) for face in faces]
    top = np.minimum.reduce([apothem * reach - across * slope for slope, reach in slopes])
    opposite = np.minimum.reduce([apothem * reach + across * slope for slope, reach in slopes])
    return np.asarray(np.maximum(top, 0) * (top + opposite > 0))


def _rounding(beyond: Floats, radius: float) -> Floats:
    """What a quarter-round edge takes off at a distance `beyond` (negative inside) of the outline."""
    into = np.clip(beyond + radius, 0, radius)
    return np.asarray(radius - np.sqrt(np.maximum(np.float32(radius**2) - into**2, 0)))


def _ribs(x: Floats, y: Floats, top: float, half_width: float, fall: float) -> Floats:
    """Four ribs at 45 degrees, falling outwards, with drafted sides."""
    along, across = turned(x, y, np.pi / 4)
    out = np.maximum(np.abs(along), np.abs(across))
    aside = np.minimum(np.abs(along), np.abs(across))
    return np.asarray(top - np.maximum(out - 12, 0) * fall - np.maximum(aside - half_width, 0) * 3)


def _bolt_holes(x: Floats, y: Floats) -> tuple[Floats, Bool]:
    """Weights of the spot-faced seats (N, N), and the holes."""
    to_hole = np.hypot(np.maximum(np.abs(x), np.abs(y)) - 23.5, np.minimum(np.abs(x), np.abs(y)))
    return smooth_step(5.3, 4.9, to_hole), to_hole < 3.0


def _wavy_outline(rng: np.random.Generator, x: Floats, y: Floats, radius: float) -> Floats:
    """Radius of an uneven circle in the direction of every cell."""
    around = np.linspace(-np.pi, np.pi, 361)
    modes = range(2, 7)
    waves = [rng.normal(0, 1.1 / mode) * np.cos(mode * around + rng.uniform(0, 2 * np.pi)) for mode in modes]
    outline = np.interp(np.arctan2(y, x), around, radius + np.sum(waves, axis=0))
    return np.asarray(outline, dtype=np.float32)


def _chips(rng: np.random.Generator, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Cover (N, N) 0..1 and height of chocolate chips."""
    cover, height = np.zeros_like(x), np.zeros_like(x)
    for _ in range(int(rng.integers(9, 15))):
        place, angle = 24 * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        center_x, center_y = place * np.cos(angle), place * np.sin(angle)
        turn, length, width, rise = rng.uniform([0, 1.5, 1.2, 0.5], [np.pi, 2.6, 2.0, 1.3])
        near = window(x, y, (center_x, center_y), 3.2)
        u, v = turned(x[near] - np.float32(center_x), y[near] - np.float32(center_y), turn)
        q = np.hypot(u / np.float32(length), v / np.float32(width))
        cover[near] = np.maximum(cover[near], smooth_step(1.05, 0.9, q))
        height[near] = np.maximum(height[near], rise * np.sqrt(np.maximum(1 - q**2, 0)))
    return cover, height


def _lean(rng: np.random.Generator, x: Floats, y: Floats, std: float) -> Floats:
    """A part never lies perfectly flat."""
    slope_x, slope_y = rng.normal(0, std, 2)
    return np.asarray(x * np.float32(slope_x) + y * np.float32(slope_y))
