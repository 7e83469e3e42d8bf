"""The evaluation as one HTML file to send: the tables, charts and pictures that `report.html` shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.reports.chart import Axis, Chart, color, stage_bars
from ...runtime.reports.histogram import Kind, histogram
from ...runtime.reports.page import render_page
from ...runtime.reports.table import Table
from ...runtime.sensor.dataset import GOOD
from ..metrics import Curve
from .outcomes import FPR_LIMIT, Evaluation, Example, Outcome, Row, Verdicts
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

# What a report's pictures may be in number, over all classes and candidates: about 3 MB.
MAX_PICTURES = 120
_VERDICTS = ("hit", "miss", "false alarm")
_TEMPLATE = Path(__file__).with_name("report.html")

Draw = Callable[[Outcome, Example], str]


@dataclass(frozen=True)
class Facts:
    """What a reader must know to judge the figures.

    Attributes:
        title: of the report.
        lines: name and value of each.
    """

    title: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class Tile:
    """One method at a glance: its I-AUROC large, and name and value of what stands below it."""

    name: str
    color: str
    i_auroc: str
    lines: list[tuple[str, str]]


@dataclass(frozen=True)
class MetricCell:
    """A metric in the results.

    Attributes:
        text: our figure.
        printed: the paper's; empty where it has none.
        percent: our figure as the length of a bar.
        is_best: whether no other method has a higher one.
    """

    text: str
    printed: str
    percent: int
    is_best: bool


@dataclass(frozen=True)
class ResultGroup:
    """The lines of one product in the results, or of the mean: method, metrics, verdicts at the threshold."""

    label: str
    rows: list[tuple[str, list[MetricCell], list[str]]]
    is_mean: bool = False


@dataclass(frozen=True)
class Picture:
    """A part in a gallery; `uri` holds the picture itself."""

    uri: str
    verdict: str
    name: str
    score: str


@dataclass(frozen=True)
class ClassSection:
    """What is shown of one class; a gallery is its summary and its pictures, one a method."""

    name: str
    curves: list[Chart]
    scores: list[Chart]
    defects: Table | None
    galleries: list[tuple[str, list[Picture]]]


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
        summary=_summary(evaluation),
        tiles=[_tile(evaluation, name, index) for index, name in enumerate(evaluation.names)],
        metric_names=list(METRICS.values()),
        results=_results(evaluation),
        results_note=_results_note(evaluation),
        classes=[_class_section(evaluation, name, draw) for name in evaluation.class_names],
        latency_chart=_latency_chart(evaluation),
        latency_table=_latency_table(evaluation),
    )


def _summary(evaluation: Evaluation) -> str:
    outcomes = evaluation.of(evaluation.names[0])
    total = Verdicts.total(outcome.verdicts for outcome in outcomes)
    return (
        f"{_plural(len(outcomes), 'product', 'products')}, {total.n_good + total.n_defective} test parts: "
        f"{total.n_good} good, {total.n_defective} defective. {_plural(len(evaluation.names), 'method', 'methods')}."
    )


def _tile(evaluation: Evaluation, name: str, index: int) -> Tile:
    outcomes, mean = evaluation.of(name), evaluation.mean(name)
    total = Verdicts.total(outcome.verdicts for outcome in outcomes)
    lines = [
        ("AUPRO (FPR to 30 %)", figure(mean.aupro)),
        ("P-AUROC", figure(mean.p_auroc)),
        ("good parts rejected", f"{total.false_rejects} of {total.n_good}"),
        ("defects missed", f"{total.misses} of {total.n_defective}"),
        ("refused by infer", str(total.refused)),
        ("time a part", f"{_mean_milliseconds(outcomes, 'total'):.0f} ms"),
    ]
    return Tile(name, color(index), figure(mean.i_auroc), lines)


def _results(evaluation: Evaluation) -> list[ResultGroup]:
    groups = []
    for class_name in evaluation.class_names:
        outcomes = _of_class(evaluation, class_name)
        lines = [(outcome.name, outcome.row, outcome.verdicts) for outcome in outcomes]
        groups.append(ResultGroup(class_name, _result_rows(evaluation, lines)))
    if len(groups) > 1:
        lines = [
            (name, evaluation.mean(name), Verdicts.total(outcome.verdicts for outcome in evaluation.of(name)))
            for name in evaluation.names
        ]
        groups.append(ResultGroup("mean", _result_rows(evaluation, lines), is_mean=True))
    return groups


def _result_rows(
    evaluation: Evaluation, lines: Sequence[tuple[str, Row, Verdicts]]
) -> list[tuple[str, list[MetricCell], list[str]]]:
    best = {
        metric: max((value for _, row, _ in lines if (value := getattr(row, metric)) is not None), default=None)
        for metric in METRICS
    }
    return [
        (
            name,
            [
                _metric_cell(evaluation, row, metric, is_best=len(lines) > 1 and getattr(row, metric) == best[metric])
                for metric in METRICS
            ],
            verdict_cells(verdicts),
        )
        for name, row, verdicts in lines
    ]


def _metric_cell(evaluation: Evaluation, row: Row, metric: str, is_best: bool) -> MetricCell:
    value: float | None = getattr(row, metric)
    printed = paper_figure(evaluation, row, metric)
    shown = "" if printed is None else figure(printed)
    return MetricCell(figure(value), shown, round(100 * (value or 0)), is_best and value is not None)


def _results_note(evaluation: Evaluation) -> str:
    rate = evaluation.outcomes[0].threshold.false_reject_rate
    notes = [
        "Bold: the best method of a product. Threshold: calibrated on normal training parts alone, "
        f"for {100 * rate:g} % of the good parts to be rejected.",
        f"Small figures: {paper().source}. {COMPARABILITY}" if is_compared(evaluation) else "",
        ONE_KIND if any(row.i_auroc is None for row in evaluation.rows) else "",
        refusal_note(evaluation),
    ]
    return " ".join(filter(None, notes))


def _class_section(evaluation: Evaluation, class_name: str, draw: Draw) -> ClassSection:
    outcomes = _of_class(evaluation, class_name)
    n_shown = int(np.clip(MAX_PICTURES // (3 * len(evaluation.outcomes)), 1, 3))
    return ClassSection(
        name=class_name,
        curves=_curves(outcomes),
        scores=[_score_histogram(outcome) for outcome in outcomes],
        defects=_defects_table(outcomes),
        galleries=[(_told(outcome), _pictures(outcome, n_shown, draw)) for outcome in outcomes],
    )


def _curves(outcomes: Sequence[Outcome]) -> list[Chart]:
    """The curves that all methods have."""
    roc = [(f"{outcome.name}: {figure(outcome.row.i_auroc)}", outcome.roc) for outcome in outcomes]
    pro = [(f"{outcome.name}: {figure(outcome.row.aupro)}", outcome.pro) for outcome in outcomes]
    overlap = Axis("overlap with defects", 0, 1)
    charts = [
        _curve_chart("ROC, parts", Axis("good parts rejected", 0, 1), Axis("defective parts found", 0, 1), roc),
        _curve_chart("Per-region overlap (PRO), pixels", Axis("good pixels marked", 0, FPR_LIMIT), overlap, pro),
    ]
    return [chart for chart in charts if chart is not None]


def _curve_chart(title: str, x: Axis, y: Axis, curves: Sequence[tuple[str, Curve | None]]) -> Chart | None:
    """Curves up to the end of the x axis; None where one is missing."""
    chart = Chart(title, x, y)
    for index, (name, curve) in enumerate(curves):
        if curve is None:
            return None
        inside = curve[0] <= x.high
        rates = [*map(float, curve[0][inside]), x.high]
        shares = [*map(float, curve[1][inside]), float(np.interp(x.high, *curve))]
        chart.line(list(zip(rates, shares, strict=True)), color(index), name)
    return chart


def _score_histogram(outcome: Outcome) -> Chart:
    is_good = outcome.defects == GOOD
    kinds = [Kind("good", "good", outcome.scores[is_good]), Kind("defective", "bad", outcome.scores[~is_good])]
    return histogram(f"Scores, {outcome.name}", "score", "parts", kinds, outcome.threshold.value)


def _defects_table(outcomes: Sequence[Outcome]) -> Table | None:
    """I-AUROC by defect; None where there are not both good and defective parts."""
    names = sorted({name for outcome in outcomes for name in outcome.by_defect})
    if not names:
        return None
    counts = [int((outcomes[0].defects == name).sum()) for name in names]
    headers = ["method", *(f"{name} ({count})" for name, count in zip(names, counts, strict=True))]
    rows = [[outcome.name, *(figure(outcome.by_defect.get(name)) for name in names)] for outcome in outcomes]
    return Table("I-AUROC by defect (number of parts)", headers, rows)


def _told(outcome: Outcome) -> str:
    verdicts = outcome.verdicts
    misses = _plural(verdicts.misses, "miss", "misses")
    return f"{outcome.name}: {misses}, {_plural(verdicts.false_rejects, 'false alarm', 'false alarms')}"


def _pictures(outcome: Outcome, n_shown: int, draw: Draw) -> list[Picture]:
    """Best hits, misses and false alarms of one method."""
    chosen: list[Example] = []
    for verdict in _VERDICTS:
        chosen += [example for example in outcome.examples if example.verdict == verdict][:n_shown]
    return [
        Picture(
            uri=draw(outcome, example),
            verdict=example.verdict,
            name=f"{example.sample.defect}/{example.sample.name}",
            score=f"{example.score / outcome.threshold.value:.2f} × threshold",
        )
        for example in chosen
    ]


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
        "Milliseconds a part: the median over the test parts, one after the other, as the line would inspect them, "
        "averaged over products. Methods with the same extractor share its measured time."
    )
    return Table("", ["method", *stages, "total ms", "banks MB"], rows, note=note)


def _mean_milliseconds(outcomes: Sequence[Outcome], stage: str) -> float:
    return float(np.mean([outcome.milliseconds.get(stage, 0.0) for outcome in outcomes]))


def _of_class(evaluation: Evaluation, class_name: str) -> list[Outcome]:
    return [outcome for outcome in evaluation.outcomes if outcome.row.class_name == class_name]


def _plural(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"
