"""Just enough SVG for the report's plots: a frame with axes, lines, bars and points, as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 16, 44
COLORS = ("#3366aa", "#cc6633", "#338855", "#884499", "#aa3344", "#667711", "#117788", "#555555")


class Axis:
    """Numbers along one axis become pixels."""

    def __init__(self, low: float, high: float, begin: float, end: float, logarithmic: bool = False) -> None:
        """Numbers from `low` to `high` lie between the pixels `begin` and `end`."""
        self.logarithmic = logarithmic
        self.low, self.high = low, high if high > low else low + max(abs(low), 1.0)
        self._begin, self._end = begin, end

    def __call__(self, value: float) -> float:
        """The pixel of a number."""
        scale: Callable[[float], float] = math.log10 if self.logarithmic else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> list[float]:
        """Round numbers inside: powers of ten, or about five steps of 1, 2 or 5."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1)]
        raw = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


class Plot:
    """One picture with two axes."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        x_label: str,
        y_label: str,
        logarithmic: bool = False,
    ) -> None:
        self.x = Axis(*x, _LEFT, WIDTH - _RIGHT, logarithmic)
        self.y = Axis(*y, HEIGHT - _BOTTOM, _TOP, logarithmic)
        self._body: list[str] = []
        self._frame(x_label, y_label)

    def line(self, points: Sequence[tuple[float, float]], color: str, title: str, dashed: bool = False) -> None:
        """A line through points."""
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._body.append(
            f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"{dash}>'
            f"<title>{escape(title)}</title></polyline>"
        )

    def dot(self, x: float, y: float, color: str, label: str, hollow: bool = False) -> None:
        """A point with its name beside it."""
        at_x, at_y = self.x(x), self.y(y)
        fill = "none" if hollow else color
        self._body.append(
            f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="4.5" fill="{fill}" stroke="{color}" stroke-width="1.5"/>'
        )
        self.text(at_x + 8, at_y - 6, label)

    def bar(self, left: float, right: float, top: float, height: float, color: str, title: str) -> None:
        """A horizontal bar between two numbers of the x axis; top and height in pixels."""
        begin, end = self.x(left), self.x(right)
        self._body.append(
            f'<rect x="{begin:.1f}" y="{top:.1f}" width="{max(0.0, end - begin):.1f}" height="{height:.1f}" '
            f'fill="{color}"><title>{escape(title)}</title></rect>'
        )

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        """Words at a pixel."""
        self._body.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def svg(self) -> str:
        """The whole picture."""
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" xmlns="http://www.w3.org/2000/svg">'
            + "".join(self._body)
            + "</svg>"
        )

    def _frame(self, x_label: str, y_label: str) -> None:
        bottom = HEIGHT - _BOTTOM
        self._body.append(
            f'<path d="M{_LEFT} {_TOP}V{bottom}H{WIDTH - _RIGHT}" fill="none" stroke="currentColor" stroke-width="1"/>'
        )
        for value in self.x.ticks():
            self.text(self.x(value), bottom + 16, number(value), "middle")
        for value in self.y.ticks() if y_label else []:
            self.text(_LEFT - 6, self.y(value) + 4, number(value), "end")
            self._body.append(
                f'<path d="M{_LEFT} {self.y(value):.1f}H{WIDTH - _RIGHT}" stroke="currentColor" stroke-opacity="0.15"/>'
            )
        self.text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, x_label, "middle")
        self._body.append(
            f'<text transform="translate(14 {(_TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names with their colors, as HTML."""
    return "".join(
        f'<span class="key"><span style="background:{color}"></span>{escape(name)}</span>' for name, color in entries
    )


def number(value: float) -> str:
    """A tick's number, short."""
    return f"{value:.4g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.0e}"
