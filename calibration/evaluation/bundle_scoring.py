"""The detection quality of one calibrated bundle, as it is, on the labeled test parts of its class."""

from __future__ import annotations

from pathlib import Path

from ...runtime.bundle.reading import Bundle, require_calibration
from ...runtime.patches.features import FeatureExtractor
from ...runtime.progress import Progress
from ...runtime.sensor.dataset import class_name, find_samples, list_samples
from ...runtime.verdict.decision import Decision
from ..calibration_settings import CalibrationSettings
from ..copies import KnownParts
from .contenders import Candidate, Contender
from .doubts import PartDoubts, class_doubts
from .evaluate import bank_bytes, has_masks, score_samples
from .outcomes import ClassOutcome, measure


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
    samples, tested = find_samples(folder, "test"), PartDoubts(KnownParts())
    with_masks, decision = has_masks(samples), Decision.load(bundle)
    try:
        (tally,) = score_samples(samples, [contender], [decision], tested, progress)
    finally:
        decision.close()
    thresholds = calibration.threshold, calibration.pixel_threshold
    expected, n_bytes = contender.require_range(), bank_bytes(decision)
    scored = tally.scored(with_masks)
    outcome = measure(class_name(folder), candidate.name, bundle.manifest, scored, expected, thresholds, n_bytes)
    return outcome, [*class_doubts(samples, list_samples(folder, "validation")), *tested.doubts(len(samples))]
