"""What a precision does to verdicts: the same scans against the same banks, by both sets of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from ...calibration.calibrate import CalibrationSettings, calibrate
from ...calibration.parity import ParityReport, Tolerance, check_decisions, scan_name
from ...calibration.survey import decided_preprocessing
from ...runtime.bundle.manifest import Manifest
from ...runtime.engines.session import OnnxSession
from ...runtime.errors import UsageError
from ...runtime.patches.features import FeaturePath
from ...runtime.patches.routes import modalities
from ...runtime.preparation.frame import prepare_mask
from ...runtime.preparation.prepared_part import PreparedPart, prepare_file
from ...runtime.sensor.dataset import GOOD, Sample, find_classes, find_samples
from ...runtime.sensor.image import read_defect_mask
from ...runtime.sensor.part import input_file
from ...runtime.timing import StageTimes
from ...runtime.verdict.decision import Decision

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
        [input_file(each, modalities(manifest)) for each in normal[:N_NORMAL]],
        [input_file(each, modalities(manifest)) for each in chosen],
        chosen,
    )


def check_verdicts(
    manifest: Manifest,
    precision: str,
    references: Mapping[str, bytes],
    reduced: Mapping[str, bytes],
    judged: Judged,
    tolerance: Tolerance,
) -> ParityReport:
    """Scores, maps and verdicts of the judged scans in both precisions; empty where there are too few scans.

    Args:
        manifest: of the float32 bundle.
        precision: how the comparison is called.
        references: role -> float32 graph.
        reduced: role -> the other graph.
        judged: see there.
        tolerance: what may change.

    Raises:
        ScanError: a scan or mask cannot be read or used, or the mask of a defect marks nothing.
    """
    decided = decided_preprocessing(manifest, [*judged.normal, *judged.scans])
    manifest = msgspec.structs.replace(manifest, preprocessing=decided)
    path = _path(manifest, references)
    decision, threshold = judged.decision, judged.threshold
    if decision is None and (len(judged.normal) < 3 or not judged.scans):
        return ParityReport()
    parts = [_prepared(scan, manifest) for scan in judged.scans]
    masks = [_mask(sample, part) for sample, part in zip(judged.samples, parts, strict=False)]
    if decision is None:
        normal = [path.extract(_prepared(scan, manifest), StageTimes()) for scan in judged.normal]
        made = calibrate(manifest, path, normal, "", CalibrationSettings(coreset_ratio=0.05))
        decision, threshold = made.decision, made.calibration.threshold.value
    expected = [_decide(path, decision, part) for part in parts]
    other = _path(manifest, reduced)
    actual = [_decide(other, decision, part) for part in parts]
    check = check_decisions(
        f"{precision} against fp32",
        [scan_name(scan) for scan in judged.scans],
        [score for score, _ in actual],
        [score for score, _ in expected],
        threshold,
        tolerance,
        labels=[sample.is_defect for sample in judged.samples] or None,
        maps=([each for _, each in actual], [each for _, each in expected], masks) if masks else None,
    )
    return ParityReport(decisions=[check])


def _path(manifest: Manifest, models: Mapping[str, bytes]) -> FeaturePath:
    sessions = {role: OnnxSession(model) for role, model in models.items()}
    return FeaturePath(manifest.route, manifest.main, manifest.grouping, sessions)


def _prepared(scan: Path, manifest: Manifest) -> PreparedPart:
    return prepare_file(scan, modalities(manifest), manifest.preprocessing, manifest.part_range)


def _decide(path: FeaturePath, decision: Decision, part: PreparedPart) -> tuple[float, npt.NDArray[np.float32]]:
    features = path.extract(part, StageTimes())
    return decision.decide(features.foreground, decision.match(features))


def _mask(sample: Sample, part: PreparedPart) -> npt.NDArray[np.bool_]:
    if sample.mask is None:
        return np.zeros(part.valid.shape, bool)
    return prepare_mask(read_defect_mask(sample.mask), part.frame)
