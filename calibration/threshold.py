"""A threshold from good parts alone, for a chosen false-reject rate.

Every good scan is scored without its own rows in the bank, so its score is that of an unseen part, by a bank that is
one scan smaller (which can only raise distances, and so the threshold). The map's threshold is learned in the same way
from the largest value of every scan's map: that share of good parts has pixels above it.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import brentq

from ..runtime.bundle.parameters import Threshold
from ..runtime.errors import UsageError

CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
# An extrapolated threshold beyond so many times the highest normal score rests on the few scans' spread alone.
FAR_OUT = 1.5
_FARTHEST = 38.0  # standard deviations, beyond which the normal tail is zero in float64

Scores = npt.NDArray[np.float64]


def threshold_from_good(scores: npt.ArrayLike, rate: float) -> Threshold:
    """The score that good parts exceed at the given rate.

    With k = ceil((n + 1)(1 - rate)) <= n the threshold is the k-th smallest score (conformal prediction, Vovk
    et al. 2005): a new good part exceeds it with probability at most `rate`, whatever the distribution.
    With fewer scans it is the upper prediction bound of a log-normal, marked "extrapolated".

    Args:
        scores: (n,) scores of good scans, none of which was in the bank that scored it.
        rate: false-reject rate, between 0 and 1.

    Raises:
        UsageError: the rate is not between 0 and 1, a score is not finite, or the scans are too few for the
            rate and tell nothing of the tail (fewer than two, all with one score, a score of zero or less).

    Example:
        >>> threshold_from_good(range(1, 100), rate=0.05).value
        95.0
    """
    values = np.sort(np.asarray(scores, np.float64).ravel())
    if not 0 < rate < 1:
        raise UsageError(f"false-reject rate {rate}: must lie between 0 and 1, e.g. 0.01 for one part in a hundred")
    if not np.isfinite(values).all():
        raise UsageError(f"threshold: {np.sum(~np.isfinite(values))} of {len(values)} good scores are not finite")
    n, needed = len(values), scans_needed(rate)
    if n >= needed:
        rank = math.ceil((n + 1) * (1 - _as_typed(rate)))
        value, interval = float(values[rank - 1]), _counted_interval(n, rank)
    else:
        _require_tail(values, rate, needed)
        value, interval = _log_normal_bound(values, rate)
    return Threshold(
        value=value,
        false_reject_rate=float(rate),
        method="order-statistic" if n >= needed else "extrapolated",
        n_scans=n,
        rate_low=interval[0],
        rate_high=interval[1],
        scans_needed=needed,
    )


def far_threshold(scores: npt.ArrayLike, threshold: Threshold, can_be_placed: bool = True) -> list[str]:
    """One sentence where a threshold lies far above all normal scores for want of scans; none elsewhere.

    Args:
        scores: (n,) of the good scans.
        threshold: that they gave.
        can_be_placed: whether the command at hand takes known defects.

    Example:
        >>> far_threshold([1.0, 2.0, 4.0], threshold_from_good([1.0, 2.0, 4.0], rate=0.05))[0][:63]
        'the threshold is 9.3 times the highest score of the 3 good scan'
        >>> far_threshold(range(1, 100), threshold_from_good(range(1, 100), rate=0.05))
        []
    """
    highest = float(np.max(scores))
    if threshold.method != "extrapolated" or threshold.placement is not None or threshold.value <= FAR_OUT * highest:
        return []
    placed = ", or place it with --defective" if can_be_placed else ""
    return [
        f"the threshold is {threshold.value / highest:.1f} times the highest score of the {threshold.n_scans} good "
        "scans: so few say little of how high good parts score, so it lies far out, and a defective part that scores "
        f"below it passes: calibrate with more good scans ({threshold.scans_needed} need no extrapolation){placed}"
    ]


def rate_interval(scores: npt.ArrayLike, value: float, threshold: Threshold) -> tuple[float, float]:
    """The 95 % interval of the share of good parts above a value that lies at a threshold or above it.

    Where the threshold was counted, that of a binomial share (Clopper and Pearson 1934), and no more than the
    threshold's own; where it was extrapolated, that of the same log-normal tail.

    Args:
        scores: (n,) the good scans' that gave the threshold.
        value: at or above it.
        threshold: from `threshold_from_good`.
    """
    values = np.sort(np.asarray(scores, np.float64).ravel())
    n = len(values)
    if threshold.method == "extrapolated":
        logs = np.log(values)
        factor = (math.log(value) - float(logs.mean())) / float(logs.std(ddof=1))
        return _realized_rate(n, factor, _TAILS[0]), _realized_rate(n, factor, _TAILS[1])
    above = int(np.sum(values > value))
    low = float(stats.beta.ppf(_TAILS[0], above, n - above + 1)) if above else 0.0
    high = float(stats.beta.ppf(_TAILS[1], above + 1, n - above))
    return min(low, threshold.rate_low), min(high, threshold.rate_high)


def scans_needed(rate: float, above: int = 1) -> int:
    """The smallest n with ceil((n + 1)(1 - rate)) <= n + 1 - above: with above = 1 the order statistic serves.

    Example:
        >>> scans_needed(0.01), scans_needed(0.01, above=2)
        (99, 199)
    """
    return math.ceil(above / _as_typed(rate)) - 1


def _as_typed(rate: float) -> Fraction:
    """0.05 as 1/20 and not as its nearest binary, which would cost a scan."""
    return Fraction(repr(float(rate)))


def _counted_interval(n: int, rank: int) -> tuple[float, float]:
    """The rate above the rank-th of n scores is distributed as Beta(n - rank + 1, rank) (Wilks 1941)."""
    low, high = stats.beta.ppf(_TAILS, n - rank + 1, rank)
    return float(low), float(high)


def _require_tail(values: Scores, rate: float, needed: int) -> None:
    """Refuse scores that a log-normal cannot be fitted to."""
    n = len(values)
    remedy = f"give more good scans ({needed} need no extrapolation for a false-reject rate of {rate:g})"
    if n < 2:
        raise UsageError(f"threshold: {n} good scans are too few: {remedy}")
    if values[0] <= 0:
        raise UsageError(
            f"threshold: {np.sum(values <= 0)} of {n} good scans score zero or less, as copies of others do: "
            f"remove the copies or {remedy}"
        )
    if values[0] == values[-1]:
        raise UsageError(f"threshold: all {n} good scans have the same score, as copies of one scan do: {remedy}")


def _log_normal_bound(values: Scores, rate: float) -> tuple[float, tuple[float, float]]:
    """Upper prediction bound exp(mean + k sd) of the logarithms, k = t sqrt(1 + 1/n) with n - 1 degrees."""
    n = len(values)
    logs = np.log(values)
    factor = float(stats.t.isf(rate, n - 1) * math.sqrt(1 + 1 / n))
    with np.errstate(over="ignore"):
        value = float(np.exp(logs.mean() + factor * logs.std(ddof=1)))
    if not math.isfinite(value):
        raise UsageError(
            f"threshold: {n} good scans are too few for a false-reject rate of {rate:g}: give more, or raise it"
        )
    return value, (_realized_rate(n, factor, _TAILS[0]), _realized_rate(n, factor, _TAILS[1]))


def _realized_rate(n: int, factor: float, level: float) -> float:
    """A quantile of the rate that really exceeds mean + factor sd of n normal values.

    The bound lies Q = (mean + factor sd - mu) / sigma standard deviations out, and P(Q <= q) is the
    probability that noncentral t with n - 1 degrees and noncentrality q sqrt(n) exceeds factor sqrt(n), as
    for tolerance factors (Owen 1968); the rate is 1 - Phi(Q), so its upper quantile is Q's lower one.
    """
    root = math.sqrt(n)

    def surplus(q: float) -> float:
        return float(stats.nct.sf(factor * root, n - 1, q * root)) - (1 - level)

    if surplus(_FARTHEST) <= 0:
        return 0.0
    return float(stats.norm.sf(brentq(surplus, -_FARTHEST, _FARTHEST)))
