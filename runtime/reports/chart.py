"""Charts as SVG text: axes, lines, points and bars, in colors that `chart.css` defines for light and dark.

A color is the name of a class of that style sheet: `c0` to `c8`, see `color`, or `good` and `bad`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

Point = tuple[float, float]

_WIDTH, _HEIGHT = 480, 280
_N_COLORS = 9
_STYLE = Path(__file__).with_name("templates") / "chart.css"
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 18, 14, 42
_HEADING, _KEY_WIDTH = 30, 120
_MOST_STEPS = 7
# Between bars that touch, pixels.
_BAR_GAP = 0.6


def color(index: int) -> str:
    """The class of the index-th color; they repeat.

    Example:
        >>> color(1), color(10)
        ('c1', 'c1')
    """
    return f"c{index % _N_COLORS}"


@dataclass(frozen=True)
class Axis:
    """The numbers along one side of a chart.

    Attributes:
        label: what they are, with the unit; an axis with none has no numbers written at it.
        low, high: those at its ends.
        is_log: whether equal steps are equal factors; then both ends are above 0.
        is_count: whether there is nothing between whole numbers.

    Example:
        >>> Axis("latency, ms", 0, 47).ticks()
        [0.0, 10.0, 20.0, 30.0, 40.0]
    """

    label: str
    low: float
    high: float
    is_log: bool = False
    is_count: bool = False

    @property
    def end(self) -> float:
        """The number at the far end: above `low` even where there is one number only."""
        return self.high if self.high > self.low else self.low + max(abs(self.low), 1.0)

    def share(self, number: float) -> float:
        """Where a number lies, from 0 at `low` to 1 at the far end."""
        scale: Callable[[float], float] = math.log10 if self.is_log else float
        return (scale(number) - scale(self.low)) / (scale(self.end) - scale(self.low))

    def ticks(self) -> list[float]:
        """Round numbers inside: powers of ten, or up to seven steps of 1, 2 or 5."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.end))
            return [10.0**power for power in range(first, last + 1)]
        least = (self.end - self.low) / _MOST_STEPS
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * 0.999)
        step = max(step, 1.0) if self.is_count else step
        # 0.3 / 0.1 is a little less than 3.
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.end / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


class Key(NamedTuple):
    """An entry of a legend: the color, what it stands for, and whether it is that of a line."""

    color: str
    name: str
    is_line: bool


class Chart:
    """A chart to draw into, in the numbers of its axes.

    Attributes:
        title: its heading, which screen readers read out, too.
        keys: the legend, in the order of drawing.

    Example:
        >>> chart = Chart("Speed", Axis("seconds", 0, 10), Axis("parts/s", 0, 5))
        >>> chart.line([(0, 4), (10, 5)], color(0), "CPU")
        >>> chart.svg().count("<polyline")
        1
    """

    def __init__(self, title: str, x: Axis, y: Axis, width: int = _WIDTH, height: int = _HEIGHT) -> None:
        """Begin with the frame.

        Args:
            title: the heading.
            x: the axis to the right.
            y: the axis upwards.
            width: of the drawing, pixels.
            height: of the drawing, pixels.
        """
        self.title, self.width, self.height = title, width, height
        self.keys: list[Key] = []
        self._x, self._y = x, y
        self._elements: list[str] = []
        self._draw_frame()

    def line(self, points: Sequence[Point], tone: str, name: str, hint: str = "") -> None:
        """A line through points.

        Args:
            points: (x, y) of each.
            tone: the color.
            name: in the legend.
            hint: what is shown where the pointer rests; empty: the name.
        """
        path = " ".join(f"{self._across(x):.1f},{self._up(y):.1f}" for x, y in points)
        self._add(f'<polyline class="line {tone}" points="{path}">{_hint(hint or name)}</polyline>')
        self._add_key(Key(tone, name, is_line=True))

    def dot(self, point: Point, tone: str, label: str = "", is_hollow: bool = False) -> None:
        """A point with its name beside it."""
        kind, x, y = "dot hollow" if is_hollow else "dot", self._across(point[0]), self._up(point[1])
        self._add(f'<circle class="{kind} {tone}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>')
        if label:
            self._text_beside((x, y - 6), 8, label)

    def bar(self, x: tuple[float, float], y: tuple[float, float], tone: str, name: str, hint: str) -> None:
        """A rectangle.

        Args:
            x: from where to where.
            y: from where to where.
            tone: the color.
            name: in the legend.
            hint: what is shown where the pointer rests.
        """
        left, right, top, bottom = self._across(x[0]), self._across(x[1]), self._up(y[1]), self._up(y[0])
        self._add(
            f'<rect class="bar {tone}" x="{left:.1f}" y="{top:.1f}" width="{max(0.0, right - left - _BAR_GAP):.1f}" '
            f'height="{bottom - top:.1f}">{_hint(hint)}</rect>'
        )
        self._add_key(Key(tone, name, is_line=False))

    def mark(self, x: float, words: str) -> None:
        """A dashed line upwards, with words at its top."""
        at = self._across(x)
        self._add(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{self._bottom}"/>')
        self._text_beside((at, _TOP + 9), 5, words, "strong")

    def label(self, point: Point, words: str, shift: Point, kind: str = "") -> None:
        """Words that begin at a point, shifted by so many pixels to the right and down."""
        self._text((self._across(point[0]) + shift[0], self._up(point[1]) + shift[1]), words, "start", kind)

    def elements(self) -> str:
        """What is in the drawing, as SVG elements."""
        return "".join(self._elements)

    def svg(self) -> str:
        """The drawing as an `svg` element for a page."""
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}">{self.elements()}</svg>'
        )

    @property
    def _bottom(self) -> int:
        return self.height - _BOTTOM

    def _across(self, x: float) -> float:
        return _LEFT + self._x.share(x) * (self.width - _LEFT - _RIGHT)

    def _up(self, y: float) -> float:
        return self._bottom - self._y.share(y) * (self._bottom - _TOP)

    def _add(self, element: str) -> None:
        self._elements.append(element)

    def _add_key(self, key: Key) -> None:
        if key.name and key not in self.keys:
            self.keys.append(key)

    def _text(self, place: Point, words: str, anchor: str, kind: str = "") -> None:
        name = f' class="{kind}"' if kind else ""
        self._add(f'<text{name} x="{place[0]:.1f}" y="{place[1]:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def _text_beside(self, place: Point, gap: float, words: str, kind: str = "") -> None:
        """Words on the side of a place where there is more room."""
        if place[0] > self.width / 2:
            self._text((place[0] - gap, place[1]), words, "end", kind)
        else:
            self._text((place[0] + gap, place[1]), words, "start", kind)

    def _draw_frame(self) -> None:
        right, bottom = self.width - _RIGHT, self._bottom
        for number in self._x.ticks() if self._x.label else ():
            at = self._across(number)
            self._add(f'<path class="grid" d="M{at:.1f} {_TOP}V{bottom}"/>')
            self._text((at, bottom + 15), _number_text(number), "middle")
        for number in self._y.ticks() if self._y.label else ():
            at = self._up(number)
            self._add(f'<path class="grid" d="M{_LEFT} {at:.1f}H{right}"/>')
            self._text((_LEFT - 6, at + 4), _number_text(number), "end")
        self._add(f'<path class="frame" d="M{_LEFT} {_TOP}V{bottom}H{right}"/>')
        self._text(((_LEFT + right) / 2, self.height - 8), self._x.label, "middle")
        middle = (_TOP + bottom) / 2
        label = escape(self._y.label)
        self._add(f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle">{label}</text>')


def _number_text(number: float) -> str:
    """A tick's number, short: 0.25, 1e+09."""
    return f"{number:.4g}" if 1e-3 <= abs(number) < 1e5 or number == 0 else f"{number:.0e}"


def stage_bars(title: str, label: str, bars: Sequence[tuple[str, dict[str, float], str]]) -> Chart:
    """Horizontal bars below each other, made of stages.

    Args:
        title: the chart's.
        label: of the axis to the right.
        bars: the name of each, written above it; milliseconds of its stages, in order; what is written at its end.
    """
    stages = dict.fromkeys(stage for _, milliseconds, _ in bars for stage in milliseconds)
    tones = {stage: color(index) for index, stage in enumerate(stages)}
    longest = max(sum(milliseconds.values()) for _, milliseconds, _ in bars)
    # A tenth more, for what is written at the end of the longest.
    chart = Chart(title, Axis(label, 0, 1.1 * longest), Axis("", 0, len(bars)), height=_TOP + _BOTTOM + 44 * len(bars))
    for row, (name, milliseconds, total) in enumerate(bars):
        at, low = 0.0, len(bars) - row - 0.9
        chart.label((0, low + 0.5), name, (4, -4), "strong")
        for stage, length in milliseconds.items():
            chart.bar((at, at + length), (low, low + 0.5), tones[stage], stage, f"{name}: {stage} {length:.1f} ms")
            at += length
        chart.label((at, low), total, (6, -7))
    return chart


def svg_file(charts: Sequence[Chart]) -> str:
    """An SVG file of at least one chart, below each other, each under its title and legend."""
    width, height = max(chart.width for chart in charts), sum(chart.height + _HEADING for chart in charts)
    parts, top = [], 0
    for chart in charts:
        heading = f'<text class="title" x="{_LEFT}" y="20">{escape(chart.title)}</text>'
        for place, key in enumerate(reversed(chart.keys)):
            right = chart.width - _RIGHT - _KEY_WIDTH * place
            heading += f'<text class="key {key.color}" x="{right}" y="20" text-anchor="end">{escape(key.name)}</text>'
        drawing = f'<g transform="translate(0 {_HEADING})">{chart.elements()}</g>'
        parts.append(f'<g class="chart" transform="translate(0 {top})">{heading}{drawing}</g>')
        top += chart.height + _HEADING
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    backdrop = '<rect class="backdrop" width="100%" height="100%"/>'
    style = _STYLE.read_text("utf-8")
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{backdrop}{"".join(parts)}</svg>\n'


def _hint(words: str) -> str:
    return f"<title>{escape(words)}</title>"
