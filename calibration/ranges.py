"""Activation ranges for int8, from real normal scans that went through the runtime's own path."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ..runtime.errors import UsageError
from .choices import Calibrator
from .graph_bisection import run_with_tensors

N_BINS = 2048
PERCENTILE = 99.99
LEVELS = 127
# What defective parts may go beyond the largest value that normal ones show.
HEADROOM = 1.15
# Clipping points that the mean squared error is minimized over, as shares of the largest value.
_SHARES = np.linspace(0.2, 1.0, 81)

Inputs = Mapping[str, npt.NDArray[Any]]
Array = npt.NDArray[np.float32]


class Histogram:
    """Absolute values of a tensor in bins of equal width; the width doubles whenever a value lies beyond."""

    def __init__(self) -> None:
        self.counts = np.zeros(N_BINS, np.int64)
        self.largest = 0.0
        self._reach = 0.0

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Count values."""
        magnitudes = np.abs(values).ravel()
        largest = float(magnitudes.max(initial=0))
        if not largest:
            return
        self.largest = max(self.largest, largest)
        self._reach = self._reach or largest
        while self._reach < largest:
            self.counts = np.concatenate([self.counts.reshape(-1, 2).sum(axis=1), np.zeros(N_BINS // 2, np.int64)])
            self._reach *= 2
        self.counts += np.histogram(magnitudes, N_BINS, (0, self._reach))[0]

    def limit(self, calibrator: Calibrator) -> float:
        """Where to clip: beyond the largest value, at a percentile, or where the mean squared error is least."""
        if calibrator == "minmax" or not self.largest:
            return HEADROOM * self.largest
        edges = np.linspace(0, self._reach, N_BINS + 1)
        if calibrator == "percentile":
            share = np.cumsum(self.counts) / self.counts.sum()
            return min(float(edges[1 + np.searchsorted(share, PERCENTILE / 100)]), self.largest)
        centers = (edges[1:] + edges[:-1]) / 2
        limits = _SHARES * self.largest
        steps = limits[:, None] / LEVELS
        restored = np.clip(np.rint(centers / steps), 0, LEVELS) * steps
        errors = ((restored - centers) ** 2 * self.counts).sum(axis=1)
        return float(limits[errors.argmin()])


def activation_ranges(
    model: bytes, tensors: Iterable[str], samples: Sequence[Inputs], calibrator: Calibrator
) -> dict[str, float]:
    """For each tensor of a graph the magnitude that int8 reaches to.

    Args:
        model: a float32 graph.
        tensors: some of its tensors, inputs included.
        samples: its inputs on normal scans.
        calibrator: minmax, percentile (99.99) or mse.

    Raises:
        UsageError: there is no such calibrator.
    """
    if calibrator not in get_args(Calibrator):
        raise UsageError(f"there is no calibrator {calibrator!r}: choose one of {', '.join(get_args(Calibrator))}")
    histograms = {name: Histogram() for name in tensors}
    for name, array in _observed(model, histograms, samples):
        histograms[name].add(array)
    return {name: histogram.limit(calibrator) for name, histogram in histograms.items()}


def channel_limits(model: bytes, tensors: Iterable[str], samples: Sequence[Inputs]) -> dict[str, Array]:
    """For each tensor of a graph (..., K) the largest magnitude of every channel on real scans, (K,) float32."""
    limits: dict[str, Array] = {}
    for name, array in _observed(model, list(tensors), samples):
        largest = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0)
        limits[name] = np.maximum(limits.get(name, largest), largest)
    return limits


def _observed(model: bytes, tensors: Collection[str], samples: Sequence[Inputs]) -> Iterator[tuple[str, Array]]:
    """Every one of the tensors on every sample, by name."""
    for sample in samples:
        yield from ((name, array) for name, array in sample.items() if name in tensors)
        yield from run_with_tensors(model, sample, [name for name in tensors if name not in sample])
