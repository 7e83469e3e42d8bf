"""The metrics of memory banks: what differs between them. To add one, name it in `Metric` and describe it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Metric

Float32Array = npt.NDArray[np.float32]


def directed(features: Float32Array) -> Float32Array:
    """(n, d) features at unit length; a zero feature stays zero, at cosine distance 0.5 from every other.

    Example:
        >>> directed(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    norms = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    unit: Float32Array = np.zeros_like(features)
    np.divide(features, norms, out=unit, where=norms > 0, casting="same_kind")
    return unit


def _unchanged(values: Float32Array) -> Float32Array:
    return values


def _halved(values: Float32Array) -> Float32Array:
    return values * np.float32(0.5)


def _square_sums(differences: Float32Array) -> Float32Array:
    sums: Float32Array = np.einsum("nkd,nkd->nk", differences, differences)
    return sums


def _absolute_sums(differences: Float32Array) -> Float32Array:
    sums: Float32Array = np.abs(differences).sum(axis=2, dtype=np.float64).astype(np.float32)
    return sums


@dataclass(frozen=True)
class Distance:
    """How a metric measures. A common shift of all prepared features must not change it.

    Coresets are selected in a sparse random projection, which keeps Euclidean distances (`calibration/coreset.py`);
    what it keeps of another is to be measured by whoever adds it.

    Attributes:
        prepare: (n, d) features to those that are held and compared.
        compare: (n, k, d) differences of prepared features to the (n, k) numbers that a search compares.
        finish: these numbers to distances; must not decrease.
        direct: the distance's name in SciPy, by which every pair is measured; None: the numbers are squared Euclidean
            distances, which matrix products and screens find.
    """

    prepare: Callable[[Float32Array], Float32Array] = _unchanged
    compare: Callable[[Float32Array], Float32Array] = _square_sums
    finish: Callable[[Float32Array], Float32Array] = _unchanged
    direct: str | None = None


DISTANCES: Mapping[Metric, Distance] = {
    "l2": Distance(finish=np.sqrt),
    "l1": Distance(compare=_absolute_sums, direct="cityblock"),
    # Of unit features: 1 - cos = |q - b|^2 / 2.
    "cosine": Distance(prepare=directed, finish=_halved),
}
