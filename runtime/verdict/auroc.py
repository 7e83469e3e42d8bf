"""The area under the ROC curve, exact: every distinct score is a threshold."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

Scores = npt.NDArray[np.floating]


def auroc(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """How often an anomalous sample outscores a normal one, a tie counting half (Mann and Whitney 1947).

    Args:
        scores: (n,) larger is more anomalous.
        labels: (n,) true or non-zero where anomalous.

    Raises:
        UsageError: the lengths differ, a score is not finite, or only one class is present.

    Example:
        >>> auroc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
        0.875
    """
    values, anomalous = labeled_scores(scores, labels)
    normal, defective = np.sort(values[~anomalous]), np.sort(values[anomalous])
    below = np.searchsorted(normal, defective, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(normal, defective, side="right").sum(dtype=np.int64)
    return float((below + not_above) / (2 * len(normal) * len(defective)))


def labeled_scores(scores: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[Scores, npt.NDArray[np.bool_]]:
    """Scores and labels that can be compared, as arrays: (n,) of both.

    Raises:
        UsageError: see `auroc`.
    """
    values, anomalous = np.asarray(scores), np.asarray(labels)
    if values.ndim != 1 or values.shape != anomalous.shape:
        raise UsageError(
            f"ROC: scores of shape {values.shape} but labels of shape {anomalous.shape}: give (n,) of both"
        )
    anomalous = anomalous != 0
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    if not n_anomalous or not n_normal:
        raise UsageError(
            f"ROC: {n_normal} normal and {n_anomalous} anomalous samples: it needs both, add what is missing"
        )
    require_finite(values)
    return values, anomalous


def require_finite(scores: Scores) -> None:
    """Refuse scores that have no order.

    Raises:
        UsageError: one is not finite.
    """
    if not np.isfinite(scores).all():
        raise UsageError(f"metrics: {np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite")
