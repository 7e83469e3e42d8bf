"""Our figures are judged against the paper's by the stated tolerances, and the mean by the printed classes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.calibration.evaluation.outcomes import Row
from cmdiad.calibration.evaluation.paper import paper, paper_classes
from cmdiad.reproduce.figure_comparison import (
    MEAN_TOLERANCES,
    TOLERANCES,
    FigureComparison,
    compared_table,
    comparison_table,
)
from cmdiad.reproduce.paper_tables import PAPER_PAIR, experiments_of

ALL = set(paper_classes())


def compared(
    off: float, classes: list[str], comparable: set[str] = ALL
) -> dict[tuple[str, str, str], FigureComparison]:
    """Table 2 where F2F alone was run, and every figure of it is off by so much."""
    table = paper().tables["2"]
    experiments = experiments_of("2", PAPER_PAIR, classes)
    f2f = experiments["F2F", None]
    printed = {metric: dict(zip(table.columns, table.metrics[metric]["F2F"], strict=True)) for metric in table.metrics}
    measured = [
        SimpleNamespace(
            row=Row(name, "f2f", "pc", printed["i_auroc"][name] + off, 0.5, printed["aupro"][name] + off, 0.5, 10)
        )
        for name in classes
    ]
    cells = compared_table("2", experiments, {f2f: measured}, comparable)  # type: ignore[dict-item]
    return {(cell.metric, cell.method, cell.class_name): cell for cell in cells}


@pytest.mark.parametrize(
    ("off", "verdicts"),
    [
        (0.0, ("within", "within")),
        (0.02, ("within", "above")),
        (-0.02, ("within", "below")),
        (-0.05, ("below", "below")),
    ],
)
def test_a_figure_is_within_its_tolerance_above_or_below(off: float, verdicts: tuple[str, str]) -> None:
    cells = compared(off, paper_classes())
    bagel = cells["i_auroc", "F2F", "bagel"]
    assert bagel.ours is not None
    assert (bagel.verdict, cells["aupro", "F2F", "bagel"].verdict) == verdicts
    assert bagel.ours - bagel.printed == pytest.approx(off) and bagel.tolerance == TOLERANCES["i_auroc"]


def test_the_mean_is_that_of_the_printed_classes_and_needs_all_ten() -> None:
    mean = compared(0.0, paper_classes())["i_auroc", "F2F", "mean"]
    table = paper().tables["2"]
    assert mean.printed == pytest.approx(np.mean(table.metrics["i_auroc"]["F2F"][:-1]))
    assert (mean.verdict, mean.tolerance) == ("within", MEAN_TOLERANCES["i_auroc"])
    few = compared(0.0, paper_classes()[:9])
    assert few["i_auroc", "F2F", "mean"].verdict == "not run" and few["i_auroc", "F2F", "tire"].ours is None


def test_other_data_or_weights_are_not_compared() -> None:
    cells = compared(0.3, paper_classes(), {"bagel"})
    assert cells["i_auroc", "F2F", "bagel"].verdict == "above"
    assert {cells["i_auroc", "F2F", name].verdict for name in ("carrot", "mean")} == {"not comparable"}


def test_the_table_shows_what_is_outside_first_and_counts_what_was_not_run() -> None:
    cells = list(compared(-0.05, ["bagel", "carrot"]).values())
    table = comparison_table(cells)
    assert [row[-1] for row in table.rows] == ["below"] * 4
    assert table.rows[0][:6] == ["2", "I-AUROC", "F2F", "bagel", "0.992", "0.942"]
    assert (
        f"Of {len(cells)} printed figures: 4 below, 0 above, 0 within, 0 not comparable, {len(cells) - 4} not run."
        == (table.note)
    )
