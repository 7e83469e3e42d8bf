"""A scan three times, for people to look at: as it is, what was taken as the table, and what was taken as the part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from ...runtime.bundle.sensor_description import SensorDescription
from ...runtime.preparation.prepare import PreparedScan, evidence_of
from ...runtime.sensor.missing import valid_mask
from ...runtime.sensor.part import Part
from ...runtime.verdict.relief import shaded_surface

MOST_DRAWN = 12
PANEL = 230
_GAP, _CAPTION, _HEADING = 6, 18, 20
_TABLE, _ABOVE, _BEHIND, _PART = (70, 150, 255), (235, 180, 60), (225, 70, 90), (60, 210, 120)
_TINT = 0.55
_PAPER, _INK = (24, 24, 28), (215, 215, 215)
_HEADINGS = ("scan", "blue: table, yellow: above, red: behind", "green: part")
# Heights that the page's histogram counts.
_MOST_HEIGHTS = 20_000

_Picture = npt.NDArray[np.uint8]
_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class DrawnScan:
    """A scan that was drawn.

    Attributes:
        name: of the scan.
        panels: three pictures, (h, w, 3) uint8 each, of one size.
        heights_m: (n,) float64, evenly chosen points' heights above the table; empty without a table.
    """

    name: str
    panels: tuple[_Picture, _Picture, _Picture]
    heights_m: npt.NDArray[np.float64]


class FitGallery:
    """Draws the first scans that a fit shows it."""

    def __init__(self) -> None:
        self.drawn: list[DrawnScan] = []

    def look(self, name: str, part: Part, description: SensorDescription, prepared: PreparedScan | None) -> None:
        """Draw a scan with what a description makes of it; what could not be prepared has no part."""
        if len(self.drawn) < MOST_DRAWN:
            self.drawn.append(_drawn(name, part, description, prepared))

    def sheet(self) -> _Picture:
        """All of them below each other, (H, W, 3) uint8.

        Raises:
            ValueError: nothing was drawn.
        """
        return fit_sheet(self.drawn)


def fit_sheet(scans: Sequence[DrawnScan]) -> _Picture:
    """Scans below each other, three pictures each, under headings.

    Raises:
        ValueError: there are no scans.
    """
    if not scans:
        raise ValueError("there are no scans to draw")
    heights = [scan.panels[0].shape[0] for scan in scans]
    width = 3 * PANEL + 4 * _GAP
    height = _HEADING + sum(heights) + len(scans) * (_CAPTION + _GAP)
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for column, heading in enumerate(_HEADINGS):
        draw.text((_GAP + column * (PANEL + _GAP), 3), heading, fill=_INK, font=font)
    top = _HEADING
    for scan, panel_height in zip(scans, heights, strict=True):
        for column, panel in enumerate(scan.panels):
            sheet.paste(Image.fromarray(panel), (_GAP + column * (PANEL + _GAP), top))
        draw.text((_GAP, top + panel_height + 2), _printable(scan.name), fill=_INK, font=font)
        top += panel_height + _CAPTION + _GAP
    return np.asarray(sheet)


def _drawn(name: str, part: Part, description: SensorDescription, prepared: PreparedScan | None) -> DrawnScan:
    assert part.points is not None
    points, valid = part.points, valid_mask(part.points)
    preprocessing = description.preprocessing
    surface = np.repeat(shaded_surface(points, valid)[..., None], 3, axis=2)
    evidence = evidence_of(points, preprocessing, part.origin)
    table = surface
    heights: npt.NDArray[np.float64] = np.zeros(0)
    if evidence.plane is not None and preprocessing.plane != "never":
        above = evidence.plane.distances(points.astype(np.float64))
        reach = preprocessing.plane_distance_m
        table = _tinted(surface, valid & (np.abs(above) <= reach), _TABLE)
        table = _tinted(table, valid & (above > reach), _ABOVE)
        table = _tinted(table, valid & (above < -reach), _BEHIND)
        measured = above[valid]
        heights = measured.astype(np.float64)[:: max(1, len(measured) // _MOST_HEIGHTS)]
    kept = np.zeros_like(valid) if prepared is None else prepared.kept
    outline = kept & ~binary_erosion(kept, iterations=max(1, max(kept.shape) // PANEL))
    shown = np.where(outline[..., None], np.array(_PART, np.float32), _tinted(surface, kept, _PART))
    return DrawnScan(name, (_panel(surface), _panel(table), _panel(shown)), heights)


def _tinted(picture: npt.NDArray[np.float32], where: _Mask, color: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    tinted = picture.copy()
    tinted[where] = (1 - _TINT) * picture[where] + _TINT * np.array(color, np.float32)
    return tinted


def _panel(picture: npt.NDArray[np.float32]) -> _Picture:
    """At the width of a panel, or its height where that is the longer side, on paper's color."""
    height, width = picture.shape[:2]
    scale = PANEL / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = Image.fromarray(np.rint(picture).clip(0, 255).astype(np.uint8)).resize(size, Image.Resampling.BOX)
    panel = Image.new("RGB", (PANEL, size[1]), _PAPER)
    panel.paste(drawn, ((PANEL - size[0]) // 2, 0))
    return np.asarray(panel)


def _printable(name: str) -> str:
    """A name without what the font lacks, which would be drawn as boxes."""
    return "".join(character if character.isprintable() else "?" for character in name)
