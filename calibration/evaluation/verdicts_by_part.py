"""Each test part's score and verdict at the calibrated threshold, and the trade-off between misses and false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...runtime.reports.chart import Chart
from ...runtime.reports.table import MISSING, Table, csv_text
from ...runtime.sensor.dataset import GOOD
from ..trade import Traded, TradePoint, drawn_trade, trade_points
from .outcomes import ClassOutcome, Evaluation

PartVerdict = Literal["miss", "false alarm", "hit", "pass"]
"""A defect called good, a good part called defective, and the two right verdicts."""

_ORDER: tuple[PartVerdict, ...] = ("miss", "false alarm", "hit", "pass")


@dataclass(frozen=True)
class JudgedPart:
    """One test part at the calibrated threshold.

    Attributes:
        name: in the test split, such as `dent/000`.
        defect: its label, `good` for a normal part.
        score: the image score.
        threshold: from the normal scans.
        verdict: see `PartVerdict`.
        refusal: why `infer` would give no verdict on it; empty if it would.
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


def trade_chart(outcomes: Sequence[ClassOutcome]) -> Chart | None:
    """The trade-off of every method; None if a method's test parts are all good, or all defective."""
    traded = [
        Traded(outcome.name, outcome.scores, outcome.defects != GOOD, outcome.threshold.value) for outcome in outcomes
    ]
    return drawn_trade("The trade-off: defects missed against good parts rejected", traded)


def parts_table(outcome: ClassOutcome) -> Table:
    """Every part of one method, the worst first."""
    headers = ["part", "verdict", "score", "of the threshold", "infer"]
    rows = []
    for part in worst_first(judged_parts(outcome)):
        share = f"{part.score / part.threshold:.0%}" if part.threshold > 0 else MISSING
        rows.append([part.name, part.verdict, f"{part.score:.4g}", share, part.refusal or "would inspect it"])
    return Table(f"All test parts, {outcome.name}", headers, rows, 2)


def parts_as_csv(evaluation: Evaluation) -> str:
    """One line per test part of each class and candidate; the refusal is empty if `infer` would inspect it."""
    key = ["class", "route", "main", "scored_by"]
    rows: list[list[object]] = [[*key, "part", "defect", "score", "threshold", "is_defect", "verdict", "refusal"]]
    for outcome in evaluation.outcomes:
        row = outcome.row
        for part in judged_parts(outcome):
            is_defect = "true" if part.is_defect else "false"
            verdict = [part.score, part.threshold, is_defect, part.verdict, part.refusal]
            rows.append([row.class_name, row.route, row.main, row.scored_by, part.name, part.defect, *verdict])
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
    """The trade-off of one method for `--json`; `calibrated` is the point of its threshold."""
    counts = outcome.verdicts
    return {
        "n_good": counts.n_good,
        "n_defective": counts.n_defective,
        "calibrated": TradePoint(outcome.threshold.value, counts.false_rejects, counts.misses),
        "points": trade_points(outcome.scores, outcome.defects != GOOD),
    }
