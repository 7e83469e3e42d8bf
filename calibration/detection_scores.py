"""The paper's scores of detection and localization: I-AUROC, P-AUROC, AUPRO.

All are exact: every distinct score is a threshold, by one sort over all scores. Memory is a few arrays of one
number per pixel, whatever the number of thresholds and regions.

A set without normal or without anomalous samples has no curve. That is an error and not NaN, which would be skipped
in a mean over classes, or spread through it, without anybody noticing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.integrate import trapezoid

from ..runtime.errors import UsageError
from ..runtime.verdict.auroc import auroc, labeled_scores, require_finite

Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Maps = Sequence[npt.NDArray[np.floating]] | npt.NDArray[np.floating]
Masks = Sequence[npt.NDArray[np.generic]] | npt.NDArray[np.generic]

_EIGHT_CONNECTED = np.ones((3, 3), np.int8)


def roc_curve(scores: npt.ArrayLike, labels: npt.ArrayLike) -> Curve:
    """False- and true-positive rate at every distinct score, from (0, 0) to (1, 1).

    Args:
        scores: (n,) larger is more anomalous.
        labels: (n,) true or non-zero where anomalous.

    Raises:
        UsageError: the lengths differ, a score is not finite, or only one class is present.
    """
    values, anomalous = labeled_scores(scores, labels)
    n_anomalous = int(anomalous.sum())
    n_normal = len(anomalous) - n_anomalous
    order, last = _thresholds(values)
    hits = np.cumsum(anomalous[order], dtype=np.int64)[last]
    return _from_zero((last + 1 - hits) / n_normal), _from_zero(hits / n_anomalous)


def pixel_auroc(maps: Maps, masks: Masks) -> float:
    """AUROC over all pixels of all maps.

    Args:
        maps: (H, W) each, larger is more anomalous.
        masks: (H, W) each, true or non-zero where defective.

    Raises:
        UsageError: shapes differ, a value is not finite, or there are only normal or only defective pixels.
    """
    _check_pairs(maps, masks)
    return auroc(
        np.concatenate([np.ravel(scored) for scored in maps]),
        np.concatenate([np.ravel(mask) for mask in masks]),
    )


def pro_curve(maps: Maps, masks: Masks) -> Curve:
    """False-positive rate and per-region overlap at every distinct score, from (0, 0) to (1, 1).

    The overlap of a threshold is the found share of a region, averaged over all regions of the set: the
    8-connected components of the masks (Bergmann et al. 2021, The MVTec Anomaly Detection Dataset, IJCV). The
    false-positive rate is the found share of the defect-free pixels of all maps.

    Args:
        maps: (H, W) each, larger is more anomalous.
        masks: (H, W) each, true or non-zero where defective.

    Raises:
        UsageError: shapes differ, a value is not finite, or there are only normal or only defective pixels.
    """
    _check_pairs(maps, masks)
    regions = _number_regions(masks)
    sizes = np.bincount(regions)
    if not sizes[0] or len(sizes) == 1:
        raise UsageError(
            f"AUPRO: {sizes[0]} defect-free pixels and {len(sizes) - 1} defects in {len(maps)} masks: "
            "it needs both, add what is missing"
        )
    scores = np.concatenate([np.ravel(scored) for scored in maps])
    require_finite(scores)
    order, last = _thresholds(scores)
    regions = regions[order]
    share = 1.0 / (sizes * (len(sizes) - 1.0))
    share[0] = 0.0
    overlap = np.cumsum(share[regions])[last]
    false = np.cumsum(regions == 0, dtype=np.int64)[last]
    return _from_zero(false / sizes[0]), _from_zero(overlap)


def aupro(maps: Maps, masks: Masks, fpr_limit: float = 0.3) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, divided by that rate.

    Args:
        maps: (H, W) each, larger is more anomalous.
        masks: (H, W) each, true or non-zero where defective.
        fpr_limit: 0.3 in the literature; 0.01 is the strict one. The curve is interpolated linearly there.

    Raises:
        UsageError: see `pro_curve`; the limit is not in (0, 1].

    Example:
        >>> aupro([np.array([[0.1, 0.9]])], [np.array([[False, True]])])
        1.0
    """
    return partial_area(pro_curve(maps, masks), fpr_limit)


def partial_area(curve: Curve, fpr_limit: float) -> float:
    """Area under a curve up to a false-positive rate, divided by that rate.

    Args:
        curve: as `pro_curve` and `roc_curve` give it.
        fpr_limit: where to stop; the curve is interpolated linearly there.

    Raises:
        UsageError: the limit is not in (0, 1].
    """
    if not 0 < fpr_limit <= 1:
        raise UsageError(f"AUPRO: the false-positive limit is {fpr_limit}: it must be above 0 and at most 1")
    fpr, overlap = curve
    beyond = int(np.searchsorted(fpr, fpr_limit, side="right"))
    area = float(trapezoid(overlap[:beyond], fpr[:beyond]))
    if beyond < len(fpr):
        rest = fpr_limit - fpr[beyond - 1]
        slope = (overlap[beyond] - overlap[beyond - 1]) / (fpr[beyond] - fpr[beyond - 1])
        area += float(rest * (overlap[beyond - 1] + slope * rest / 2))
    return area / fpr_limit


def _thresholds(scores: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The descending order, and in it the last place of every distinct score."""
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    return order, np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))


def _from_zero(rates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.concatenate([[0.0], rates])


def _number_regions(masks: Masks) -> npt.NDArray[np.int32]:
    """Every pixel's region, numbered from 1 through the whole set, 0 where there is no defect: (pixels,)."""
    numbered = []
    count = 0
    for mask in masks:
        labeled, n_regions = ndimage.label(np.asarray(mask) != 0, _EIGHT_CONNECTED, output=np.int32)
        labeled[labeled > 0] += count
        numbered.append(labeled.ravel())
        count += n_regions
    return np.concatenate(numbered)


def _check_pairs(maps: Maps, masks: Masks) -> None:
    if len(maps) != len(masks) or not len(maps):
        raise UsageError(f"metrics: {len(maps)} maps but {len(masks)} masks, expected as many of both and at least one")
    for index, (scored, mask) in enumerate(zip(maps, masks, strict=True)):
        if np.ndim(scored) != 2 or np.shape(scored) != np.shape(mask):
            raise UsageError(f"metrics: map {index} has shape {np.shape(scored)}, its mask {np.shape(mask)}")
