"""Detection quality on a labeled dataset, by the exported networks and the runtime's own path.

Every class is calibrated on its train/good, as `cmdiad calibrate` does it, and its test parts are then scored one
after the other. What candidates have in common is computed once. Memory holds the features of the normal parts
while a class is calibrated, as calibration does, and after that the memory banks and one map a test part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from warnings import warn

import msgspec
import numpy as np
import numpy.typing as npt

from ..runtime.bundle import Bundle
from ..runtime.decision import BankMatch, Decision, NormalizedBank, match_bank
from ..runtime.errors import UsageError, naming_scan
from ..runtime.features import FeatureExtractor, PartFeatures
from ..runtime.image import read_defect_mask
from ..runtime.manifest import Manifest, Statistics
from ..runtime.patches.routes import EXTRACTOR, MAIN
from ..runtime.pooling import SIZE
from ..runtime.preparation.part import PreparedPart, prepare_part
from ..runtime.preparation.part_range import PartRange, range_of
from ..runtime.preparation.raw_or_preprocessed import Settled
from ..runtime.preprocessing import prepare_mask
from ..runtime.sensor.dataset import GOOD, Sample, find_classes, find_samples
from ..runtime.sensor.part import modalities, read_sample
from ..runtime.timing import StageTimes
from .calibrate import (
    Calibrated,
    CalibrationSettings,
    Progress,
    Side,
    calibrate_side,
    combine,
    fixed_statistics,
    naming_bank,
    require_usable,
)
from .outcomes import Evaluation, Outcome, Scored, measure
from .survey import settled_preprocessing

Array = npt.NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True)
class Candidate:
    """What is evaluated.

    Attributes:
        name: what reports call it.
        bundle: exported; whether it is calibrated does not matter.
        settings: of the calibration.
    """

    name: str
    bundle: Bundle
    settings: CalibrationSettings


@dataclass(frozen=True)
class Contender:
    """A candidate with its networks open, and keys: candidates with an equal key share the work of it.

    Attributes:
        candidate: what is evaluated.
        extractor: its networks.
        expected: what its calibration saw of the class's parts; None before that.
    """

    candidate: Candidate
    extractor: FeatureExtractor
    expected: PartRange | None = None

    @property
    def manifest(self) -> Manifest:
        """Of the candidate's bundle."""
        return self.candidate.bundle.manifest

    @property
    def prepared_key(self) -> object:
        """What is read of a part, and how it is prepared."""
        manifest = self.manifest
        return "prepared", *sorted(modalities(manifest)), msgspec.json.encode(manifest.preprocessing)

    @property
    def main_key(self) -> object:
        """The main modality's features; those of an image differ if points tell where the part is."""
        manifest = self.manifest
        settings = msgspec.json.encode([manifest.preprocessing, manifest.grouping])
        return "main", *self._digests(EXTRACTOR), settings, "pc" in modalities(manifest)

    @property
    def statistics(self) -> Statistics | None:
        """What both banks are normalized with; None where each has its own."""
        return fixed_statistics(self.manifest, self.candidate.settings)

    @property
    def second_key(self) -> object:
        """The features that are compared with the second bank."""
        manifest = self.manifest
        networks = tuple(digest for role in sorted(manifest.networks) for digest in self._digests(role))
        return "second", manifest.route, networks, self.main_key

    def _digests(self, role: str) -> list[str]:
        """Of the graphs that a provider may run as this network."""
        manifest = self.manifest
        return [manifest.files[each[role].file] for each in (manifest.networks, manifest.cpu_networks) if role in each]


def evaluate_dataset(
    data: Path, class_names: Sequence[str], candidates: Sequence[Candidate], provider: str, progress: Progress
) -> Evaluation:
    """Calibrate every class on its train/good and score its test parts, for each candidate.

    Args:
        data: a dataset root in the MVTec 3D-AD layout.
        class_names: which classes; empty: all.
        candidates: with names that differ.
        provider: the execution provider.
        progress: called with (stage, done, all, remark).

    Raises:
        UsageError: the dataset is not as described.
        ScanError: a scan cannot be read or used.
    """
    opened: dict[int, FeatureExtractor] = {}
    contenders = []
    for each in candidates:
        if id(each.bundle) not in opened:
            opened[id(each.bundle)] = FeatureExtractor(each.bundle, provider)
        contenders.append(Contender(each, opened[id(each.bundle)]))
    return Evaluation(
        [
            outcome
            for folder in find_classes(data, class_names)
            for outcome in evaluate_class(folder, contenders, progress)
        ]
    )


def evaluate_class(folder: Path, contenders: Sequence[Contender], progress: Progress) -> list[Outcome]:
    """One class: calibrated and scored for every contender.

    Raises:
        UsageError: the class has no train/good or no test, only good or only defective parts, or some defects
            with a mask and some without.
        ScanError: a scan cannot be read or used.
    """
    samples = find_samples(folder, "test")
    with_masks = has_masks(samples)
    good = find_samples(folder, "train", GOOD)
    contenders = settled_contenders(contenders, good, progress)
    normal = NormalParts(good, progress)
    calibrated = [normal.calibrate(each) for each in contenders]
    contenders = [replace(each, expected=normal.part_range(each)) for each in contenders]
    del normal  # its features are the largest thing here
    tallies = [Tally(len(samples)) for _ in contenders]
    for number, sample in enumerate(samples):
        shared = SharedWork()
        with naming_scan(sample.scan):
            for contender, outcome, tally in zip(contenders, calibrated, tallies, strict=True):
                tally.add(number, sample, *score_part(sample, contender, outcome.decision, shared))
        progress("test", number + 1, len(samples), "")
    return [
        measure(
            folder.resolve().name,
            contender.candidate.name,
            contender.manifest,
            tally.scored(samples, with_masks),
            (outcome.calibration.threshold, outcome.calibration.pixel_threshold),
            bank_bytes(outcome.decision),
        )
        for contender, outcome, tally in zip(contenders, calibrated, tallies, strict=True)
    ]


def has_masks(samples: Sequence[Sample]) -> bool:
    """Whether the defective parts have masks.

    Raises:
        UsageError: some have and some have not: a defect counted as good pixels would falsify the figures.
    """
    missing = [each for each in samples if each.is_defect and each.mask is None]
    if missing and any(each.mask is not None for each in samples):
        scan = missing[0].scan
        raise UsageError(
            f"{scan}: the defect has no mask gt/{scan.stem}.png, as {len(missing)} of the test parts, but others "
            "have: add the masks, or remove all for image metrics alone"
        )
    return not missing


def settled_contenders(
    contenders: Sequence[Contender], samples: Sequence[Sample], progress: Progress
) -> list[Contender]:
    """The contenders with raw or preprocessed decided once, from the class's own normal scans, as calibration does.

    Raises:
        UsageError: scans are of both kinds.
        ScanError: a scan cannot be read.
    """
    settled: dict[bytes, Settled] = {}
    changed = []
    for contender in contenders:
        bundle = contender.candidate.bundle
        asked = msgspec.structs.replace(bundle.manifest.preprocessing, plane="auto", side="auto")
        key = msgspec.json.encode([sorted(modalities(bundle.manifest)), asked])
        if key not in settled:
            scans = [sample.scan for sample in samples]
            settled[key] = settled_preprocessing(bundle.manifest, asked, scans, progress)
            for warning in settled[key].warnings:
                warn(warning, stacklevel=2)
        manifest = msgspec.structs.replace(bundle.manifest, preprocessing=settled[key].preprocessing)
        candidate = replace(contender.candidate, bundle=replace(bundle, manifest=manifest))
        changed.append(replace(contender, candidate=candidate))
    return changed


class SharedWork:
    """What candidates have in common on one part: computed once, its time booked to each of them."""

    def __init__(self) -> None:
        self._held: dict[object, tuple[Any, dict[str, float]]] = {}

    def get(self, key: object, times: StageTimes, compute: Callable[[StageTimes], T]) -> T:
        """The result of `compute`, now or before."""
        if key not in self._held:
            own = StageTimes()
            self._held[key] = compute(own), own.seconds
        result: T
        result, seconds = self._held[key]
        for stage, spent in seconds.items():
            times.seconds[stage] = times.seconds.get(stage, 0.0) + spent
        return result


class NormalParts:
    """The normal parts of a class: prepared, measured and made into banks once for all contenders."""

    def __init__(self, samples: Sequence[Sample], progress: Progress) -> None:
        self._samples, self._progress = samples, progress
        self._measured: dict[object, list[tuple[PartFeatures, PreparedPart]]] = {}
        self._completed: tuple[object, list[PartFeatures]] = (None, [])
        self._sides: dict[object, Side] = {}

    def calibrate(self, contender: Contender) -> Calibrated:
        """Banks, fusion and thresholds of one contender.

        Raises:
            ScanError: a scan cannot be read or used.
        """
        settings = contender.candidate.settings
        measured = [features for features, _ in self._measure(contender)]
        patchless = contender.extractor.without_points(measured[0].main.shape[1])
        main = self._side(contender, MAIN, contender.main_key, patchless[0], lambda: [each.main for each in measured])
        second = None
        role = contender.extractor.route.second_bank
        if role is not None:
            second = self._side(contender, role, contender.second_key, patchless[1], lambda: self._second(contender))
        return combine([each.foreground for each in measured], main, second, "", settings)

    def part_range(self, contender: Contender) -> PartRange:
        """What the normal parts show of themselves, after the contender was calibrated."""
        return range_of([prepared.view for _, prepared in self._measure(contender)])

    def _measure(self, contender: Contender) -> list[tuple[PartFeatures, PreparedPart]]:
        key = contender.main_key
        if key not in self._measured:
            self._measured[key] = []
            for number, sample in enumerate(self._samples, 1):
                with naming_scan(sample.scan):
                    prepared = prepare(sample, contender.manifest, StageTimes())
                    features = contender.extractor.measure(prepared, StageTimes())
                require_usable(sample.scan, features)
                self._measured[key].append((features, prepared))
                self._progress("features", number, len(self._samples), "")
        return self._measured[key]

    def _second(self, contender: Contender) -> list[Array]:
        """Those of the last route only: several routes' would need several times the memory."""
        if self._completed[0] != contender.second_key:
            self._completed = (
                contender.second_key,
                [
                    self._complete(contender, sample, *measured)
                    for sample, measured in zip(self._samples, self._measure(contender), strict=True)
                ],
            )
        return [each.second for each in self._completed[1] if each.second is not None]

    def _complete(
        self, contender: Contender, sample: Sample, features: PartFeatures, prepared: PreparedPart
    ) -> PartFeatures:
        with naming_scan(sample.scan):
            # The features may have been measured for a route that does not look at both sensors.
            if "rgb" in modalities(contender.manifest) and prepared.image is None:
                prepared = prepare(sample, contender.manifest, StageTimes())
            completed = contender.extractor.complete(features, prepared, StageTimes())
        require_usable(sample.scan, completed)
        return completed

    def _side(
        self,
        contender: Contender,
        role: str,
        features_key: object,
        patchless: Array | None,
        rows: Callable[[], list[Array]],
    ) -> Side:
        settings, statistics = contender.candidate.settings, contender.statistics
        key = features_key, settings, statistics
        if key not in self._sides:
            progress = naming_bank(self._progress, role)
            self._sides[key] = calibrate_side(rows(), patchless, settings, progress, statistics)
        return self._sides[key]


class Tally:
    """The scores, maps and masks of one contender's test parts."""

    def __init__(self, n: int) -> None:
        self._scores = np.empty(n)
        self._maps = np.empty((n, SIZE, SIZE), np.float32)
        self._masks = np.zeros((n, SIZE, SIZE), np.bool_)
        self._seconds: list[dict[str, float]] = []

    def add(
        self, number: int, sample: Sample, prepared: PreparedPart, score: float, map_224: Array, times: StageTimes
    ) -> None:
        """One part; parts come in order."""
        self._scores[number], self._maps[number] = score, map_224
        if sample.mask is not None:
            self._masks[number] = prepare_mask(read_defect_mask(sample.mask), prepared.frame)
        self._seconds.append(times.seconds)

    def scored(self, samples: Sequence[Sample], with_masks: bool) -> Scored:
        """All parts."""
        masks = self._masks if with_masks else None
        return Scored(list(samples), self._scores, self._maps, masks, self._seconds)


def score_part(
    sample: Sample, contender: Contender, decision: Decision, shared: SharedWork
) -> tuple[PreparedPart, float, Array, StageTimes]:
    """One part as the line would score it, with the time the line would need.

    Raises:
        ScanError: the part cannot be read or used.
    """
    times, extractor = StageTimes(), contender.extractor
    prepared = shared.get(
        contender.prepared_key, times, lambda own: prepare(sample, contender.manifest, own, contender.expected)
    )
    features = shared.get(contender.main_key, times, lambda own: extractor.measure(prepared, own))
    require_usable(sample.scan, features)
    banks = [(contender.main_key, decision.main, features.main)]
    if decision.second is not None:
        completed = shared.get(contender.second_key, times, lambda own: extractor.complete(features, prepared, own))
        require_usable(sample.scan, completed)
        assert completed.second is not None
        banks.append((contender.second_key, decision.second, completed.second))
    matches = tuple(shared.get((key, id(bank)), times, partial(_match, bank, rows)) for key, bank, rows in banks)
    with times.stage("score"):
        score, map_224 = decision.decide(features.foreground, matches)
    return prepared, score, map_224, times


def prepare(sample: Sample, manifest: Manifest, times: StageTimes, expected: PartRange | None = None) -> PreparedPart:
    """Read what the route looks at, and prepare it; of several things in view the part is what is most as expected.

    Raises:
        ScanError: a file cannot be read or used.
    """
    measured = modalities(manifest)
    with times.stage("read"):
        part = read_sample(sample, measured, manifest.preprocessing)
    with times.stage("preprocess"):
        return prepare_part(part, measured, manifest.preprocessing, expected)


def bank_bytes(decision: Decision) -> int:
    """The size of the memory banks with their tables."""
    banks = [each.bank for each in (decision.main, decision.second) if each is not None]
    return sum(array.nbytes for bank in banks for array in bank.arrays().values())


def _match(bank: NormalizedBank, rows: Array, times: StageTimes) -> BankMatch:
    with times.stage("search"):
        return match_bank(bank, rows)
