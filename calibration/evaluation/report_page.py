"""The evaluation as one HTML file to send: the tables, charts and pictures that `report.html` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...runtime.reports.chart import Axis, Chart, color, stage_bars
from ...runtime.reports.histogram import Bars, histogram
from ...runtime.reports.page import render_page
from ...runtime.reports.table import Table
from ...runtime.sensor.dataset import GOOD
from ..detection_scores import Curve
from .outcomes import (
    FPR_LIMIT,
    MEAN,
    N_HITS,
    N_MISTAKES,
    ClassOutcome,
    Evaluation,
    Example,
    ExampleKind,
    Row,
    Verdicts,
)
from .paper import paper
from .report_tables import (
    COMPARABILITY,
    METRICS,
    ONE_KIND,
    figure,
    is_compared,
    paper_figure,
    refusal_note,
    stage_names,
    verdict_cells,
)
from .verdicts_by_part import parts_table, trade_chart

# What a report's pictures may be in number, over all classes and candidates: about 3 MB.
MAX_PICTURES = 120
_VERDICTS: dict[ExampleKind, int] = {"miss": N_MISTAKES, "false alarm": N_MISTAKES, "hit": N_HITS}
_TEMPLATE = Path(__file__).with_name("report.html")

Draw = Callable[[ClassOutcome, Example], str]


@dataclass(frozen=True)
class Facts:
    """What a reader must know to judge the figures.

    Attributes:
        title: of the report.
        lines: name and value of each.
    """

    title: str
    lines: list[tuple[str, str]]


class MetricCell(NamedTuple):
    """A score of detection in the results.

    Attributes:
        value: ours; None if there is none.
        printed: the paper's; None if it prints none.
        is_best: whether no other method has a higher one.
    """

    value: float | None
    printed: float | None
    is_best: bool


# A method, its metrics, and its verdicts at the threshold.
ResultRow = tuple[str, list[MetricCell], list[str]]


def html_report(evaluation: Evaluation, facts: Facts, draw: Draw) -> str:
    """The whole page.

    Args:
        evaluation: what to report.
        facts: how it was made.
        draw: gives the picture of an example as a data URI.
    """
    return render_page(
        _TEMPLATE,
        title=facts.title,
        facts=facts.lines,
        parts=Verdicts.total(outcome.verdicts for outcome in evaluation.of(evaluation.names[0])),
        tiles=[_tile(evaluation.of(name), evaluation.mean(name)) for name in evaluation.names],
        metric_names=list(METRICS.values()),
        results=_results(evaluation),
        results_note=_results_note(evaluation),
        classes={name: _of_class(evaluation, name) for name in evaluation.class_names},
        curves=_curves,
        score_histogram=_score_histogram,
        defects_table=_defects_table,
        parts_table=parts_table,
        examples=partial(_examples, n_shown=max(1, MAX_PICTURES // (3 * len(evaluation.outcomes)))),
        draw=draw,
        color=color,
        figure=figure,
        latency_chart=_latency_chart(evaluation),
        latency_table=_latency_table(evaluation),
    )


def _tile(outcomes: Sequence[ClassOutcome], mean: Row) -> tuple[str, Row, Verdicts, float]:
    """One method at a glance: its name, its scores of detection, its verdicts, its milliseconds per part."""
    total = Verdicts.total(outcome.verdicts for outcome in outcomes)
    return outcomes[0].name, mean, total, _mean_milliseconds(outcomes, "total")


def _results(evaluation: Evaluation) -> list[tuple[str, list[ResultRow]]]:
    """The methods on every product, and last on the mean of the products if there are several."""
    groups = []
    for class_name in evaluation.class_names:
        outcomes = _of_class(evaluation, class_name)
        groups.append((class_name, [(outcome.name, outcome.row, outcome.verdicts) for outcome in outcomes]))
    if len(groups) > 1:
        means = [
            (name, evaluation.mean(name), Verdicts.total(outcome.verdicts for outcome in evaluation.of(name)))
            for name in evaluation.names
        ]
        groups.append((MEAN, means))
    return [(label, _result_rows(evaluation, methods)) for label, methods in groups]


def _result_rows(evaluation: Evaluation, methods: Sequence[tuple[str, Row, Verdicts]]) -> list[ResultRow]:
    known = {metric: [getattr(row, metric) for _, row, _ in methods] for metric in METRICS}
    best = {
        metric: max((value for value in values if value is not None), default=None) for metric, values in known.items()
    }

    def cell(row: Row, metric: str) -> MetricCell:
        value: float | None = getattr(row, metric)
        is_best = len(methods) > 1 and value is not None and value == best[metric]
        return MetricCell(value, paper_figure(evaluation, row, metric), is_best)

    return [
        (name, [cell(row, metric) for metric in METRICS], verdict_cells(verdicts)) for name, row, verdicts in methods
    ]


def _results_note(evaluation: Evaluation) -> str:
    rate = evaluation.outcomes[0].threshold.false_reject_rate
    notes = [
        "Bold: the best method for a product. Threshold: calibrated on normal training parts alone, "
        f"so that {100 * rate:g} % of the good parts are rejected.",
        f"Small figures: {paper().source}. {COMPARABILITY}" if is_compared(evaluation) else "",
        ONE_KIND if any(row.i_auroc is None for row in evaluation.rows) else "",
        refusal_note(evaluation),
    ]
    return " ".join(filter(None, notes))


def _curves(outcomes: Sequence[ClassOutcome]) -> list[Chart]:
    """The curves that all methods have; first the one of what a line sees."""
    roc = [(f"{outcome.name}: {figure(outcome.row.i_auroc)}", outcome.roc) for outcome in outcomes]
    pro = [(f"{outcome.name}: {figure(outcome.row.aupro)}", outcome.pro) for outcome in outcomes]
    overlap = Axis("overlap with defects", 0, 1)
    charts = [
        trade_chart(list(outcomes)),
        _curve_chart("ROC, parts", Axis("good parts rejected", 0, 1), Axis("defective parts found", 0, 1), roc),
        _curve_chart("Per-region overlap (PRO), pixels", Axis("good pixels marked", 0, FPR_LIMIT), overlap, pro),
    ]
    return [chart for chart in charts if chart is not None]


def _curve_chart(title: str, x: Axis, y: Axis, curves: Sequence[tuple[str, Curve | None]]) -> Chart | None:
    """Curves up to the end of the x axis; None if one is missing."""
    chart = Chart(title, x, y)
    for index, (name, curve) in enumerate(curves):
        if curve is None:
            return None
        inside = curve[0] <= x.high
        rates = [*map(float, curve[0][inside]), x.high]
        shares = [*map(float, curve[1][inside]), float(np.interp(x.high, *curve))]
        chart.line(list(zip(rates, shares, strict=True)), color(index), name)
    return chart


def _score_histogram(outcome: ClassOutcome) -> Chart:
    is_good = outcome.defects == GOOD
    kinds = [Bars("good", "good", outcome.scores[is_good]), Bars("defective", "bad", outcome.scores[~is_good])]
    return histogram(f"Scores, {outcome.name}", "score", "parts", kinds, outcome.threshold.value)


def _defects_table(outcomes: Sequence[ClassOutcome]) -> Table | None:
    """I-AUROC by defect; None unless there are both good and defective parts."""
    names = sorted({name for outcome in outcomes for name in outcome.by_defect})
    if not names:
        return None
    counts = [int((outcomes[0].defects == name).sum()) for name in names]
    headers = ["method", *(f"{name} ({count})" for name, count in zip(names, counts, strict=True))]
    rows = [[outcome.name, *(figure(outcome.by_defect.get(name)) for name in names)] for outcome in outcomes]
    return Table("I-AUROC by defect (number of parts)", headers, rows)


def _examples(outcome: ClassOutcome, n_shown: int) -> list[Example]:
    """The first misses, false alarms and hits of one method, so many of each at most."""
    by_verdict = {
        verdict: [example for example in outcome.examples if example.verdict == verdict] for verdict in _VERDICTS
    }
    return [example for verdict, most in _VERDICTS.items() for example in by_verdict[verdict][: min(most, n_shown)]]


def _latency_chart(evaluation: Evaluation) -> Chart:
    stages = stage_names(evaluation.outcomes)[:-1]
    bars = []
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        milliseconds = {stage: _mean_milliseconds(outcomes, stage) for stage in stages}
        # A median of sums is not the sum of medians.
        bars.append((name, milliseconds, f"{_mean_milliseconds(outcomes, 'total'):.0f} ms"))
    return stage_bars("Milliseconds by stage", "ms", bars)


def _latency_table(evaluation: Evaluation) -> Table:
    """Median time by stage of every method, averaged over the classes."""
    stages = stage_names(evaluation.outcomes)[:-1]
    rows = []
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        times = [f"{_mean_milliseconds(outcomes, stage):.1f}" for stage in stages]
        size = np.mean([outcome.bank_bytes for outcome in outcomes]) / 1e6
        rows.append([name, *times, f"{_mean_milliseconds(outcomes, 'total'):.0f}", f"{size:.1f}"])
    note = (
        "Milliseconds per part: the median over the test parts, inspected one after the other as on the line, averaged "
        "over products. Methods with the same extractor share its measured time."
    )
    return Table("", ["method", *stages, "total ms", "banks MB"], rows, note=note)


def _mean_milliseconds(outcomes: Sequence[ClassOutcome], stage: str) -> float:
    return float(np.mean([outcome.milliseconds.get(stage, 0.0) for outcome in outcomes]))


def _of_class(evaluation: Evaluation, class_name: str) -> list[ClassOutcome]:
    return [outcome for outcome in evaluation.outcomes if outcome.row.class_name == class_name]
