"""One picture of many scans and what was taken as the part in each, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from ..runtime.preparation.part_view import OtherObject
from ..runtime.verdict.relief import shaded_surface

TILE = 160
_CAPTION = 14
_GAP = 4
_MOST_TILES = 64
_COLUMNS = 8
_PART = (60, 210, 120)
_OTHER = (255, 150, 40)
_TINT = 0.25
_PAPER = (24, 24, 28)
_INK = (215, 215, 215)

_Mask = npt.NDArray[np.bool_]
_Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """A scan of the sheet.

    Attributes:
        name: written below it.
        picture: (H, W, 3), points in meters (float32) or an image (uint8).
        kept: (H, W) bool, the part.
        others: what else is in view.
    """

    name: str
    picture: npt.NDArray[np.float32] | _Picture
    kept: _Mask
    others: tuple[OtherObject, ...] = ()


def evenly_chosen(count: int) -> list[int]:
    """Which of so many scans a sheet shows: 64 at most, evenly chosen, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _MOST_TILES)).round().astype(int)).tolist()


def contact_sheet(tiles: Sequence[Tile]) -> _Picture:
    """The scans side by side, each with its part tinted and outlined green, and circles around other objects.

    Args:
        tiles: at least one, and at most as many as `evenly_chosen` chooses.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: there are no tiles, or too many.
    """
    if not 1 <= len(tiles) <= _MOST_TILES:
        raise ValueError(f"a sheet shows 1 to {_MOST_TILES} scans, not {len(tiles)}")
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    pitch = TILE + _GAP, TILE + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * pitch[0] + _GAP, rows * pitch[1] + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for number, tile in enumerate(tiles):
        left, top = _GAP + number % columns * pitch[0], _GAP + number // columns * pitch[1]
        drawn = _drawn(tile)
        sheet.paste(drawn, (left + (TILE - drawn.width) // 2, top + (TILE - drawn.height) // 2))
        draw.text((left + 2, top + TILE + 1), _fitting(tile.name, font), fill=_INK, font=font)
    return np.asarray(sheet)


def _drawn(tile: Tile) -> Image.Image:
    height, width = tile.kept.shape
    scale = TILE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = np.array(Image.fromarray(_shown(tile)).resize(size, Image.Resampling.BILINEAR), np.float32)
    kept = np.asarray(Image.fromarray(tile.kept).resize(size, Image.Resampling.NEAREST), bool)
    color = np.array(_PART, np.float32)
    picture[kept] = (1 - _TINT) * picture[kept] + _TINT * color
    picture[kept & ~binary_erosion(kept)] = color
    drawn = Image.fromarray(np.rint(picture).astype(np.uint8))
    draw = ImageDraw.Draw(drawn)
    for other in tile.others:
        radius = scale * np.sqrt(other.pixels / np.pi) + 3
        x, y = scale * other.column, scale * other.row
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_OTHER, width=2)
    return drawn


def _shown(tile: Tile) -> _Picture:
    """The scan's relief or the image, thinned to little more than a tile's pixels."""
    step = max(1, max(tile.kept.shape) // (2 * TILE))
    picture, kept = tile.picture[::step, ::step], tile.kept[::step, ::step]
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture, np.uint8)
    gray = np.rint(shaded_surface(picture.astype(np.float32, copy=False), kept))
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a name, as much as goes below a tile; characters that the font lacks are drawn as boxes."""
    shown = "".join(character if character.isprintable() else "?" for character in name)
    while len(shown) > 1 and font.getlength(shown) > TILE - 4:
        shown = "…" + shown[2:]
    return shown
