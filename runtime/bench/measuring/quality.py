"""How well a configuration finds defects, beside how fast it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from ...errors import UsageError
from ...inspector import Inspector
from ...patches.routes import modalities
from ...sensor.dataset import find_samples
from ...sensor.part import input_file
from .report import Quality


def measure_quality(inspector: Inspector, folder: Path, report: Callable[[str, int, int], None]) -> Quality:
    """Score the labeled test scans of a class folder (MVTec 3D-AD layout) and rank them.

    Raises:
        UsageError: there is no test split, or it lacks good or defective parts.
        ScanError: a scan cannot be inspected.
    """
    samples = find_samples(folder, "test")
    defective = [sample.is_defect for sample in samples]
    if all(defective) or not any(defective):
        raise UsageError(f"{folder}: its test split needs good and defective parts")
    measured = modalities(inspector.bundle.manifest)
    scores = []
    for number, sample in enumerate(samples, 1):
        scores.append(inspector(input_file(sample, measured)).score)
        report("quality", number, len(samples))
    return Quality(
        i_auroc=auroc(scores, defective),
        n_good=len(samples) - sum(defective),
        n_defective=sum(defective),
    )


def auroc(scores: Sequence[float], defective: Sequence[bool]) -> float:
    """How often a defective part outscores a good one, a tie counting half (Mann and Whitney 1947)."""
    ranks, found = rankdata(scores), np.asarray(defective)
    n, m = int(found.sum()), int((~found).sum())
    return float((ranks[found].sum() - n * (n + 1) / 2) / (n * m))
