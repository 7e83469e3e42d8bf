"""A picture of a scene from obliquely above, by NumPy alone: it needs no display, no GPU, and no Open3D.

Each point is a square, far ones first, so that near ones cover them: orthographic, and without holes up to a step of
the grid. Equal scenes give equal pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..runtime.files.atomic import atomic_write_bytes
from ..runtime.files.png import encode_png
from ..runtime.sensor.missing import valid_mask
from .scene import Picture, Points, Scene

_PANEL = 480
_MARGIN = 12
_CAPTION = 24
_TILT = math.radians(35)
_PAPER = (24, 24, 28)
_INK = (215, 215, 215)
_MOST_POINTS = 400_000
_MOST_SQUARE = 12

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Direction:
    """How a scan lies, told by its grid: unit vectors at right angles.

    Attributes:
        right: (3,) along rows.
        down: (3,) along columns.
        away: (3,) from the viewer (of a grid that is not mirrored).
    """

    right: Matrix
    down: Matrix
    away: Matrix


def direction_of(points_hw3: Points) -> Direction:
    """How a scan lies, from the mean steps between neighbors; that of a camera where there are too few.

    Args:
        points_hw3: (H, W, 3) float32, zero where nothing was measured.
    """
    measured = valid_mask(points_hw3)
    right = _mean_step(points_hw3[:, 1:], points_hw3[:, :-1], measured[:, 1:] & measured[:, :-1])
    down = _mean_step(points_hw3[1:], points_hw3[:-1], measured[1:] & measured[:-1])
    away = np.cross(right, down)
    if not np.linalg.norm(away) > 0:
        return Direction(*np.eye(3))
    right, away = right / np.linalg.norm(right), away / np.linalg.norm(away)
    return Direction(right, np.cross(away, right), away)


def draw_scene(scene: Scene) -> Picture:
    """The panels of a scene side by side: (H, W, 3) uint8, titles below."""
    drawn = [_captioned(_splatted(scene, panel.picture), panel.title) for panel in scene.panels]
    return np.concatenate(drawn, axis=1)


def write_picture(path: str | Path, scene: Scene) -> None:
    """Write `draw_scene` as a PNG.

    Raises:
        OutputError: it cannot be written.
    """
    atomic_write_bytes(path, encode_png(draw_scene(scene)))


def _mean_step(ahead: Points, behind: Points, both: npt.NDArray[np.bool_]) -> Matrix:
    step: Matrix = (ahead[both].astype(np.float64) - behind[both]).sum(axis=0)
    return step


def _splatted(scene: Scene, colors_hw3: Picture) -> Picture:
    step = max(1, math.ceil(math.sqrt(scene.points.shape[0] * scene.points.shape[1] / _MOST_POINTS)))
    shown = scene.measured[::step, ::step]
    points, colors = scene.points[::step, ::step][shown].astype(np.float64), colors_hw3[::step, ::step][shown]
    canvas = np.empty((_PANEL, _PANEL, 3), np.uint8)
    canvas[:] = _PAPER
    places, depth = _projected(points, direction_of(scene.points))
    low, high = places.min(axis=0), places.max(axis=0)
    scale = (_PANEL - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
    pixels = (places - (low + high) / 2) * scale + _PANEL / 2
    order = np.argsort(-depth, kind="stable")
    return _painted(canvas, pixels[order], colors[order], _square(points, shown, scale))


def _projected(points_n3: Matrix, direction: Direction) -> tuple[Matrix, Matrix]:
    """Where points are in the picture (N, 2), right and down, and how far (N,), seen tilted from above."""
    centered = points_n3 - points_n3.mean(axis=0)
    across, along, far = (centered @ axis for axis in (direction.right, direction.down, direction.away))
    sine, cosine = math.sin(_TILT), math.cos(_TILT)
    return np.stack([across, cosine * along + sine * far], axis=-1), cosine * far - sine * along


def _square(points_n3: Matrix, shown_hw: npt.NDArray[np.bool_], scale: float) -> int:
    """The side of a point's square, pixels: a typical step of the grid, and one more."""
    extent = np.linalg.norm(np.ptp(points_n3, axis=0))
    diagonal = np.linalg.norm([np.ptp(places) for places in np.nonzero(shown_hw)])
    return int(min(_MOST_SQUARE, 1 + math.ceil(scale * extent / max(float(diagonal), 1.0))))


def _painted(canvas: Picture, pixels_n2: Matrix, colors_n3: Picture, side: int) -> Picture:
    """Squares in their order: of equal places NumPy keeps the last."""
    offsets = np.arange(side) - side // 2
    corner = np.floor(pixels_n2).astype(np.int64)
    columns = np.clip(corner[:, :1, None] + offsets[None, None, :], 0, _PANEL - 1)
    rows = np.clip(corner[:, 1:, None] + offsets[None, :, None], 0, _PANEL - 1)
    flat = (rows * _PANEL + columns).reshape(len(corner), -1)
    canvas.reshape(-1, 3)[flat.reshape(-1)] = np.repeat(colors_n3, flat.shape[1], axis=0)
    return canvas


def _captioned(panel: Picture, title: str) -> Picture:
    image = Image.new("RGB", (panel.shape[1], panel.shape[0] + _CAPTION), _PAPER)
    image.paste(Image.fromarray(panel))
    ImageDraw.Draw(image).text((_MARGIN, panel.shape[0] + 4), title, fill=_INK, font=ImageFont.load_default())
    return np.asarray(image)
