"""The evaluation as one HTML file to send: tables, curves, histograms, pictures, times; nothing is loaded from outside.

Every name that comes from a file or folder is escaped. There is no script in the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ...runtime.sensor.dataset import GOOD
from .outcomes import FPR_LIMIT, ClassOutcome, Evaluation, Example, Row, Verdicts
from .paper import paper
from .report_charts import N_COLORS, N_STAGE_COLORS, Series, curve_chart, dash, histogram, stage_bars
from .report_style import STYLE
from .report_tables import (
    COMPARABILITY,
    METRICS,
    ONE_KIND,
    figure,
    paper_figure,
    refusal_note,
    stage_names,
    verdict_cells,
)

# What a report's pictures may be in number, over all classes and candidates: about 3 MB.
MAX_PICTURES = 120
_VERDICTS = ("hit", "miss", "false alarm")

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


def html_report(evaluation: Evaluation, facts: Facts, draw: Draw) -> bytes:
    """The whole page.

    Args:
        evaluation: what to report.
        facts: how it was made.
        draw: gives the picture of an example as a data URI.
    """
    parts = [
        header(evaluation, facts),
        f'<div class="tiles">{"".join(tile(evaluation, name, i) for i, name in enumerate(evaluation.names))}</div>',
        "<h2>Results</h2>",
        results_table(evaluation),
        *(class_section(evaluation, name, draw) for name in evaluation.class_names),
        '<h2 id="latency">Time by stage</h2>',
        latency_section(evaluation),
        '<h2 id="method">How this was made</h2>',
        method_section(facts),
    ]
    return _PAGE.format(title=escape(facts.title), style=STYLE, content="\n".join(parts)).encode(
        errors="backslashreplace"
    )


def header(evaluation: Evaluation, facts: Facts) -> str:
    """Title, what was tested, links to the sections."""
    outcomes = evaluation.of(evaluation.names[0])
    total = Verdicts.total(each.verdicts for each in outcomes)
    what = f"{_plural(len(outcomes), 'product', 'products')}, {total.n_good + total.n_defective} test parts: "
    what += (
        f"{total.n_good} good, {total.n_defective} defective. {_plural(len(evaluation.names), 'method', 'methods')}."
    )
    links = [(f"class-{i}", name) for i, name in enumerate(evaluation.class_names)]
    links += [("latency", "Time by stage"), ("method", "How this was made")]
    chips = "".join(f'<a href="#{anchor}">{escape(name)}</a>' for anchor, name in links)
    return f"<header><h1>{escape(facts.title)}</h1><p>{what}</p><nav>{chips}</nav></header>"


def tile(evaluation: Evaluation, name: str, color: int) -> str:
    """One method at a glance."""
    outcomes = evaluation.of(name)
    mean, total = evaluation.mean(name), Verdicts.total(each.verdicts for each in outcomes)
    milliseconds = float(np.mean([each.milliseconds["total"] for each in outcomes]))
    facts = [
        ("AUPRO (FPR to 30 %)", figure(mean.aupro)),
        ("P-AUROC", figure(mean.p_auroc)),
        ("good parts rejected", f"{total.false_rejects} of {total.n_good}"),
        ("defects missed", f"{total.misses} of {total.n_defective}"),
        ("refused by infer", str(total.refused)),
        ("time a part", f"{milliseconds:.0f} ms"),
    ]
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts)
    return (
        f'<div class="card tile" style="--tone:var(--c{color % N_COLORS})"><h3>{escape(name)}</h3>'
        f"<strong>{figure(mean.i_auroc)}</strong><small>I-AUROC{', mean over products' if len(outcomes) > 1 else ''}"
        f"</small><dl>{listed}</dl></div>"
    )


def results_table(evaluation: Evaluation) -> str:
    """Every class and method: metrics with the paper's beside them, verdicts at the threshold."""
    head = _cells("th", [("product", "label"), ("method", "label"), *((name, "") for name in METRICS.values())])
    head += _cells("th", [("good rejected", ""), ("defects missed", ""), ("refused", "")])
    body = []
    for class_name in evaluation.class_names:
        found = [each for each in evaluation.outcomes if each.row.class_name == class_name]
        body += _result_rows(evaluation, class_name, [(each.name, each.row, each.verdicts) for each in found], "")
    if len(evaluation.class_names) > 1:
        means = [
            (name, evaluation.mean(name), Verdicts.total(each.verdicts for each in evaluation.of(name)))
            for name in evaluation.names
        ]
        body += _result_rows(evaluation, "mean", means, " mean")
    note = "Bold: the best method of a product. Threshold: calibrated on normal training parts alone"
    note += f", for {100 * evaluation.outcomes[0].threshold.false_reject_rate:g} % of the good parts to be rejected."
    if any(paper_figure(evaluation, row, metric) is not None for row in evaluation.rows for metric in METRICS):
        note += f" Small figures: {paper().source}. {COMPARABILITY}"
    note += "".join(f" {text}" for text in (_one_kind(evaluation), refusal_note(evaluation)) if text)
    return (
        f'<div class="card"><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
        f'</table></div><p class="note">{escape(note)}</p></div>'
    )


def class_section(evaluation: Evaluation, class_name: str, draw: Draw) -> str:
    """One class: curves, score histograms, defects, pictures."""
    outcomes = [each for each in evaluation.outcomes if each.row.class_name == class_name]
    number = evaluation.class_names.index(class_name)
    charts = [_roc(outcomes)] if all(each.roc is not None for each in outcomes) else []
    if all(each.pro is not None for each in outcomes):
        charts.append(_pro(outcomes))
    histograms = "".join(f"<div><h3>{escape(each.name)}</h3>{_scores(each)}</div>" for each in outcomes)
    kinds = [("--good", "good parts"), ("--bad", "defective parts")]
    n_each = int(np.clip(MAX_PICTURES // (3 * len(evaluation.outcomes)), 1, 3))
    galleries = [gallery(each, n_each, draw, is_open=i == 0) for i, each in enumerate(outcomes)]
    return (
        f'<section class="class" id="class-{number}"><h2>{escape(class_name)}</h2>'
        f"{_curves_card(outcomes, charts)}"
        f'<div class="card"><h3>Scores of the test parts</h3>{_swatches(kinds)}<div class="charts">{histograms}</div>'
        f"</div>{defects_card(outcomes)}"
        f'<div class="card"><h3>Parts</h3><p class="note">Left: what the camera saw, the labeled defect outlined. '
        f"Right: the anomaly map over the scan, a white line around what lies above the pixel threshold.</p>"
        f"{''.join(galleries)}</div></section>"
    )


def defects_card(outcomes: Sequence[ClassOutcome]) -> str:
    """I-AUROC by defect; empty where there are not both good and defective parts."""
    names = sorted({name for each in outcomes for name in each.by_defect})
    if not names:
        return ""
    counts = {name: int((outcomes[0].defects == name).sum()) for name in names}
    head = _cells("th", [("method", "label"), *((f"{name} ({counts[name]})", "") for name in names)])
    rows = "".join(
        f"<tr>{_cells('td', [(each.name, 'label'), *((figure(each.by_defect.get(name)), '') for name in names)])}</tr>"
        for each in outcomes
    )
    return (
        f'<div class="card"><h3>I-AUROC by defect (number of parts)</h3><div class="scroll"><table><thead><tr>{head}'
        f"</tr></thead><tbody>{rows}</tbody></table></div></div>"
    )


def gallery(outcome: ClassOutcome, n_each: int, draw: Draw, is_open: bool) -> str:
    """Best hits, misses and false alarms of one method."""
    verdicts, shown = outcome.verdicts, []
    for verdict in _VERDICTS:
        shown += [each for each in outcome.examples if each.verdict == verdict][:n_each]
    figures = "".join(_figure(outcome, each, draw) for each in shown)
    told = f"{_plural(verdicts.misses, 'miss', 'misses')}, "
    told += _plural(verdicts.false_rejects, "false alarm", "false alarms")
    return (
        f"<details{' open' if is_open else ''}><summary>{escape(outcome.name)}: {told}</summary>"
        f'<div class="gallery">{figures}</div></details>'
    )


def latency_section(evaluation: Evaluation) -> str:
    """Median time by stage of every method, averaged over the classes."""
    stages = stage_names(evaluation.outcomes)[:-1]
    milliseconds = np.array(
        [
            [np.mean([each.milliseconds.get(stage, 0.0) for each in evaluation.of(name)]) for stage in stages]
            for name in evaluation.names
        ]
    )
    legend = _swatches([(f"--t{k % N_STAGE_COLORS}", stage) for k, stage in enumerate(stages)])
    head = _cells("th", [("method", "label"), *((stage, "") for stage in stages), ("total ms", ""), ("banks MB", "")])
    rows = []
    totals = [float(np.mean([each.milliseconds["total"] for each in evaluation.of(name)])) for name in evaluation.names]
    for name, times, total in zip(evaluation.names, milliseconds, totals, strict=True):
        size = np.mean([each.bank_bytes for each in evaluation.of(name)]) / 1e6
        cells = [(name, "label"), *((f"{value:.1f}", "") for value in times), (f"{total:.0f}", ""), (f"{size:.1f}", "")]
        rows.append(f"<tr>{_cells('td', cells)}</tr>")
    bars = stage_bars("Milliseconds by stage", evaluation.names, stages, milliseconds, totals)
    return (
        f'<div class="card">{legend}{bars}'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        '<p class="note">Milliseconds a part: the median over the test parts, one after the other, as the line would '
        "inspect them, averaged over products. Methods with the same extractor share its measured time.</p></div>"
    )


def method_section(facts: Facts) -> str:
    """Settings and provenance, and what the figures mean."""
    listed = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.lines)
    return (
        f'<div class="card"><dl class="facts">{listed}</dl><p class="note"><b>I-AUROC</b>: how often a defective part '
        "scores above a good one. <b>P-AUROC</b>: the same for pixels. <b>AUPRO</b>: the share of each labeled defect "
        "that is found, averaged over defects and over false-positive rates of pixels up to 30 % (<b>AUPRO@1%</b>: up "
        "to 1 %). All are 1 at best; a guess has 0.5, and in AUPRO 0.15 (0.005). Banks, fusion and thresholds were "
        "made from the normal training parts alone, by the exported networks and the code that runs on the line; no "
        "test part was used for them.</p></div>"
    )


def _result_rows(
    evaluation: Evaluation, label: str, found: Sequence[tuple[str, Row, Verdicts]], kind: str
) -> list[str]:
    best = {
        metric: max((value for _, row, _ in found if (value := getattr(row, metric)) is not None), default=None)
        for metric in METRICS
    }
    rows = []
    for i, (name, row, verdicts) in enumerate(found):
        cells = f'<td class="label class" rowspan="{len(found)}">{escape(label)}</td>' if i == 0 else ""
        cells += _cells("td", [(name, "label")])
        cells += "".join(_metric(evaluation, row, metric, best[metric], len(found) > 1) for metric in METRICS)
        cells += _cells("td", [(text, "") for text in verdict_cells(verdicts)])
        rows.append(f'<tr class="{"group" if i == 0 else ""}{kind}">{cells}</tr>')
    return rows


def _metric(evaluation: Evaluation, row: Row, metric: str, best: float | None, marked: bool) -> str:
    value: float | None = getattr(row, metric)
    printed = paper_figure(evaluation, row, metric)
    beside = "" if printed is None else f'<span class="paper">{printed:.3f}</span>'
    emphasis = " best" if marked and value is not None and value == best else ""
    return f'<td class="metric{emphasis}" style="--share:{100 * (value or 0):.0f}%">{figure(value)}{beside}</td>'


def _roc(outcomes: Sequence[ClassOutcome]) -> str:
    series = [
        Series(_with_area(each.name, each.row.i_auroc), each.roc, i)
        for i, each in enumerate(outcomes)
        if each.roc is not None
    ]
    chart = curve_chart("ROC of the parts", "good parts rejected", "defective parts found", series, 1.0)
    return f"<div><h3>ROC, parts</h3>{chart}</div>"


def _curves_card(outcomes: Sequence[ClassOutcome], charts: Sequence[str]) -> str:
    if not charts:
        return ""
    return f'<div class="card">{_curve_legend(outcomes)}<div class="charts">{"".join(charts)}</div></div>'


def _one_kind(evaluation: Evaluation) -> str:
    return ONE_KIND if any(row.i_auroc is None for row in evaluation.rows) else ""


def _pro(outcomes: Sequence[ClassOutcome]) -> str:
    series = [
        Series(_with_area(each.name, each.row.aupro), each.pro, i)
        for i, each in enumerate(outcomes)
        if each.pro is not None
    ]
    chart = curve_chart("PRO of the pixels", "good pixels marked", "overlap with defects", series, FPR_LIMIT)
    return f"<div><h3>Per-region overlap (PRO), pixels</h3>{chart}</div>"


def _scores(outcome: ClassOutcome) -> str:
    good = outcome.defects == GOOD
    title = f"Scores, {outcome.name}"
    return histogram(title, outcome.scores[good], outcome.scores[~good], outcome.threshold.value)


def _figure(outcome: ClassOutcome, example: Example, draw: Draw) -> str:
    sample = example.sample
    name = f"{sample.defect}/{sample.name}"
    badge = f'<span class="badge {example.verdict.split()[0]}">{example.verdict}</span>'
    score = f"{example.score / outcome.threshold.value:.2f} × threshold"
    return (
        f'<figure><img src="{draw(outcome, example)}" alt="{escape(f"{example.verdict}: {name}")}">'
        f"<figcaption><span>{badge}{escape(name)}</span><span>{score}</span></figcaption></figure>"
    )


def _with_area(name: str, area: float | None) -> str:
    return f"{name}: {figure(area)}"


def _curve_legend(outcomes: Sequence[ClassOutcome]) -> str:
    entries = [
        f'<span><svg viewBox="0 0 30 10"><line class="curve c{i % N_COLORS}" stroke-dasharray="{dash(i)}" '
        f'x1="0" x2="30" y1="5" y2="5"/></svg>{escape(each.name)}</span>'
        for i, each in enumerate(outcomes)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'


def _swatches(entries: Sequence[tuple[str, str]]) -> str:
    shown = "".join(
        f'<span><i class="swatch" style="--tone:var({color})"></i>{escape(name)}</span>' for color, name in entries
    )
    return f'<div class="legend">{shown}</div>'


def _cells(tag: str, cells: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<{tag} class="{kind}">{escape(text)}</{tag}>' for text, kind in cells)


def _plural(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body><main>
{content}
</main></body>
</html>
"""
