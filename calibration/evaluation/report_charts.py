"""Charts as inline SVG, in colors that the page's style sheet defines for light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

from ..metrics import Curve

N_COLORS = 6
N_STAGE_COLORS = 9
_WIDTH, _HEIGHT = 360, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 20, 12, 40
_MOST_BINS, _FEWEST_BINS = 32, 12
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 2", "1 2")

Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """One curve of a chart: its name, its points, and which of the page's colors it has."""

    name: str
    curve: Curve
    color: int


@dataclass(frozen=True)
class Axes:
    """Where data lie in the drawing.

    Attributes:
        x_max: data range, from zero.
        y_max: the same.
        height: of the drawing, pixels.
    """

    x_max: float
    y_max: float
    x_min: float = 0.0
    height: int = _HEIGHT

    def x(self, values: npt.ArrayLike) -> Float64Array:
        """Data to pixels."""
        share = (np.asarray(values, np.float64) - self.x_min) / (self.x_max - self.x_min)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, values: npt.ArrayLike) -> Float64Array:
        """Data to pixels, upwards."""
        share = np.asarray(values, np.float64) / self.y_max
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)


def curve_chart(title: str, x_label: str, y_label: str, series: Sequence[Series], x_max: float) -> str:
    """Curves over a false-positive rate from 0 to `x_max`, with a rate from 0 to 1 upwards.

    Args:
        title: read out by screen readers.
        x_label, y_label: of the axes.
        series: drawn in order.
        x_max: where the axis ends; curves end there, or before.
    """
    axes = Axes(x_max, 1.0)
    ticks = np.linspace(0, x_max, 6)
    lines = [_polyline(axes, each) for each in series]
    return _svg(title, axes, [*_grid(axes, ticks, np.linspace(0, 1, 6)), *lines, *_labels(axes, x_label, y_label)])


def histogram(title: str, good: Float64Array, defective: Float64Array, threshold: float) -> str:
    """Scores of good parts upwards and of defective ones on top of them, with the threshold.

    Args:
        title: read out by screen readers.
        good: (n,) scores.
        defective: (m,) scores.
        threshold: above which a part is called defective.
    """
    edges = _bins(np.concatenate([good, defective]), threshold)
    counts = [np.histogram(values, edges)[0] for values in (good, defective)]
    axes = Axes(float(edges[-1]), float(_ceiling(int((counts[0] + counts[1]).max()))), float(edges[0]), height=210)
    parts = _grid(axes, np.linspace(edges[0], edges[-1], 5), np.linspace(0, axes.y_max, 3), "{:.3g}")
    base = np.zeros(len(edges) - 1)
    for kind, height in zip(("good", "defective"), counts, strict=True):
        parts += _bars(axes, edges, base, height, kind)
        base = base + height
    at = float(axes.x(threshold))
    anchor, shift = ("end", -5) if at > _WIDTH / 2 else ("start", 5)
    parts.append(f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{axes.height - _BOTTOM}"/>')
    parts.append(f'<text class="mark" x="{at + shift:.1f}" y="{_TOP + 9}" text-anchor="{anchor}">threshold</text>')
    return _svg(title, axes, [*parts, *_labels(axes, "score", "parts")])


def stage_bars(
    title: str, names: Sequence[str], stages: Sequence[str], milliseconds: Float64Array, totals: Sequence[float]
) -> str:
    """One horizontal bar a name, stacked by stage.

    Args:
        title: read out by screen readers.
        names: n of them.
        stages: k of them, colored in order.
        milliseconds: (n, k).
        totals: n, written at the bars' ends; a median of sums is not the sum of medians.
    """
    row, label, width = 30, 150, 760
    height = row * len(names) + 6
    longest = float(milliseconds.sum(axis=1).max())
    scale = (width - label - 70) / max(longest, 1e-9)
    parts = []
    for i, name in enumerate(names):
        x, y = float(label), i * row + 6
        parts.append(f'<text class="name" x="{label - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        for k, stage in enumerate(stages):
            length = float(milliseconds[i, k]) * scale
            hint = escape(f"{stage}: {milliseconds[i, k]:.1f} ms")
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{length:.1f}" height="20" class="stage t{k % N_STAGE_COLORS}">'
                f"<title>{hint}</title></rect>"
            )
            x += length
        parts.append(f'<text class="name" x="{x + 6:.1f}" y="{y + 14}">{totals[i]:.0f} ms</text>')
    drawing = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{drawing}</svg>'


def dash(color: int) -> str:
    """The line style that goes with a color, so that curves differ in gray, too."""
    return _DASHES[color % N_COLORS]


def _polyline(axes: Axes, series: Series) -> str:
    x, y = series.curve
    inside = x <= axes.x_max
    beyond = np.interp(axes.x_max, x, y)
    x, y = np.append(x[inside], axes.x_max), np.append(y[inside], beyond)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(axes.x(x), axes.y(y), strict=True))
    color = series.color % N_COLORS
    return (
        f'<polyline class="curve c{color}" stroke-dasharray="{dash(color)}" points="{points}">'
        f"<title>{escape(series.name)}</title></polyline>"
    )


def _bars(axes: Axes, edges: Float64Array, base: Float64Array, counts: npt.NDArray[np.intp], kind: str) -> list[str]:
    left, right = axes.x(edges[:-1]), axes.x(edges[1:])
    low, high = axes.y(base), axes.y(base + counts)
    return [
        f'<rect class="{kind}" x="{left[i] + 0.5:.1f}" y="{high[i]:.1f}" width="{right[i] - left[i] - 1:.1f}" '
        f'height="{low[i] - high[i]:.1f}"><title>{counts[i]} {kind}, score {edges[i]:.3g} to {edges[i + 1]:.3g}'
        "</title></rect>"
        for i in np.flatnonzero(counts)
    ]


def _bins(scores: Float64Array, threshold: float) -> Float64Array:
    """Edges over all scores and the threshold, more of them for more parts, with a margin."""
    low, high = min(float(scores.min()), threshold), max(float(scores.max()), threshold)
    margin = 0.04 * (high - low) or 0.5
    n = int(np.clip(2 * np.sqrt(len(scores)), _FEWEST_BINS, _MOST_BINS))
    return np.linspace(low - margin, high + margin, n + 1)


def _ceiling(count: int) -> int:
    """The next even number."""
    return max(2, count + count % 2)


def _grid(axes: Axes, x_ticks: Float64Array, y_ticks: Float64Array, x_format: str = "{:.2g}") -> list[str]:
    bottom, right = axes.height - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for value, at in zip(x_ticks, axes.x(x_ticks), strict=True):
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{x_format.format(value)}</text>')
    for value, at in zip(y_ticks, axes.y(y_ticks), strict=True):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{value:.2g}</text>')
    return parts


def _labels(axes: Axes, x_label: str, y_label: str) -> list[str]:
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + axes.height - _BOTTOM) / 2
    return [
        f'<text class="axis" x="{middle_x}" y="{axes.height - 6}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text class="axis" transform="translate(12 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]


def _svg(title: str, axes: Axes, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {axes.height}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
