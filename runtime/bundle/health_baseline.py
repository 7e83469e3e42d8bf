"""What calibration measured of sensor, part and score on its normal scans: the reference for drift on the line."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec

from .bounds import require_finite, require_positive

MOST_VALUES = 128
"""Values kept of a measure: a drift monitor's first reference."""

SCORE = "score"

Direction3 = tuple[float, float, float]


class MeasureBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """One measure on the normal scans, in its own unit.

    Attributes:
        n: how many scans it was measured on.
        mean: over these.
        std: their standard deviation, n - 1 below; 0 for one scan.
        low, median, high: the 5, 50 and 95 percent quantiles.
        values: of at most 128 of the scans, evenly chosen in their order.
    """

    n: int
    mean: float
    std: float
    low: float
    median: float
    high: float
    values: list[float]

    def __post_init__(self) -> None:
        """Refuse what no scans can have had; see `bounds`."""
        require_positive(self, "n")
        require_finite(self, "mean", "std", "low", "median", "high")
        if self.std < 0 or not self.low <= self.median <= self.high:
            raise ValueError(f"std {self.std} or the quantiles {self.low}, {self.median}, {self.high} make no sense")
        if not 1 <= len(self.values) <= MOST_VALUES or not all(map(math.isfinite, self.values)):
            raise ValueError(f"values: must be 1 to {MOST_VALUES} finite numbers")

    @classmethod
    def of(cls, values: Sequence[float]) -> MeasureBaseline:
        """From a measure's values, at least one, in the order of the scans.

        Example:
            >>> MeasureBaseline.of([1.0, 2.0, 3.0]).std
            1.0
        """
        ordered = sorted(values)
        step = -(-len(values) // MOST_VALUES)
        return cls(
            n=len(values),
            mean=statistics.fmean(values),
            std=statistics.stdev(values) if len(values) > 1 else 0.0,
            low=_quantile(ordered, 0.05),
            median=_quantile(ordered, 0.5),
            high=_quantile(ordered, 0.95),
            values=[float(value) for value in values[::step]],
        )


class HealthBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """Every measure of `runtime.health.measures` on the normal scans.

    Attributes:
        measures: by name, and `score`, each scan's without its own rows in the banks.
        plane_normal: the mean of the supporting planes' normals, of length 1; None where no plane was removed.
    """

    measures: dict[str, MeasureBaseline]
    plane_normal: Direction3 | None = None

    def __post_init__(self) -> None:
        """Refuse a direction that is none."""
        if self.plane_normal is not None and not abs(math.hypot(*self.plane_normal) - 1) < 1e-6:
            raise ValueError(f"plane_normal is {self.plane_normal}: must have length 1")


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Of sorted values, between two of them by their distance (Hyndman and Fan 1996, type 7)."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))
