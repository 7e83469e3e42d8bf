"""Histograms of scores, stacked by kind, with a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .chart import Axis, Chart

_HEIGHT = 230
_MOST_BINS, _FEWEST_BINS = 32, 12

Float64Array = npt.NDArray[np.float64]


class Bars(NamedTuple):
    """What is counted on its own: its name, its color, and the values, (n,) float64."""

    name: str
    color: str
    values: Float64Array


def histogram(title: str, x_label: str, y_label: str, kinds: Sequence[Bars], threshold: float) -> Chart:
    """Counts of values upwards, a kind on top of the kind before, with the threshold marked.

    Args:
        title: the chart's.
        x_label: what the values are.
        y_label: what is counted.
        kinds: from below.
        threshold: is shown even where it is beyond all values.
    """
    edges = _bin_edges(np.concatenate([kind.values for kind in kinds]), threshold)
    counts = [np.histogram(kind.values, edges)[0] for kind in kinds]
    highest = int(np.sum(counts, axis=0).max())
    x, y = Axis(x_label, float(edges[0]), float(edges[-1])), Axis(y_label, 0, max(2, highest), is_count=True)
    chart = Chart(title, x, y, height=_HEIGHT)
    base = np.zeros(len(edges) - 1, np.intp)
    for kind, heights in zip(kinds, counts, strict=True):
        for place in np.flatnonzero(heights):
            left, right = float(edges[place]), float(edges[place + 1])
            hint = f"{heights[place]} {kind.name}, {x_label} {left:.3g} to {right:.3g}"
            span = float(base[place]), float(base[place] + heights[place])
            chart.bar((left, right), span, kind.color, kind.name, hint)
        base += heights
    chart.mark(threshold, "threshold")
    return chart


def _bin_edges(values: Float64Array, threshold: float) -> Float64Array:
    """Over all values and the threshold, with a margin; more of them for more values."""
    low, high = min(float(values.min()), threshold), max(float(values.max()), threshold)
    margin = 0.04 * (high - low) or 0.5
    n = int(np.clip(2 * np.sqrt(len(values)), _FEWEST_BINS, _MOST_BINS))
    return np.linspace(low - margin, high + margin, n + 1)
