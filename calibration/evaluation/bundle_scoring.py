"""The detection quality of one calibrated bundle, as it is, on the labeled test parts of its class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...runtime.bundle.reading import Bundle, require_calibration
from ...runtime.errors import naming_scan
from ...runtime.patches.features import FeatureExtractor
from ...runtime.patches.routes import modalities
from ...runtime.preparation.part_range import outside
from ...runtime.progress import Progress
from ...runtime.sensor.dataset import Sample, class_name, find_samples, list_samples
from ...runtime.verdict.decision import Decision
from ..calibration_settings import CalibrationSettings
from ..copies import KnownParts
from .contenders import Candidate, Contender
from .doubts import PartDoubts, class_doubts
from .evaluate import SharedWork, Tally, bank_bytes, has_masks, score_parts
from .outcomes import ClassOutcome, Scored, measure


def score_bundle(bundle: Bundle, folder: Path, provider: str, progress: Progress) -> tuple[ClassOutcome, list[str]]:
    """Score a class's test parts with a bundle's own banks and thresholds; nothing is calibrated.

    A bundle does not hold its normal scans: whether they are among the test scans is not told.

    Args:
        bundle: calibrated.
        folder: a class folder of a dataset.
        provider: the execution provider.
        progress: called with (stage, done, all, remark).

    Returns:
        The figures, and what falsifies them, a sentence each.

    Raises:
        BundleError: the bundle is not calibrated.
        UsageError: the class has no test, or some defects have a mask and some have none.
        ScanError: a scan or mask cannot be read or used.
    """
    calibration = require_calibration(bundle)
    # Settings are those of a calibration, and here is none.
    candidate = Candidate(bundle.manifest.product, bundle, CalibrationSettings())
    contender = Contender(candidate, FeatureExtractor(bundle, provider), calibration.part)
    decision, samples, tested = Decision.load(bundle), find_samples(folder, "test"), PartDoubts(KnownParts())
    try:
        scored = _scored(contender, decision, samples, tested, progress)
    finally:
        decision.close()
    thresholds = calibration.threshold, calibration.pixel_threshold
    expected, n_bytes = contender.require_range(), bank_bytes(decision)
    outcome = measure(class_name(folder), candidate.name, bundle.manifest, scored, expected, thresholds, n_bytes)
    return outcome, [*class_doubts(samples, list_samples(folder, "validation")), *tested.doubts(len(samples))]


def _scored(
    contender: Contender, decision: Decision, samples: Sequence[Sample], tested: PartDoubts, progress: Progress
) -> Scored:
    tally, with_masks = Tally(), has_masks(samples)
    for number, sample in enumerate(samples, 1):
        with naming_scan(sample.scan):
            for part in score_parts(sample, contender, decision, SharedWork()):
                tally.add(part, outside(part.prepared.view, contender.require_range()))
                tested.add(part.sample, part.prepared)
                if "pc" in modalities(contender.manifest):
                    tested.add_mask(part.sample, part.prepared, part.mask, part.whole)
        progress("test", number, len(samples), "")
    return tally.scored(with_masks)
