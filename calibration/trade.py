"""The trade-off between defects missed and good parts rejected: what each threshold would do, and a chart of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..runtime.reports.chart import Axis, Chart, color

# Nobody runs a line that rejects half of its good parts; the chart goes on only where the threshold does.
_SHOWN_REJECTS = 0.5


@dataclass(frozen=True)
class TradePoint:
    """What a threshold would do to the test parts.

    Attributes:
        threshold: parts above are rejected; None: all are.
        rejected: good parts above it.
        missed: defective parts at it or below.
    """

    threshold: float | None
    rejected: int
    missed: int


@dataclass(frozen=True)
class Traded:
    """Scores of one method, and its threshold.

    Attributes:
        name: what the chart calls it.
        scores: (n,) float64, of good parts and defective ones.
        is_defective: (n,) bool.
        threshold: the calibrated one.
    """

    name: str
    scores: npt.NDArray[np.float64]
    is_defective: npt.NDArray[np.bool_]
    threshold: float

    def shares(self) -> list[tuple[float, float]]:
        """The shares of good parts rejected and of defective ones missed, by threshold."""
        return [self._share(point.rejected, point.missed) for point in trade_points(self.scores, self.is_defective)]

    def calibrated(self) -> tuple[float, float]:
        """The same shares at the calibrated threshold."""
        rejected = self.scores > self.threshold
        return self._share(int(np.sum(rejected & ~self.is_defective)), int(np.sum(~rejected & self.is_defective)))

    def _share(self, rejected: int, missed: int) -> tuple[float, float]:
        n_defective = int(self.is_defective.sum())
        return rejected / (len(self.scores) - n_defective), missed / n_defective


def trade_points(scores: npt.NDArray[np.float64], is_defective: npt.NDArray[np.bool_]) -> list[TradePoint]:
    """What every threshold that makes a difference would do, from rejecting all parts to rejecting none.

    Args:
        scores: (n,) float64, of the test parts.
        is_defective: (n,) bool.

    Example:
        >>> trade_points(np.array([1.0, 2.0]), np.array([False, True]))[1]
        TradePoint(threshold=1.0, rejected=0, missed=0)
    """
    good, bad = np.sort(scores[~is_defective]), np.sort(scores[is_defective])
    levels = np.unique(scores)
    rejected = len(good) - np.searchsorted(good, levels, side="right")
    missed = np.searchsorted(bad, levels, side="right")
    counts = zip(levels.tolist(), rejected.tolist(), missed.tolist(), strict=True)
    return [TradePoint(None, len(good), 0), *(TradePoint(*point) for point in counts)]


def drawn_trade(title: str, methods: Sequence[Traded]) -> Chart | None:
    """Defects missed against good parts rejected, and where each method's calibrated threshold lies.

    None if a method has only good parts, or only defective ones.
    """
    if not all(method.is_defective.any() and not method.is_defective.all() for method in methods):
        return None
    places = [method.calibrated() for method in methods]
    high = _SHOWN_REJECTS if all(rejected <= _SHOWN_REJECTS for rejected, _ in places) else 1.0
    chart = Chart(title, Axis("good parts rejected", 0, high), Axis("defects missed", 0, 1))
    for index, (method, place) in enumerate(zip(methods, places, strict=True)):
        chart.line(stairs(method.shares(), high), color(index), method.name)
        chart.dot(place, color(index), "calibrated" if len(methods) == 1 else "")
    return chart


def stairs(shares: list[tuple[float, float]], high: float) -> list[tuple[float, float]]:
    """Corners of the steps up to a share of rejects, the least first: a threshold is at a corner, never between two."""
    corners: list[tuple[float, float]] = []
    missed_before = 1.0
    for rejected, missed in sorted(shares):
        if rejected > high:
            break
        if missed < missed_before or not corners:
            corners += [(rejected, missed_before), (rejected, missed)]
            missed_before = missed
    return [*corners, (high, missed_before)]
