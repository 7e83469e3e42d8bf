"""The decision layer's weights, learned from normal scans (Sui et al. 2025, decision-layer fusion).

What the one-class SVM learns here is known in closed form: its weight vector is the mean of the share nu of
the pairs that lie nearest to the origin along it. So for distances, which are not negative, no coefficient is
either, and a larger distance is a larger score; once balanced, the two are close to each other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import SGDOneClassSVM

from ..runtime.errors import UsageError
from ..runtime.verdict.fusion import Combination, Fusion

MAX_PIXELS = 20_000

Pairs = npt.NDArray[np.floating]


def fit_fusion(scores: Pairs, pixels: Pairs, nu: float = 0.5, max_iter: int = 1000, seed: int = 0) -> Fusion:
    """Two one-class SVMs by stochastic gradient descent: on the image scores, and on the pixels of the maps.

    alpha and beta are one over the modalities' means on the given values. The descent's steps suit values of
    about one: on larger ones, balanced or not, it ends far from the optimum.

    Args:
        scores: (n, 2) image scores of normal scans, main modality first.
        pixels: (p, 2) distances of their foreground patches at 56x56, of which MAX_PIXELS are drawn with the
            seed. With the background more than half would be zero, and the weights with them.
        nu: the share of normal values outside the boundary.
        max_iter: passes over the data, all of which are made.
        seed: of the drawing and of the order of the descent.

    Raises:
        UsageError: no values, a value that is not finite, or a modality whose distances are mostly zero.
    """
    scores, pixels = _checked(scores, "image scores"), _checked(pixels, "pixels")
    drawn = pixels
    if len(pixels) > MAX_PIXELS:
        drawn = pixels[np.random.default_rng(seed).choice(len(pixels), MAX_PIXELS, replace=False)]
    return Fusion(score=_fit(scores, nu, max_iter, seed, "image scores"), map=_fit(drawn, nu, max_iter, seed, "pixels"))


def _checked(pairs: Pairs, what: str) -> npt.NDArray[np.float64]:
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise UsageError(f"fusion: {what} have shape {pairs.shape}, expected (n, 2) with at least one row")
    if not np.isfinite(pairs).all():
        raise UsageError(f"fusion: a value of the {what} is not finite")
    return pairs.astype(np.float64)


def _fit(pairs: npt.NDArray[np.float64], nu: float, max_iter: int, seed: int, what: str) -> Combination:
    means = pairs.mean(axis=0)
    _require_positive(means, what)
    # tol=None: early stopping would make the weights depend on the order of the data.
    svm = SGDOneClassSVM(nu=nu, max_iter=max_iter, tol=None, random_state=seed).fit(pairs / means)
    main, second = (float(value) for value in np.ravel(svm.coef_))
    _require_positive(np.array([main, second]), what)
    return Combination(
        coefficients=(main, second),
        offset=float(np.ravel(svm.offset_)[0]),
        alpha=float(1 / means[0]),
        beta=float(1 / means[1]),
    )


def _require_positive(values: npt.NDArray[np.float64], what: str) -> None:
    for value, modality in zip(values, ("main", "second"), strict=True):
        if not value > 0:
            raise UsageError(
                f"fusion: the {what} of the {modality} modality are zero on most good scans, as they are for "
                "copies of one scan: calibrate with different scans"
            )
