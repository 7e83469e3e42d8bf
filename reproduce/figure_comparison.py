"""Our figures against the paper's, each with a stated tolerance and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..calibration.evaluation.outcomes import MEAN
from ..calibration.evaluation.paper import paper, paper_classes
from ..calibration.evaluation.report_tables import METRICS
from ..runtime.reports.table import MISSING, Table
from .choices import TableNumber
from .paper_tables import Experiment, Measured, Place, value_of

CellVerdict = Literal["within", "above", "below", "not run", "not comparable"]

# A test split has 20 to 32 good parts: one that changes places moves a class by up to 0.05 in I-AUROC. The order of
# the coreset, rounding in half precision and the 8-bit blur of the published code are ours to differ in.
TOLERANCES = {"i_auroc": 0.03, "aupro": 0.015, "p_auroc": 0.01}
MEAN_TOLERANCES = {"i_auroc": 0.01, "aupro": 0.005, "p_auroc": 0.005}


@dataclass(frozen=True)
class FigureComparison:
    """One cell of a table.

    Attributes:
        table: its number.
        metric: as in `evaluate --json`.
        method: the row, as printed.
        class_name: the column; `mean` over the ten classes.
        printed: the paper's figure; of the mean that of the printed classes, which three printed means are not.
        ours: None where it was not run.
        tolerance: how far ours may lie from it.
        verdict: within, above or below the tolerance; not comparable: with other data, extractors or weights
            than the paper's.
    """

    table: str
    metric: str
    method: str
    class_name: str
    printed: float
    ours: float | None
    tolerance: float
    verdict: CellVerdict


def compared_table(
    number: TableNumber,
    experiments: Mapping[Place, Experiment],
    measured: Mapping[Experiment, Sequence[Measured]],
    comparable: Set[str],
) -> list[FigureComparison]:
    """Every printed cell of a table whose rows are methods and whose columns are classes.

    Args:
        number: of the table.
        experiments: what stands at each row.
        measured: what was run, class by class.
        comparable: the classes whose figures are of the paper's data, extractors and weights.
    """
    comparisons = []
    for metric, rows in paper().tables[number].metrics.items():
        for (row, _), experiment in experiments.items():
            if row not in rows:
                continue
            printed = dict(zip(paper().tables[number].columns, rows[row], strict=True))
            for name in [*paper_classes(), MEAN]:
                ours = _ours(measured.get(experiment, ()), metric, name)
                theirs = float(np.mean([printed[one] for one in paper_classes()])) if name == MEAN else printed[name]
                tolerance = (MEAN_TOLERANCES if name == MEAN else TOLERANCES)[metric]
                is_comparable = name in comparable or (name == MEAN and set(paper_classes()) <= comparable)
                verdict = _verdict(theirs, ours, tolerance, is_comparable)
                comparisons.append(FigureComparison(number, metric, row, name, theirs, ours, tolerance, verdict))
    return comparisons


def _ours(measured: Sequence[Measured], metric: str, class_name: str) -> float | None:
    names = {outcome.row.class_name for outcome in measured}
    if class_name == MEAN and not set(paper_classes()) <= names:
        return None
    chosen = [outcome for outcome in measured if outcome.row.class_name in paper_classes()]
    return value_of(chosen, metric, class_name)


def _verdict(printed: float, ours: float | None, tolerance: float, is_comparable: bool) -> CellVerdict:
    if ours is None:
        return "not run"
    if not is_comparable:
        return "not comparable"
    # Figures are printed with three places.
    if abs(ours - printed) <= tolerance + 5e-4:
        return "within"
    return "above" if ours > printed else "below"


def comparison_table(comparisons: Sequence[FigureComparison]) -> Table:
    """What lies outside its tolerance first; what was not run is counted in the note."""
    order: tuple[CellVerdict, ...] = ("below", "above", "within", "not comparable", "not run")
    run = [cell for cell in comparisons if cell.verdict != "not run"]
    rows = [
        [
            cell.table.upper(),
            METRICS[cell.metric],
            cell.method,
            cell.class_name,
            f"{cell.printed:.3f}",
            MISSING if cell.ours is None else f"{cell.ours:.3f}",
            MISSING if cell.ours is None else f"{cell.ours - cell.printed:+.3f}",
            f"{cell.tolerance:.3f}",
            cell.verdict,
        ]
        for cell in sorted(run, key=lambda cell: order.index(cell.verdict))
    ]
    counts = [f"{sum(cell.verdict == verdict for cell in comparisons)} {verdict}" for verdict in order]
    headers = ["table", "score of detection", "method", "class", "paper", "ours", "difference", "tolerance", "verdict"]
    note = f"Of {len(comparisons)} printed figures: {', '.join(counts)}."
    return Table("Compared with the paper", headers, rows, 4, note)
