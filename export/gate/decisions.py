"""What a precision does to verdicts: the same scans against the same banks, by both sets of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ...calibration.calibrate import MIN_SCANS, calibrate
from ...calibration.calibration_settings import CalibrationSettings
from ...calibration.parity import DecisionCheck, ParityReport, Tolerance, check_decisions, scan_name
from ...calibration.survey import decided_preprocessing
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.session import OnnxSession
from ...runtime.errors import UsageError
from ...runtime.patches.features import FeaturePath
from ...runtime.patches.routes import modalities
from ...runtime.preparation.frame import prepare_mask
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.sensor.dataset import GOOD, Sample, find_classes, find_samples
from ...runtime.sensor.image import read_defect_mask
from ...runtime.sensor.part import input_file
from ...runtime.timing import StageTimes
from ...runtime.verdict.decision import Decision
from .grouped_scan import grouped_scan

N_NORMAL = 8
N_JUDGED = 20


@dataclass(frozen=True)
class Judged:
    """The scans that are judged, and what they are compared with.

    Attributes:
        normal: normal scans, for banks of this check alone; not used where there is a calibrated decision.
        scans: scans to judge.
        samples: the same with their labels and masks; empty where they are not known.
        decision: of a calibrated bundle; None: make one from the normal scans.
        threshold: of that bundle.
    """

    normal: Sequence[Path]
    scans: Sequence[Path]
    samples: Sequence[Sample] = ()
    decision: Decision | None = None
    threshold: float = 0.0


@dataclass(frozen=True)
class Decided:
    """What the judged scans come out as by one set of networks.

    Attributes:
        scores: of every scan.
        maps: (224, 224) float32 of every scan.
    """

    scores: list[float]
    maps: list[npt.NDArray[np.float32]]


def judged_of_data(root: Path, classes: Sequence[str], manifest: Manifest) -> Judged:
    """Normal scans of a dataset's first class to learn from, and its test (else its other normal) scans to judge."""
    folder = find_classes(root, classes)[0]
    normal = find_samples(folder, "train", GOOD)
    try:
        test = find_samples(folder, "test")
    except UsageError:
        test = normal[N_NORMAL:]
    chosen = [test[i] for i in np.unique(np.linspace(0, len(test) - 1, N_JUDGED).astype(int))] if test else []
    return Judged(
        [input_file(sample, modalities(manifest)) for sample in normal[:N_NORMAL]],
        [input_file(sample, modalities(manifest)) for sample in chosen],
        chosen,
    )


def check_verdicts(
    manifest: Manifest,
    references: Mapping[str, bytes],
    forms: Mapping[str, Mapping[str, bytes]],
    judged: Judged,
    tolerance: Tolerance,
) -> ParityReport:
    """Scores, maps and verdicts of the judged scans in float32 and other forms; empty where there are too few scans.

    Args:
        manifest: of the float32 bundle.
        references: role -> float32 graph.
        forms: how each other form of the networks is called -> role -> its graph.
        judged: the scans, and what they are compared with.
        tolerance: what may change.

    Raises:
        ScanError: a scan or mask cannot be read or used, or the mask of a defect marks nothing.
    """
    decided = decided_preprocessing(manifest, [*judged.normal, *judged.scans])
    manifest = msgspec.structs.replace(manifest, preprocessing=decided)
    if judged.decision is None and (len(judged.normal) < MIN_SCANS or not judged.scans):
        return ParityReport()
    parts = [grouped_scan(scan, manifest) for scan in judged.scans]
    masks = [_mask(sample, part) for sample, part in zip(judged.samples, parts, strict=False)]
    path = _path(manifest, references)
    decision, threshold = _calibrated(judged, manifest, path)
    expected = _decide(path, decision, parts)
    checks = []
    for name, models in forms.items():
        actual = _decide(_path(manifest, models), decision, parts)
        checks.append(_compare(name, judged, masks, actual, expected, threshold, tolerance))
    return ParityReport(decisions=checks)


def _calibrated(judged: Judged, manifest: Manifest, path: FeaturePath) -> tuple[Decision, float]:
    """The decision to judge by, and its threshold: the bundle's own, else one of the normal scans."""
    if judged.decision is not None:
        return judged.decision, judged.threshold
    features = [path.extract(grouped_scan(scan, manifest), StageTimes()) for scan in judged.normal]
    calibrated = calibrate(manifest, path, features, "", CalibrationSettings(coreset_ratio=0.05))
    return calibrated.decision, calibrated.calibration.threshold.value


def _compare(
    precision: str,
    judged: Judged,
    masks: Sequence[npt.NDArray[np.bool_]],
    actual: Decided,
    expected: Decided,
    threshold: float,
    tolerance: Tolerance,
) -> DecisionCheck:
    return check_decisions(
        f"{precision} against fp32",
        [scan_name(scan) for scan in judged.scans],
        actual.scores,
        expected.scores,
        threshold,
        tolerance,
        labels=[sample.is_defect for sample in judged.samples] or None,
        maps=(actual.maps, expected.maps, masks) if masks else None,
    )


def _path(manifest: Manifest, models: Mapping[str, bytes]) -> FeaturePath:
    sessions = {role: OnnxSession(model) for role, model in models.items()}
    return FeaturePath(manifest.route, manifest.main, manifest.grouping, sessions)


def _decide(path: FeaturePath, decision: Decision, parts: Sequence[PreparedPart]) -> Decided:
    decided = Decided([], [])
    for part in parts:
        features = path.extract(part, StageTimes())
        score, map_224 = decision.judge(features)
        decided.scores.append(score)
        decided.maps.append(map_224)
    return decided


def _mask(sample: Sample, part: PreparedPart) -> npt.NDArray[np.bool_]:
    if sample.mask is None:
        return np.zeros(part.valid.shape, bool)
    return prepare_mask(read_defect_mask(sample.mask), part.frame)
