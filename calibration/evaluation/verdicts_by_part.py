"""Every test part's score and verdict at the calibrated threshold, and the trade between misses and false alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...runtime.reports.chart import Axis, Chart, color
from ...runtime.reports.table import MISSING, Table, csv_text
from ...runtime.sensor.dataset import GOOD
from .outcomes import ClassOutcome, Evaluation

PartVerdict = Literal["miss", "false alarm", "hit", "pass"]
"""A defect called good, a good part called defective, and the two right verdicts."""

_ORDER: tuple[PartVerdict, ...] = ("miss", "false alarm", "hit", "pass")
# Nobody runs a line that rejects half of its good parts; the chart goes on only where the threshold does.
_SHOWN_REJECTS = 0.5


@dataclass(frozen=True)
class JudgedPart:
    """One test part at the calibrated threshold.

    Attributes:
        name: in the test split, as `dent/000`.
        defect: its label, `good` for a normal part.
        score: the image score.
        threshold: from the normal scans.
        verdict: see `PartVerdict`.
        refusal: why `infer` would give no verdict on it; empty where it would.
    """

    name: str
    defect: str
    score: float
    threshold: float
    verdict: PartVerdict
    refusal: str

    @property
    def is_defect(self) -> bool:
        """What `infer` would say: whether the score is above the threshold."""
        return self.score > self.threshold


@dataclass(frozen=True)
class TradePoint:
    """What a threshold would do to the test parts.

    Attributes:
        threshold: parts above are rejected; None: all are.
        rejected: good parts above it.
        missed: defective parts at it or below.
    """

    threshold: float | None
    rejected: int
    missed: int


def judged_parts(outcome: ClassOutcome) -> list[JudgedPart]:
    """Every test part, in the dataset's order."""
    threshold = outcome.threshold.value
    columns = zip(outcome.names, outcome.defects.tolist(), outcome.scores.tolist(), outcome.refusals, strict=True)
    return [
        JudgedPart(name, defect, score, threshold, _verdict(defect != GOOD, score > threshold), "; ".join(reasons))
        for name, defect, score, reasons in columns
    ]


def _verdict(is_defective: bool, is_rejected: bool) -> PartVerdict:
    if is_defective:
        return "hit" if is_rejected else "miss"
    return "false alarm" if is_rejected else "pass"


def worst_first(parts: list[JudgedPart]) -> list[JudgedPart]:
    """Misses, then false alarms, each the farthest from the threshold first; then the others, the nearest first."""

    def place(part: JudgedPart) -> tuple[int, float]:
        distance = abs(part.score - part.threshold)
        return _ORDER.index(part.verdict), -distance if part.verdict in ("miss", "false alarm") else distance

    return sorted(parts, key=place)


def trade_points(scores: npt.NDArray[np.float64], is_defective: npt.NDArray[np.bool_]) -> list[TradePoint]:
    """What every threshold that makes a difference would do, from rejecting all parts to rejecting none.

    Args:
        scores: (n,) float64, of the test parts.
        is_defective: (n,) bool.

    Example:
        >>> trade_points(np.array([1.0, 2.0]), np.array([False, True]))[1]
        TradePoint(threshold=1.0, rejected=0, missed=0)
    """
    good, bad = np.sort(scores[~is_defective]), np.sort(scores[is_defective])
    levels = np.unique(scores)
    rejected = len(good) - np.searchsorted(good, levels, side="right")
    missed = np.searchsorted(bad, levels, side="right")
    counts = zip(levels.tolist(), rejected.tolist(), missed.tolist(), strict=True)
    return [TradePoint(None, len(good), 0), *(TradePoint(*point) for point in counts)]


def trade_chart(outcomes: list[ClassOutcome]) -> Chart | None:
    """Defects missed against good parts rejected, by threshold, and where each method's calibrated threshold lies.

    None where a method's test parts are all good, or all defective.
    """
    verdicts = [outcome.verdicts for outcome in outcomes]
    calibrated = [(counts.false_reject_rate, counts.miss_rate) for counts in verdicts]
    places = [(rejected, missed) for rejected, missed in calibrated if rejected is not None and missed is not None]
    if len(places) < len(outcomes):
        return None
    high = _SHOWN_REJECTS if all(rejected <= _SHOWN_REJECTS for rejected, _ in places) else 1.0
    axes = Axis("good parts rejected", 0, high), Axis("defects missed", 0, 1)
    chart = Chart("The trade: missed against rejected", *axes)
    for index, (outcome, counts, place) in enumerate(zip(outcomes, verdicts, places, strict=True)):
        steps = trade_points(outcome.scores, outcome.defects != GOOD)
        shares = [(point.rejected / counts.n_good, point.missed / counts.n_defective) for point in steps]
        chart.line(_stairs(shares, high), color(index), outcome.name)
        chart.dot(place, color(index), "calibrated" if len(outcomes) == 1 else "")
    return chart


def _stairs(shares: list[tuple[float, float]], high: float) -> list[tuple[float, float]]:
    """Corners of the steps with at most so many rejects, the least first: a threshold is one of them, never between."""
    corners: list[tuple[float, float]] = []
    missed_before = 1.0
    for rejected, missed in sorted(shares):
        if rejected > high:
            break
        if missed < missed_before or not corners:
            corners += [(rejected, missed_before), (rejected, missed)]
            missed_before = missed
    return [*corners, (high, missed_before)]


def parts_table(outcome: ClassOutcome) -> Table:
    """Every part of one method, the worst first."""
    headers = ["part", "verdict", "score", "of the threshold", "infer"]
    rows = []
    for part in worst_first(judged_parts(outcome)):
        share = f"{part.score / part.threshold:.0%}" if part.threshold > 0 else MISSING
        rows.append([part.name, part.verdict, f"{part.score:.4g}", share, part.refusal or "inspects it"])
    return Table(f"All test parts, {outcome.name}", headers, rows, 2)


def parts_as_csv(evaluation: Evaluation) -> str:
    """One line a test part of each class, route and main modality; an empty refusal where `infer` would inspect it."""
    headers = ["class", "route", "main", "part", "defect", "score", "threshold", "is_defect", "verdict", "refusal"]
    rows: list[list[object]] = [list(headers)]
    for outcome in evaluation.outcomes:
        row = outcome.row
        for part in judged_parts(outcome):
            is_defect = "true" if part.is_defect else "false"
            verdict = [part.score, part.threshold, is_defect, part.verdict, part.refusal]
            rows.append([row.class_name, row.route, row.main, part.name, part.defect, *verdict])
    return csv_text(rows)


def part_objects(outcome: ClassOutcome) -> list[dict[str, object]]:
    """Every test part for `--json`."""
    return [
        {
            "part": part.name,
            "defect": part.defect,
            "score": part.score,
            "threshold": part.threshold,
            "is_defect": part.is_defect,
            "verdict": part.verdict,
            "refusal": part.refusal or None,
        }
        for part in judged_parts(outcome)
    ]


def trade_object(outcome: ClassOutcome) -> dict[str, object]:
    """The trade of one method for `--json`; `calibrated` is the point of its threshold."""
    counts = outcome.verdicts
    return {
        "n_good": counts.n_good,
        "n_defective": counts.n_defective,
        "calibrated": TradePoint(outcome.threshold.value, counts.false_rejects, counts.misses),
        "points": trade_points(outcome.scores, outcome.defects != GOOD),
    }
