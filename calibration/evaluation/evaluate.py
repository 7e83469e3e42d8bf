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

import numpy as np
import numpy.typing as npt

from ...runtime.errors import UsageError, naming_scan
from ...runtime.patches.features import FeatureExtractor
from ...runtime.patches.neighborhood import neighborhood_mean
from ...runtime.patches.pooling import SIZE
from ...runtime.patches.routes import modalities
from ...runtime.preparation.frame import Frame, map_to_input, prepare_mask, sample_nearest
from ...runtime.preparation.part_range import outside
from ...runtime.preparation.part_samples import labeled_parts, own_pixels
from ...runtime.preparation.prepared_part import PreparedPart
from ...runtime.progress import Progress
from ...runtime.sensor.dataset import (
    GOOD,
    Sample,
    class_name,
    find_classes,
    find_samples,
    label_doubts,
    list_samples,
    misnamed_folders,
)
from ...runtime.sensor.image import read_defect_mask
from ...runtime.timing import StageTimes
from ...runtime.verdict.decision import BankMatch, Decision, NormalizedBank, match_bank
from ..calibrate import require_usable
from .contenders import Candidate, Contender, NormalParts, prepare, settled_contenders
from .doubts import PartDoubts, class_doubts, threshold_doubts
from .outcomes import ClassOutcome, Evaluation, Scored, measure

Array = npt.NDArray[np.float32]
T = TypeVar("T")


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
    for candidate in candidates:
        if id(candidate.bundle) not in opened:
            opened[id(candidate.bundle)] = FeatureExtractor(candidate.bundle, provider)
        contenders.append(Contender(candidate, opened[id(candidate.bundle)]))
    outcomes: list[ClassOutcome] = []
    classes = find_classes(data, class_names)
    doubts = [] if class_names else left_out(data)
    for folder in classes:
        own, told = evaluate_class(folder, contenders, progress)
        outcomes += own
        doubts += [f"{class_name(folder)}: {sentence}" for sentence in told]
    for sentence in doubts:
        warn(sentence, stacklevel=2)
    return Evaluation(outcomes, tuple(doubts))


def left_out(data: Path) -> list[str]:
    """What looks like a class of a dataset and is none, a sentence each.

    Raises:
        ScanError: a folder cannot be read.
    """
    return [
        f"{folder.parents[1].name} is left out: its normal parts lie in train/{folder.name}, not {GOOD}"
        for folder in misnamed_folders(data)
    ]


def evaluate_class(
    folder: Path, contenders: Sequence[Contender], progress: Progress
) -> tuple[list[ClassOutcome], list[str]]:
    """One class: calibrated and scored for every contender; and what falsifies its figures, in sentences.

    Raises:
        UsageError: the class has no train/good or no test, or some defects have a mask and some have none.
        ScanError: a scan or mask cannot be read or used.
    """
    samples = find_samples(folder, "test")
    with_masks = has_masks(samples)
    good = find_samples(folder, "train", GOOD)
    contenders = settled_contenders(contenders, good, progress)
    normal = NormalParts(good, progress)
    calibrated = [normal.calibrate(contender) for contender in contenders]
    contenders = [replace(contender, expected=normal.part_range(contender)) for contender in contenders]
    doubts, known = [*class_doubts(samples, list_samples(folder, "validation")), *normal.copies], normal.known
    learned = ((one.manifest, normal.names(one), outcome) for one, outcome in zip(contenders, calibrated, strict=True))
    doubts += threshold_doubts(list(learned))
    del normal  # its features are the largest thing here
    decisions, tested = [outcome.decision for outcome in calibrated], PartDoubts(known)
    tallies = score_samples(samples, contenders, decisions, tested, progress)
    outcomes = [
        measure(
            class_name(folder),
            contender.candidate.name,
            contender.manifest,
            tally.scored(with_masks),
            contender.require_range(),
            (outcome.calibration.threshold, outcome.calibration.pixel_threshold),
            bank_bytes(outcome.decision),
            outcome.decision.score,
        )
        for contender, outcome, tally in zip(contenders, calibrated, tallies, strict=True)
    ]
    return outcomes, [*doubts, *tested.doubts(len(samples))]


def score_samples(
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    decisions: Sequence[Decision],
    tested: PartDoubts,
    progress: Progress,
) -> list[Tally]:
    """Every contender's tally of the parts, which `tested` is told too.

    Args:
        samples: of a class's test.
        contenders: with what calibration saw.
        decisions: of each.
        tested: looks for what falsifies the figures.
        progress: called with (stage, done, all, remark).

    Raises:
        ScanError: a scan or mask cannot be read or used.
    """
    tallies = [Tally() for _ in contenders]
    # Only points tell which pixels are the part.
    seeing = next((one for one in contenders if "pc" in modalities(one.manifest)), contenders[0])
    for number, sample in enumerate(samples):
        shared = SharedWork()
        with naming_scan(sample.scan):
            for contender, decision, tally in zip(contenders, decisions, tallies, strict=True):
                for part in score_parts(sample, contender, decision, shared):
                    tally.add(part, outside(part.prepared.view, contender.require_range()))
                    if contender is contenders[0]:
                        tested.add(part.sample, part.prepared)
                    if contender is seeing:
                        tested.add_mask(part.sample, part.prepared, part.mask, part.whole)
        progress("test", number + 1, len(samples), "")
    return tallies


def has_masks(samples: Sequence[Sample]) -> bool:
    """Whether there are defective parts, and they have masks. All are read: better now than after the calibration.

    Raises:
        UsageError: some have and some have not: a defect counted as good pixels would falsify the figures.
        ScanError: a mask cannot be read, or marks nothing.
    """
    defective = [sample for sample in samples if sample.is_defect]
    missing = [sample for sample in defective if sample.mask is None]
    if missing and len(missing) < len(defective):
        if doubts := label_doubts("test", missing):
            raise UsageError(
                f"{missing[0].scan}: the part has no mask in gt/, as other defective ones have: {doubts[0]}"
            )
        raise UsageError(
            f"{missing[0].scan}: the defect has no mask in gt/, such as gt/{missing[0].scan.stem}.png, as "
            f"{len(missing)} of {len(defective)} defective test parts, but others have: add the masks, or remove all "
            "for image metrics alone"
        )
    for sample in defective:
        if sample.mask is not None:
            read_defect_mask(sample.mask)
    return bool(defective) and not missing


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


@dataclass(frozen=True)
class ScoredPart:
    """One test part as the line would score it.

    Attributes:
        sample: the part's own, with its label.
        prepared: as the networks saw it.
        whole: the frame of its whole scan.
        mask: (224, 224) bool, what of it is defective, of the whole scan whatever the window.
        score: its image score.
        map_224: (224, 224) float32, its anomaly map, of the whole scan too.
        times: what the line would need.
    """

    sample: Sample
    prepared: PreparedPart
    whole: Frame
    mask: npt.NDArray[np.bool_]
    score: float
    map_224: Array
    times: StageTimes


class Tally:
    """The samples, scores, maps and masks of one contender's test parts."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._scores: list[float] = []
        self._maps: list[Array] = []
        self._masks: list[npt.NDArray[np.bool_]] = []
        self._seconds: list[dict[str, float]] = []
        self._refusals: list[list[str]] = []

    def add(self, part: ScoredPart, refusal: list[str]) -> None:
        """One part, and why `infer` would refuse it; parts come in order."""
        self._samples.append(part.sample)
        self._scores.append(part.score)
        self._maps.append(part.map_224)
        self._masks.append(part.mask)
        self._seconds.append(part.times.seconds)
        self._refusals.append(refusal)

    def scored(self, with_masks: bool) -> Scored:
        """All parts."""
        masks = np.stack(self._masks) if with_masks else None
        scores, maps = np.array(self._scores), np.stack(self._maps)
        return Scored(self._samples, scores, maps, masks, self._seconds, self._refusals)


def score_parts(sample: Sample, contender: Contender, decision: Decision, shared: SharedWork) -> list[ScoredPart]:
    """The parts of a test scan as the line would score them, with the time the line would need for each.

    Raises:
        ScanError: the scan or its mask cannot be read or used.
        UsageError: a defective scan of several parts has no mask.
    """
    together = StageTimes()
    prepared = shared.get(
        contender.prepared_key, together, lambda own: prepare(sample, contender.manifest, own, contender.expected)
    )
    several = contender.manifest.preprocessing.parts == "all"
    samples = labeled_parts(sample, prepared) if several else [sample]
    scored = []
    whole = prepared[0].frame.whole(contender.manifest.preprocessing.pad_multiple)
    for part_sample, part, mask in zip(samples, prepared, defect_masks(sample, prepared, whole), strict=True):
        times = StageTimes()
        times.add_share(together, len(prepared))
        score, map_224 = _score_part(part_sample, part, contender, decision, shared, times)
        scored.append(ScoredPart(part_sample, part, whole, mask, score, in_whole_scan(map_224, part, whole), times))
    return scored


def in_whole_scan(map_224: Array, part: PreparedPart, whole: Frame) -> Array:
    """A part's map (224, 224) in the frame of its whole scan: pixel scores depend on how much is not part."""
    if part.frame == whole:
        return map_224
    return sample_nearest(map_to_input(map_224, part.frame, of_image=part.scan is None), whole)


def defect_masks(sample: Sample, prepared: Sequence[PreparedPart], whole: Frame) -> list[npt.NDArray[np.bool_]]:
    """What of each of a scan's parts is defective, in the frame of the whole scan: (224, 224) bool.

    Raises:
        ScanError: the mask cannot be read, marks nothing, or is of another size than the scan.
    """
    if sample.mask is None:
        return [np.zeros((SIZE, SIZE), np.bool_) for _ in prepared]
    own = own_pixels(read_defect_mask(sample.mask), prepared)
    return [prepare_mask(mask, whole) for mask in own]


def _score_part(
    sample: Sample,
    prepared: PreparedPart,
    contender: Contender,
    decision: Decision,
    shared: SharedWork,
    times: StageTimes,
) -> tuple[float, Array]:
    extractor, which = contender.extractor, sample.part
    main_key, second_key = (contender.main_key, which), (contender.second_key, which)
    features = shared.get(main_key, times, lambda own: extractor.measure(prepared, own))
    require_usable(sample.scan, features)
    size, foreground = decision.neighborhood, features.foreground
    banks = [(main_key, decision.main, features.main)]
    if decision.second is not None:
        completed = shared.get(second_key, times, lambda own: extractor.complete(features, prepared, own))
        require_usable(sample.scan, completed)
        assert completed.second is not None
        banks.append((second_key, decision.second, completed.second))
    matches = tuple(
        shared.get((*key, id(bank)), times, partial(_match, bank, rows, foreground, size)) for key, bank, rows in banks
    )
    with times.stage("score"):
        return decision.decide(features.foreground, matches)


def bank_bytes(decision: Decision) -> int:
    """The size of the memory banks with their tables."""
    banks = [normalized.bank for normalized in (decision.main, decision.second) if normalized is not None]
    return sum(array.nbytes for bank in banks for array in bank.arrays().values())


def _match(
    bank: NormalizedBank, rows: Array, foreground: npt.NDArray[np.bool_], size: int, times: StageTimes
) -> BankMatch:
    with times.stage("search"):
        return match_bank(bank, neighborhood_mean(rows, foreground, size))
