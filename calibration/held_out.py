"""Which normal scans score far above the others, each scored without its own patches in the banks.

A defective part hidden among the normal ones is one of these: it raises the threshold, and teaches the banks its
defect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from ..runtime.preparation.settling import names_apart
from ..runtime.sensor.in_memory import PartSource

# Of calibrations without any bad scan, about this share has one that is called suspicious.
FALSE_SUSPICION = 0.05
# The median absolute deviation of a normal distribution is this part of its standard deviation.
_MAD_OF_SIGMA = float(stats.norm.ppf(0.75))
_N_NAMED = 10
# The spread of few scans may be next to nothing, and the figure then says nothing.
_MOST_SIGMAS = 20

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class HeldOutScan:
    """A normal scan, scored as if it had never been seen.

    Attributes:
        scan: which one; `SCAN#NUMBER` for one of several parts in a scan.
        number: its place among the normal parts, from 0.
        score: its image score.
        sigmas: robust standard deviations above the median, see `robust_sigmas`; None if there is no spread.
        is_suspicious: whether that is more than `suspicion_limit`.
    """

    scan: PartSource | str
    number: int
    score: float
    sigmas: float | None
    is_suspicious: bool


def suspicion_limit(n: int) -> float:
    """How many robust standard deviations above the median make one of n good scans suspicious.

    The upper 5 % / n quantile of Student's t with n / 2 degrees of freedom: what the largest of n normal values
    exceeds in about one calibration of twenty, the median absolute deviation of few values being uncertain.

    Args:
        n: number of scans, 2 or more.

    Example:
        >>> round(suspicion_limit(5), 2), round(suspicion_limit(100), 2)
        (5.35, 3.5)
    """
    return float(stats.t.isf(FALSE_SUSPICION / n, n / 2))


def robust_sigmas(scores: npt.ArrayLike) -> Scores | None:
    """How far scores lie above their median, in standard deviations estimated by the median absolute deviation.

    Logarithms are used, as for the tail of the threshold, unless a score is zero or less. None if more than half of
    the scores are the same, so that there is no spread.

    Args:
        scores: (n,) of good scans.

    Returns:
        (n,) float64.
    """
    values = np.asarray(scores, np.float64)
    if (values > 0).all():
        values = np.log(values)
    distances = values - np.median(values)
    spread = float(np.median(np.abs(distances))) / _MAD_OF_SIGMA
    if spread <= 0:
        return None
    sigmas: Scores = distances / spread
    return sigmas


def ranked(scans: Sequence[PartSource | str], scores: Scores) -> list[HeldOutScan]:
    """All normal scans, the highest score first."""
    sigmas, limit = robust_sigmas(scores), suspicion_limit(len(scans))
    return [
        HeldOutScan(
            scans[number],
            number,
            float(scores[number]),
            None if sigmas is None else float(sigmas[number]),
            sigmas is not None and bool(sigmas[number] > limit),
        )
        for number in np.argsort(-scores, kind="stable").tolist()
    ]


def suspicions(scans: Sequence[PartSource | str], scores: Scores) -> list[str]:
    """One sentence that names the suspicious scans; empty if there are none."""
    ordered = ranked(scans, scores)
    suspicious = [scan for scan in ordered if scan.is_suspicious]
    if not suspicious:
        return []
    names = names_apart(scans)
    named = [f"{names[scan.number]} ({scan.score:.4g}, {_in_sigmas(scan)})" for scan in suspicious[:_N_NAMED]]
    more = f", and {len(suspicious) - _N_NAMED} more" if len(suspicious) > _N_NAMED else ""
    score = "scores" if len(suspicious) == 1 else "score"
    return [
        f"{len(suspicious)} of {len(ordered)} normal scans {score} far above the others (median "
        f"{np.median(scores):.4g}; more than "
        f"{suspicion_limit(len(ordered)):.1f} robust sigma), as a defective part among them does: {', '.join(named)}"
        f"{more}: look at the part, and if it is bad calibrate without it"
    ]


def _in_sigmas(scan: HeldOutScan) -> str:
    assert scan.sigmas is not None
    return f"{scan.sigmas:.1f} sigma" if scan.sigmas < _MOST_SIGMAS else f"over {_MOST_SIGMAS} sigma"
