"""An inspection in a notebook's cell: one piece of HTML that loads nothing, a few dozen kilobytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from ..files.png import encode_png
from .regions import DefectRegion

# A picture's longer side, at most; regions that are listed, at most.
_MOST_PIXELS = 480
_MOST_ROWS = 8
_BAD, _GOOD = "#b3261e", "#1b7f3b"
_COLUMNS = ("region", "peak", "row, column", "center mm", "length mm", "width mm", "area mm²")
_UNKNOWN = "–"


def verdict_html(
    title: str,
    score: float,
    threshold: float,
    picture_hw3: npt.NDArray[np.uint8],
    regions: Sequence[DefectRegion],
    regions_found: int,
) -> str:
    """The verdict, the score against its threshold, the picture and a table of the regions; everything is escaped.

    Args:
        title: the product and the part.
        score, threshold: the verdict.
        picture_hw3: (H, W, 3) uint8, the heat map; thinned to at most 480 pixels on its longer side.
        regions: the highest first.
        regions_found: how many there are.
    """
    verdict, color = ("defect", _BAD) if score > threshold else ("good", _GOOD)
    height, width = picture_hw3.shape[:2]
    step = -(-max(height, width) // _MOST_PIXELS)
    data = b64encode(encode_png(picture_hw3[::step, ::step])).decode("ascii")
    return (
        '<div style="font-family:sans-serif">'
        f'<p style="margin:0 0 .4em"><b>{escape(title)}</b> <b style="color:{color}">{verdict}</b>, '
        f"score {score:.4g}, threshold {threshold:.4g}</p>"
        f'<img alt="heat map: {verdict}" src="data:image/png;base64,{data}" '
        f'title="{height} x {width} pixels{"" if step == 1 else f", one in {step} shown"}">'
        f"{_table(regions, regions_found)}</div>"
    )


def _table(regions: Sequence[DefectRegion], regions_found: int) -> str:
    if not regions:
        return "<p>no pixel is above the pixel threshold</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)
    rows = "".join(f"<tr>{_cells(region)}</tr>" for region in regions[:_MOST_ROWS])
    hidden = regions_found - min(len(regions), _MOST_ROWS)
    more = f"<p>and {hidden} more</p>" if hidden > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _cells(region: DefectRegion) -> str:
    center = _UNKNOWN if region.center_m is None else ", ".join(f"{1e3 * value:.1f}" for value in region.center_m)
    values = (
        str(region.number),
        f"{region.peak_score:.4g}",
        f"{region.peak_row}, {region.peak_column}",
        center,
        _scaled(region.length_m, 1e3),
        _scaled(region.width_m, 1e3),
        _scaled(region.area_m2, 1e6),
    )
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _scaled(value: float | None, factor: float) -> str:
    return _UNKNOWN if value is None else f"{factor * value:.1f}"
