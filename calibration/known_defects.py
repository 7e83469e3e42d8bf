"""A few known defects place the threshold, if they and the normal scans leave room for it.

The requested false-reject rate is a promise, and known defects never break it. If all of them score above the threshold
that the normal scans give for it, the threshold moves halfway towards the lowest of them, in the logarithm of the
score: fewer good parts are rejected, and no known defect is missed. Otherwise the threshold stays, and the number of
missed defects is reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import numpy.typing as npt

from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.parameters import PartRange, Placement, Threshold
from ..runtime.errors import UsageError, naming_scan
from ..runtime.patches.features import FeatureExtractor, PartFeatures
from ..runtime.patches.routes import modalities
from ..runtime.preparation.part_range import outside
from ..runtime.preparation.prepared_part import prepare_parts, require_parts
from ..runtime.progress import Progress
from ..runtime.sensor.file_copies import refuse_copies
from ..runtime.sensor.in_memory import PartSource, read_source, source_digests
from ..runtime.timing import StageTimes
from ..runtime.verdict.decision import Decision
from .calibrate import Calibrated, require_usable
from .copies import KnownParts
from .threshold import rate_interval, threshold_from_good

# What the trade is told at, beside the rate that was asked for.
RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class KnownDefect:
    """A scan with a defect, scored as the line scores it.

    Attributes:
        scan: which one.
        digest: SHA-256 of its file or numbers, in hexadecimal.
        score: its image score.
        refusal: why `infer` would give no verdict on it; empty where it would.
        is_among_normal: whether the same scan, in this file or another, is one of the normal scans.
    """

    scan: PartSource
    digest: str
    score: float
    refusal: str
    is_among_normal: bool


@dataclass(frozen=True)
class RateChoice:
    """What another false-reject rate would give.

    Attributes:
        false_reject_rate: if this was asked for.
        threshold: from the normal scans alone.
        method: how, see `Threshold`.
        missed: known defects at it or below, of those that `infer` judges.
    """

    false_reject_rate: float
    threshold: float
    method: str
    missed: int


def score_known_defects(
    scans: Sequence[PartSource],
    normal: KnownParts,
    manifest: Manifest,
    extractor: FeatureExtractor,
    decision: Decision,
    expected: PartRange,
    progress: Progress,
) -> tuple[KnownDefect, ...]:
    """Every known defect as `infer` would score it with the new banks.

    Args:
        scans: the known defects, each once.
        normal: the parts of the normal scans.
        manifest: of the bundle, its preprocessing settled.
        extractor: the bundle's networks.
        decision: the new banks and fusion.
        expected: what the normal scans showed of their parts.
        progress: called with (stage, done, all, remark).

    Raises:
        ScanError: a scan cannot be read or used.
        UsageError: two are the same scan: each part counts once.
    """
    digests, measured = source_digests(scans), modalities(manifest)
    refuse_copies(scans, digests)
    defects, so_far = list[KnownDefect](), KnownParts()
    for number, (scan, digest) in enumerate(zip(scans, digests, strict=True), 1):
        with naming_scan(scan):
            part = read_source(scan, measured, manifest.preprocessing)
            prepared = require_parts(prepare_parts(part, measured, manifest.preprocessing, expected))
            features = [extractor.extract(one, StageTimes()) for one in prepared]
        scores = [_score(scan, rows, decision) for rows in features]
        # Of several parts in a scan the worst is the defect.
        worst = int(np.argmax(scores))
        so_far.require_new(prepared[worst], scan)
        refusal, twin = "; ".join(outside(prepared[worst].view, expected)), normal.like(prepared[worst])
        defects.append(KnownDefect(scan, digest.hex(), scores[worst], refusal, twin is not None))
        progress("known defects", number, len(scans), "")
    return tuple(defects)


def _score(scan: PartSource, features: PartFeatures, decision: Decision) -> float:
    require_usable(scan, features)
    return float(decision.judge(features)[0])


def with_known_defects(calibrated: Calibrated, defects: Sequence[KnownDefect]) -> Calibrated:
    """The calibration with its threshold placed among the known defects that `infer` judges; unchanged without any.

    What it refuses, such as a part of another product, has no verdict that a threshold would change.
    """
    judged = _judged(defects)
    if not judged:
        return calibrated
    placed = place_threshold(calibrated.calibration.threshold, calibrated.scores, judged)
    return replace(calibrated, calibration=msgspec.structs.replace(calibrated.calibration, threshold=placed))


def place_threshold(threshold: Threshold, good: Scores, defects: Sequence[KnownDefect]) -> Threshold:
    """The threshold that normal scans gave, moved towards known defects where all of them score above it.

    Args:
        threshold: from the normal scans alone.
        good: (n,) their scores, each without its own patches in the banks.
        defects: one or more.

    Raises:
        UsageError: a defect's score is not finite.
    """
    scores = np.array([defect.score for defect in defects])
    if not np.isfinite(scores).all():
        raise UsageError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} known defects have no finite score")
    lowest, normal = float(scores.min()), threshold.value
    value = halfway(normal, lowest) if lowest > normal else normal
    low, high = rate_interval(good, value, threshold) if value != normal else (threshold.rate_low, threshold.rate_high)
    return msgspec.structs.replace(
        threshold,
        value=value,
        rate_low=low,
        rate_high=high,
        placement=Placement(
            rule="midpoint" if lowest > normal else "asked-rate",
            normal_value=normal,
            lowest=lowest,
            n_known=len(defects),
            n_missed=int(np.sum(scores <= value)),
            digests=[defect.digest for defect in defects],
        ),
    )


def halfway(normal: float, lowest: float) -> float:
    """The middle of the logarithms (of the scores, where one is zero or less), and always below `lowest`.

    Example:
        >>> halfway(1.0, 4.0)
        2.0
    """
    middle = math.sqrt(normal) * math.sqrt(lowest) if normal > 0 else (normal + lowest) / 2
    return max(normal, min(middle, math.nextafter(lowest, -math.inf)))


def rate_choices(good: Scores, defects: Sequence[KnownDefect], asked: float) -> list[RateChoice]:
    """What the usual false-reject rates and the one asked for would give; those that the scans cannot tell left out."""
    choices = []
    scores = np.array([defect.score for defect in _judged(defects)])
    for rate in sorted({*RATES, asked}):
        try:
            threshold = threshold_from_good(good, rate)
        except UsageError:
            continue
        missed = int(np.sum(scores <= threshold.value))
        choices.append(RateChoice(rate, threshold.value, threshold.method, missed))
    return choices


def defect_warnings(defects: Sequence[KnownDefect]) -> list[str]:
    """What is wrong with known defects, a sentence each."""
    among = [str(defect.scan) for defect in defects if defect.is_among_normal]
    refused = [f"{defect.scan}: {defect.refusal}" for defect in defects if defect.refusal]
    sentences = []
    if among:
        sentences.append(
            f"{len(among)} of {len(defects)} known defects are normal scans too, which the banks call normal: "
            f"{', '.join(among)}: calibrate without them among the normal scans"
        )
    if refused:
        sentences.append(
            f"{len(refused)} of {len(defects)} known defects are unlike the parts in the normal scans: `infer` would "
            f"refuse them, so they do not place the threshold: {'; '.join(refused)}"
        )
    return sentences


def clearest(defects: Sequence[KnownDefect]) -> PartSource | None:
    """Of the known defects that `infer` judges the one of the highest score, for the self-test; None without any."""
    judged = _judged(defects)
    return max(judged, key=lambda defect: defect.score).scan if judged else None


def _judged(defects: Sequence[KnownDefect]) -> list[KnownDefect]:
    """Those that `infer` gives a verdict on."""
    return [defect for defect in defects if not defect.refusal]
