"""How well a configuration finds defects, beside how fast it is."""

from __future__ import annotations

from pathlib import Path

from ...errors import UsageError
from ...inspector import Inspector
from ...patches.routes import modalities
from ...progress import Progress
from ...sensor.dataset import find_samples
from ...sensor.part import input_file
from ...verdict.auroc import auroc
from .report import Quality


def measure_quality(inspector: Inspector, folder: Path, progress: Progress) -> Quality:
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
        progress("quality", number, len(samples), "")
    return Quality(
        i_auroc=auroc(scores, defective),
        n_good=len(samples) - sum(defective),
        n_defective=sum(defective),
    )
