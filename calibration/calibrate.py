"""Normal scans become memory banks, fusion weights and thresholds, through the runtime's own feature path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..runtime.banks.bank import build_bank
from ..runtime.bundle import manifest as manifest_format
from ..runtime.bundle.manifest import Manifest, Statistics
from ..runtime.bundle.parameters import PartRange
from ..runtime.errors import EngineError, ScanError, UsageError, naming_scan
from ..runtime.patches.features import FeatureExtractor, FeaturePath, PartFeatures
from ..runtime.patches.pooling import N_PATCHES
from ..runtime.patches.routes import MAIN, modalities, route_of
from ..runtime.preparation.part_range import outside, unit_advice
from ..runtime.preparation.part_view import PartView
from ..runtime.preparation.prepared_part import PreparedPart, prepare_parts, require_parts
from ..runtime.progress import Progress
from ..runtime.sensor.in_memory import PartSource, read_source
from ..runtime.sensor.part import Part
from ..runtime.timing import StageTimes
from ..runtime.verdict.decision import BankMatch, Decision, NormalizedBank, match_bank
from .calibration_settings import CalibrationSettings
from .choices import BankPrecision
from .coreset import select_coreset
from .fusion_fitting import fit_fusion
from .survey import Survey
from .threshold import threshold_from_good

MIN_SCANS = 3
# Of so many of the highest-scoring normal scans a report shows the map.
N_SHOWN = 12
# Squares of larger features overflow float32 when a thousand of them are summed.
LARGEST_FEATURE = 1e16
PATCHLESS_GROUP = -1

Array = npt.NDArray[np.float32]
_BANK_DTYPES: dict[BankPrecision, type[np.float32] | type[np.float16]] = {"fp32": np.float32, "fp16": np.float16}


@dataclass(frozen=True)
class Side:
    """One modality's memory bank, and how every normal scan matches it when its own rows are left out."""

    bank: NormalizedBank
    matches: list[BankMatch]


@dataclass(frozen=True)
class Calibrated:
    """The outcome of a calibration, before it is written.

    Attributes:
        decision: banks and fusion.
        calibration: thresholds and settings.
        scores: (n,) float64, the normal scans', each without its own patches in the banks.
        maps: (224, 224) float32 of those that score highest, up to `N_SHOWN`, by their number.
    """

    decision: Decision
    calibration: manifest_format.Calibration
    scores: npt.NDArray[np.float64]
    maps: dict[int, Array]


def require_enough(scans: Sequence[PartSource]) -> None:
    """Stop before the work where there are too few scans to learn from.

    Raises:
        UsageError: fewer than `MIN_SCANS`.
    """
    if len(scans) < MIN_SCANS:
        raise UsageError(f"calibration needs at least {MIN_SCANS} normal scans, got {len(scans)}")


def extract_features(
    manifest: Manifest,
    extractor: FeatureExtractor,
    scans: Sequence[PartSource],
    survey: Survey,
    progress: Progress,
    expected: PartRange | None = None,
) -> list[PartFeatures]:
    """Features of every part of every scan, shown to the survey too, which then knows which scan each part is of.

    One that cannot be used stops the calibration with its name; see `unusable`.

    Where a range of parts is expected, what lies outside of it cannot be used.
    """
    features = []
    for number, scan in enumerate(scans, 1):
        with naming_scan(scan):
            part, parts = read_parts_of(scan, manifest, expected)
            survey.add(part, parts)
            own = [extractor.extract(prepared, StageTimes()) for prepared in parts]
        for of_part in own:
            require_usable(scan, of_part)
        features += own
        progress("features", number, len(scans), "")
    return features


def read_parts_of(
    scan: PartSource, manifest: Manifest, expected: PartRange | None = None
) -> tuple[Part, list[PreparedPart]]:
    """A scan and the parts that it shows, all of which can be used.

    Raises:
        ScanError: it cannot be read, shows no part, or one that is not in the expected range.
    """
    part = read_source(scan, modalities(manifest), manifest.preprocessing)
    parts = require_parts(prepare_parts(part, modalities(manifest), manifest.preprocessing, expected))
    if expected is not None:
        for prepared in parts:
            _require_like(prepared.view, expected, manifest.preprocessing.metres_per_unit)
    return part, parts


def _require_like(view: PartView, expected: PartRange, metres_per_unit: float | None) -> None:
    if reasons := outside(view, expected):
        reasons += unit_advice(view, expected, metres_per_unit)
        raise ScanError(
            f"is not a part that the bundle was calibrated for: {'; '.join(reasons)}: leave it out, or calibrate "
            "for such parts without --update"
        )


def require_usable(scan: PartSource, features: PartFeatures) -> None:
    """Stop at features that would make every distance, and so every verdict, of this bundle not a number.

    Raises:
        EngineError: names the scan.
    """
    for rows in (features.main, features.second):
        if rows is None:
            continue
        wrong = int(np.sum(~(np.abs(rows) < LARGEST_FEATURE)))
        if wrong:
            raise EngineError(
                f"{scan}: {wrong} of {rows.size} values that the networks give for this scan are not finite or too "
                "large for float32: this precision or provider does not compute it; choose another"
            )


def calibrate(
    manifest: Manifest,
    extractor: FeaturePath,
    features: Sequence[PartFeatures],
    digest: str,
    settings: CalibrationSettings,
    progress: Progress = lambda *_: None,
    scan_of: Sequence[int] | None = None,
) -> Calibrated:
    """Banks, fusion and thresholds from the features of normal parts; `scan_of` as `calibrate_side` takes it."""
    features = [part.averaged(settings.neighborhood) for part in features]
    patchless_main, patchless_second = extractor.without_points(features[0].main.shape[1])
    fixed = fixed_statistics(manifest, settings)
    main_progress = naming_bank(progress, MAIN)
    main = calibrate_side([part.main for part in features], patchless_main, settings, main_progress, fixed, scan_of)
    second = None
    second_bank = route_of(manifest.route, manifest.main).second_bank
    if second_bank is not None:
        rows = [part.second for part in features if part.second is not None]
        second_progress = naming_bank(progress, second_bank)
        second = calibrate_side(rows, patchless_second, settings, second_progress, fixed, scan_of)
    return combine([part.foreground for part in features], main, second, digest, settings)


def naming_bank(progress: Progress, role: str) -> Progress:
    """Progress whose stages say which bank is at work."""
    return lambda stage, done, total, remark: progress(f"{stage} of the {role} bank", done, total, remark)


def fixed_statistics(manifest: Manifest, settings: CalibrationSettings) -> Statistics | None:
    """The mean and standard deviation that both banks are normalized with; None where each has its own.

    The published code normalizes the two banks of its distillation routes with one pair of numbers: the mean of
    the points' features and the standard deviation of the image's. They are those of the training, as a line with
    one sensor cannot take both. A single bank, and the two of real features, have their own statistics.

    Raises:
        UsageError: the bundle does not carry them.
    """
    if settings.normalization == "paper" or not route_of(manifest.route, manifest.main).is_trained:
        return None
    known = manifest.training_statistics
    if not {"pc", "rgb"} <= known.keys():
        raise UsageError(
            "normalization reference: the bundle does not carry the training's feature statistics: export it from "
            "a run of `cmdiad train`, or choose normalization paper in --settings"
        )
    return Statistics(mean=known["pc"].mean, std=known["rgb"].std)


def calibrate_side(
    features: Sequence[Array],
    patchless: Array | None,
    settings: CalibrationSettings,
    progress: Progress,
    statistics: Statistics | None = None,
    scan_of: Sequence[int] | None = None,
) -> Side:
    """One modality's bank, and every normal part against it without the rows of its scan.

    Scores, fusion and thresholds that are learned from these matches are those of parts that were never seen; nor were
    their neighbors in the scan, which share its light, its sensor's state and often their mold.

    Args:
        features: (n, d) float32 of every part.
        patchless: of a patch without points; None where such patches are measured.
        settings: see `CalibrationSettings`.
        progress: called with (stage, done, all, remark).
        statistics: what the bank is normalized with; None: its own.
        scan_of: the number of every part's scan; None: each has a scan of its own.
    """
    bank = build_normalized_bank(features, patchless, settings, progress, statistics, scan_of)
    return Side(bank, left_out_matches(bank, features, scan_numbers(features, scan_of), progress))


def left_out_matches(
    bank: NormalizedBank, features: Sequence[Array], groups: npt.NDArray[np.int32], progress: Progress
) -> list[BankMatch]:
    """Every part against a bank without the rows of its group, the part's scan: groups (n,) int32."""
    matches = []
    for number, (rows, group) in enumerate(zip(features, groups.tolist(), strict=True), 1):
        matches.append(match_bank(bank, rows, without_group=group))
        progress("scores", number, len(features), "")
    return matches


def scan_numbers(features: Sequence[Array], scan_of: Sequence[int] | None) -> npt.NDArray[np.int32]:
    """The number of each part's scan, (n,) int32; if none was given, each part has a scan of its own."""
    return np.asarray(range(len(features)) if scan_of is None else scan_of, np.int32)


def combine(
    foregrounds: Sequence[npt.NDArray[np.bool_]],
    main: Side,
    second: Side | None,
    digest: str,
    settings: CalibrationSettings,
) -> Calibrated:
    """Learn the fusion and the thresholds from the normal scans' matches with one bank or two.

    Args:
        foregrounds: (3136,) bool of every scan.
        main: the main modality's side.
        second: the hallucinated or the other modality's side; None for a single bank.
        digest: of the scans.
        settings: see `CalibrationSettings`.
    """
    decision, matches = _fused(main, second, settings)
    decided = [decision.decide(foreground, match) for foreground, match in zip(foregrounds, matches, strict=True)]
    rate = settings.false_reject_rate
    scores = np.array([score for score, _ in decided])
    calibration = manifest_format.Calibration(
        n_scans=len(matches),
        data_digest=digest,
        seed=settings.seed,
        coreset_ratio=settings.coreset_ratio,
        normalization=settings.normalization,
        projection_eps=settings.projection_eps,
        n_neighbors=settings.n_neighbors,
        score=settings.score,
        neighborhood=settings.neighborhood,
        nu=settings.nu,
        svm_iterations=settings.svm_iterations,
        threshold=threshold_from_good(scores, rate),
        pixel_threshold=threshold_from_good(np.array([float(map_224.max()) for _, map_224 in decided]), rate),
    )
    highest = np.argsort(-scores, kind="stable")[:N_SHOWN].tolist()
    return Calibrated(decision, calibration, scores, {number: decided[number][1] for number in highest})


def _fused(
    main: Side, second: Side | None, settings: CalibrationSettings
) -> tuple[Decision, Sequence[tuple[BankMatch, ...]]]:
    """The decision by one bank or two, with the fusion of two, and every normal scan's matches with them."""
    score, neighborhood = settings.score, settings.neighborhood
    if second is None:
        return Decision(main.bank, None, None, score=score, neighborhood=neighborhood), [
            (match,) for match in main.matches
        ]
    pairs = list(zip(main.matches, second.matches, strict=True))
    scores = np.array([[match.score for match in pair] for pair in pairs])
    pixels = np.concatenate([np.stack([match.distances for match in pair], axis=1) for pair in pairs])
    fusion = fit_fusion(scores, pixels, settings.nu, settings.svm_iterations, settings.seed)
    return Decision(main.bank, second.bank, fusion, score=score, neighborhood=neighborhood), pairs


def statistics_of(features: Array) -> Statistics:
    """Mean and standard deviation over all values.

    Raises:
        EngineError: all are the same, as no working network gives them.
    """
    mean, std = float(features.mean(dtype=np.float64)), float(features.std(dtype=np.float64))
    if not std > 0:
        raise EngineError(
            f"the networks give the same value, {mean:g}, for all of these scans: export the bundle again, or choose "
            "another precision or provider"
        )
    return Statistics(mean=mean, std=std)


def build_normalized_bank(
    features: Sequence[Array],
    patchless: Array | None,
    settings: CalibrationSettings,
    progress: Progress,
    statistics: Statistics | None = None,
    scan_of: Sequence[int] | None = None,
) -> NormalizedBank:
    """Normalize, select the coreset, and tabulate the bank.

    The statistics are the features' own where none are given.

    The coreset holds `coreset_ratio` of all 3136 patches a scan, as in the paper; since the patches without
    points are all the same, one of them stands for all and the selection is unchanged.
    """
    pool = np.concatenate(features)
    groups = np.repeat(scan_numbers(features, scan_of), [len(rows) for rows in features])
    if statistics is None:
        statistics = statistics_of(pool)
    mean, std = statistics.mean, statistics.std
    if patchless is not None:
        pool = np.concatenate([patchless, pool])
        groups = np.concatenate([np.array([PATCHLESS_GROUP], np.int32), groups])
    pool = (pool - np.float32(mean)) / np.float32(std)
    count = min(len(pool), round(settings.coreset_ratio * N_PATCHES * len(features)))
    chosen = select_coreset(
        pool,
        count,
        seed=settings.seed,
        metric=settings.metric,
        eps=settings.projection_eps,
        progress=lambda done, total: progress("coreset", done, total, ""),
    )
    dtype = _BANK_DTYPES[settings.bank_precision]
    bank = build_bank(pool[chosen], settings.metric, settings.n_neighbors, groups[chosen], dtype)
    return NormalizedBank(bank, mean, std)
