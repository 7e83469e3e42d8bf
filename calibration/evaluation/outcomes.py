"""What an evaluation finds: the scores of detection of every class on every candidate, and what reports draw from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ...runtime.bundle.manifest import Manifest
from ...runtime.bundle.parameters import Modality, PartRange, RouteName, ScoreName, Threshold
from ...runtime.sensor.dataset import GOOD, Sample
from ...runtime.verdict.auroc import auroc
from ..detection_scores import Curve, partial_area, pixel_auroc, pro_curve, roc_curve

FPR_LIMIT = 0.3
STRICT_FPR_LIMIT = 0.01
MEAN = "mean"
N_HITS = 3
# Of these a report shows more: they are what somebody has to look at.
N_MISTAKES = 12
# Beyond these many points a curve looks the same.
_CURVE_POINTS = 241

Array = npt.NDArray[np.float32]
ExampleKind = Literal["hit", "miss", "false alarm"]


class Row(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """One class, or the mean of all, on one route; the documented object of `evaluate --json`.

    The pixel scores are None if no defective part has a mask, and all scores are None if all test parts are good;
    I-AUROC is also None if they are all defective.
    """

    class_name: str
    route: RouteName
    main: Modality
    i_auroc: float | None
    p_auroc: float | None
    aupro: float | None
    aupro_001: float | None
    n_test: int
    scored_by: ScoreName = "paper"

    @property
    def title(self) -> str:
        """The route, and the score where it is not the paper's."""
        return self.route if self.scored_by == "paper" else f"{self.route}, {self.scored_by}"


@dataclass(frozen=True)
class Scored:
    """The test parts of one class on one candidate.

    Attributes:
        samples: n parts.
        scores: (n,) float64, image scores.
        maps: (n, 224, 224) float32.
        masks: (n, 224, 224) bool; None if no defective part has a mask.
        seconds: n times by stage, as the line would need for the part.
        refusals: n lists of why `infer` would refuse the part, such as a size that calibration did not see; mostly
            empty.
    """

    samples: list[Sample]
    scores: npt.NDArray[np.float64]
    maps: Array
    masks: npt.NDArray[np.bool_] | None
    seconds: list[dict[str, float]]
    refusals: list[list[str]]

    @property
    def defects(self) -> npt.NDArray[np.str_]:
        """(n,) defect names, `good` for normal parts."""
        return np.array([sample.defect for sample in self.samples])

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """(n,) true where the part is defective."""
        return self.defects != GOOD

    @property
    def has_both_labels(self) -> bool:
        """Whether there are both good and defective parts, so that scores can be compared."""
        return bool(self.labels.any() and not self.labels.all())


@dataclass(frozen=True)
class Example:
    """A part to be shown.

    Attributes:
        verdict: hit: a defect above the threshold; miss: one below; false alarm: a good part above.
        sample: the part.
        score: its image score.
        map_224: (224, 224) float32, its anomaly map, of the whole scan.
    """

    verdict: ExampleKind
    sample: Sample
    score: float
    map_224: Array


@dataclass(frozen=True)
class ClassOutcome:
    """One class on one candidate.

    Attributes:
        name: the candidate's.
        row: the scores of detection.
        manifest: of the candidate's bundle.
        part_range: what calibration saw of the class's parts.
        by_defect: image AUROC of each defect's parts against the good ones; empty without good ones.
        threshold: from the normal scans alone.
        pixel_threshold: the map's.
        defects: (n,) defect names of the test parts.
        scores: (n,) float64, theirs.
        names: n names in the test split, such as `dent/000`.
        refusals: n lists of why `infer` would refuse the part; mostly empty.
        roc: image ROC curve; None if the parts are all good, or all defective.
        pro: per-region-overlap curve up to a false-positive rate of 0.3, thinned for drawing; None without masks.
        milliseconds: median over the test parts by stage, and their median `total`.
        bank_bytes: of all memory banks.
        examples: the lowest-scored misses, the highest-scored false alarms, the highest-scored hits.
    """

    name: str
    row: Row
    manifest: Manifest
    part_range: PartRange
    by_defect: dict[str, float]
    threshold: Threshold
    pixel_threshold: float
    defects: npt.NDArray[np.str_]
    scores: npt.NDArray[np.float64]
    names: list[str]
    refusals: list[list[str]]
    roc: Curve | None
    pro: Curve | None
    milliseconds: dict[str, float]
    bank_bytes: int
    examples: list[Example]

    @property
    def verdicts(self) -> Verdicts:
        """The test parts against the threshold."""
        rejected, good = self.scores > self.threshold.value, self.defects == GOOD
        refused = np.array([bool(reasons) for reasons in self.refusals])
        counts = good, good & rejected, ~good, ~good & ~rejected, refused
        return Verdicts(*(int(np.count_nonzero(chosen)) for chosen in counts))


@dataclass(frozen=True)
class Verdicts:
    """How many test parts the calibrated threshold gets wrong.

    Attributes:
        n_good, n_defective: how many there are.
        false_rejects, misses: how many of them score on the wrong side of the threshold.
        refused: how many of both `infer` would refuse, because they are unlike the parts that calibration saw.
    """

    n_good: int
    false_rejects: int
    n_defective: int
    misses: int
    refused: int

    @property
    def false_reject_rate(self) -> float | None:
        """Share of the good parts that are called defective; None without good parts."""
        return self.false_rejects / self.n_good if self.n_good else None

    @property
    def miss_rate(self) -> float | None:
        """Share of the defective parts that are called good; None without defective parts."""
        return self.misses / self.n_defective if self.n_defective else None

    @classmethod
    def total(cls, parts: Iterable[Verdicts]) -> Verdicts:
        """The sum over classes."""
        counts = [(part.n_good, part.false_rejects, part.n_defective, part.misses, part.refused) for part in parts]
        return cls(*(sum(column) for column in zip(*counts, strict=True)))


@dataclass(frozen=True)
class Evaluation:
    """The outcomes of all classes on all candidates, class by class.

    Attributes:
        outcomes: one for each class and candidate.
        warnings: what falsifies the figures, such as scans that were both learned from and tested, a sentence each.
    """

    outcomes: list[ClassOutcome]
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The candidates, in the order given."""
        return list(dict.fromkeys(outcome.name for outcome in self.outcomes))

    @property
    def class_names(self) -> list[str]:
        """The classes, in the dataset's order."""
        return list(dict.fromkeys(outcome.row.class_name for outcome in self.outcomes))

    def of(self, name: str) -> list[ClassOutcome]:
        """One candidate's outcomes."""
        return [outcome for outcome in self.outcomes if outcome.name == name]

    def mean(self, name: str) -> Row:
        """One candidate's scores of detection, averaged over the classes."""
        return mean_row([outcome.row for outcome in self.of(name)])

    @property
    def rows(self) -> list[Row]:
        """Candidate by candidate: each class, and the mean where there are several."""
        rows: list[Row] = []
        for name in self.names:
            by_class = [outcome.row for outcome in self.of(name)]
            rows += [*by_class, *([mean_row(by_class)] if len(by_class) > 1 else [])]
        return rows


def measure(
    class_name: str,
    name: str,
    manifest: Manifest,
    scored: Scored,
    part_range: PartRange,
    thresholds: tuple[Threshold, Threshold],
    n_bytes: int,
    scored_by: ScoreName = "paper",
) -> ClassOutcome:
    """The metrics of one class on one candidate, and what is kept for reports.

    Args:
        class_name, name: of the dataset, and the candidate's.
        manifest: of its bundle.
        scored: the test parts.
        part_range: what calibration saw of the class's parts.
        thresholds: of the score and of the map.
        n_bytes: size of the memory banks.
        scored_by: what made the scores of patch distances.
    """
    pro = None if scored.masks is None else pro_curve(scored.maps, scored.masks)
    return ClassOutcome(
        name=name,
        row=_row_of(class_name, manifest, scored, pro, scored_by),
        manifest=manifest,
        part_range=part_range,
        by_defect=measure_defects(scored.scores, scored.defects) if scored.has_both_labels else {},
        threshold=thresholds[0],
        pixel_threshold=thresholds[1].value,
        defects=scored.defects,
        scores=scored.scores,
        names=[name_of(sample) for sample in scored.samples],
        refusals=scored.refusals,
        roc=roc_curve(scored.scores, scored.labels) if scored.has_both_labels else None,
        pro=None if pro is None else thinned(pro),
        milliseconds=median_milliseconds(scored.seconds),
        bank_bytes=n_bytes,
        examples=choose_examples(scored, thresholds[0].value),
    )


def name_of(sample: Sample) -> str:
    """What a test part is called: its defect and its number; of several in a scan with the scan's folder between."""
    folder = "" if sample.part is None else f"{sample.scan.parent.parent.name}/"
    return f"{sample.defect}/{folder}{sample.name}"


def _row_of(class_name: str, manifest: Manifest, scored: Scored, pro: Curve | None, scored_by: ScoreName) -> Row:
    return Row(
        class_name=class_name,
        route=manifest.route,
        main=manifest.main,
        i_auroc=auroc(scored.scores, scored.labels) if scored.has_both_labels else None,
        p_auroc=None if scored.masks is None else pixel_auroc(scored.maps, scored.masks),
        aupro=None if pro is None else partial_area(pro, FPR_LIMIT),
        aupro_001=None if pro is None else partial_area(pro, STRICT_FPR_LIMIT),
        n_test=len(scored.samples),
        scored_by=scored_by,
    )


def measure_defects(scores: npt.NDArray[np.floating], names: npt.NDArray[np.str_]) -> dict[str, float]:
    """Image AUROC of each defect's parts against the good ones: scores (n,), and what each part has (n,).

    Example:
        >>> measure_defects(np.array([0.1, 0.9, 0.2]), np.array(["good", "dent", "good"]))
        {'dent': 1.0}
    """
    by_defect = {}
    for name in sorted(set(names.tolist()) - {GOOD}):
        chosen = (names == name) | (names == GOOD)
        by_defect[name] = auroc(scores[chosen], names[chosen] == name)
    return by_defect


def mean_row(rows: Sequence[Row]) -> Row:
    """The mean over classes of every metric; None where a class has none."""

    def mean(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if len(known) == len(values) else None

    return Row(
        class_name=MEAN,
        route=rows[0].route,
        main=rows[0].main,
        i_auroc=mean([row.i_auroc for row in rows]),
        p_auroc=mean([row.p_auroc for row in rows]),
        aupro=mean([row.aupro for row in rows]),
        aupro_001=mean([row.aupro_001 for row in rows]),
        n_test=sum(row.n_test for row in rows),
        scored_by=rows[0].scored_by,
    )


def thinned(pro: Curve) -> Curve:
    """The curve up to FPR_LIMIT, at places that are evenly spaced in it."""
    places = np.linspace(0, FPR_LIMIT, _CURVE_POINTS)
    return places, np.interp(places, *pro)


def median_milliseconds(seconds: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median over parts of every stage, and of their sums as `total`."""
    stages = dict.fromkeys(stage for times in seconds for stage in times)
    medians = {stage: 1e3 * float(np.median([times.get(stage, 0.0) for times in seconds])) for stage in stages}
    return {**medians, "total": 1e3 * float(np.median([sum(times.values()) for times in seconds]))}


def choose_examples(scored: Scored, threshold: float) -> list[Example]:
    """The most embarrassing misses and false alarms, and the clearest hits."""
    defective, rejected = scored.labels, scored.scores > threshold
    descending = np.argsort(-scored.scores, kind="stable")
    candidates: list[tuple[ExampleKind, npt.NDArray[np.intp]]] = [
        ("miss", descending[(defective & ~rejected)[descending]][::-1][:N_MISTAKES]),
        ("false alarm", descending[(~defective & rejected)[descending]][:N_MISTAKES]),
        ("hit", descending[(defective & rejected)[descending]][:N_HITS]),
    ]
    return [
        Example(verdict, scored.samples[i], float(scored.scores[i]), scored.maps[i].copy())
        for verdict, places in candidates
        for i in places
    ]
