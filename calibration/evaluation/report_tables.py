"""An evaluation as tables of text: for a terminal, as Markdown, CSV and JSON, the paper's figures beside ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ...runtime.files.json_encoding import encode_json
from .outcomes import MEAN, ClassOutcome, Evaluation, Row, Verdicts
from .paper import paper, paper_classes, printed_figure

METRICS = {"i_auroc": "I-AUROC", "p_auroc": "P-AUROC", "aupro": "AUPRO", "aupro_001": "AUPRO@1%"}
MISSING = "-"
ONE_KIND = "There are only good or only defective test parts: AUROC and AUPRO compare the two, and need both."
# Parts that a note names; --json has all.
N_NAMED = 10
COMPARABILITY = (
    "The paper's figures are those of its full-size networks and published checkpoints on MVTec 3D-AD, and are "
    "comparable with ours only where both are the same."
)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: what it tells; may be empty.
        headers: of the columns.
        rows: as many cells each.
        n_labels: the first columns, which hold names and not numbers.
        note: below the table; may be empty.
    """

    title: str
    headers: list[str]
    rows: list[list[str]]
    n_labels: int
    note: str = ""


def tables(evaluation: Evaluation) -> list[Table]:
    """Everything an evaluation tells in figures."""
    by_defect = defect_table(evaluation)
    return [
        metrics_table(evaluation),
        threshold_table(evaluation),
        *([] if by_defect is None else [by_defect]),
        latency_table(evaluation),
    ]


def metrics_table(evaluation: Evaluation) -> Table:
    """Metrics by class and route; the paper's in parentheses where it prints one for the class."""
    compared = any(paper_figure(evaluation, row, metric) is not None for row in evaluation.rows for metric in METRICS)
    headers = ["class", "route", "main", *METRICS.values(), "parts"]
    rows = []
    for row in evaluation.rows:
        cells = [metric_cell(evaluation, row, metric) for metric in METRICS]
        rows.append([row.class_name, row.route, row.main, *cells, str(row.n_test)])
    notes = [f"In parentheses: {paper().source}. {COMPARABILITY}"] if compared else []
    notes += [ONE_KIND] if any(row.i_auroc is None for row in evaluation.rows) else []
    return Table("", headers, rows, 3, " ".join(notes))


def threshold_table(evaluation: Evaluation) -> Table:
    """What the threshold from normal scans alone does to the test parts."""
    headers = ["class", "route", "main", "threshold", "asked", "good rejected", "defects missed", "refused"]
    rows = []
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        for each in outcomes:
            threshold = each.threshold
            asked = f"{threshold.false_reject_rate:.2%}"
            cells = [f"{threshold.value:.4g}", asked, *verdict_cells(each.verdicts)]
            rows.append([each.row.class_name, each.row.route, each.row.main, *cells])
        if len(outcomes) > 1:
            first, total = outcomes[0], Verdicts.total(each.verdicts for each in outcomes)
            cells = [MISSING, f"{first.threshold.false_reject_rate:.2%}", *verdict_cells(total)]
            rows.append(["all", first.row.route, first.row.main, *cells])
    return Table("At the threshold that was calibrated on normal scans", headers, rows, 3, refusal_note(evaluation))


def refusal_note(evaluation: Evaluation) -> str:
    """Which test parts `infer` would refuse, and why; empty where it would inspect all."""
    refused = {
        f"{outcome.row.class_name}/test/{name}": "; ".join(reasons)
        for outcome in evaluation.outcomes
        for name, reasons in zip(outcome.names, outcome.refusals, strict=True)
        if reasons
    }
    if not refused:
        return ""
    named = [f"{name}: {reason}" for name, reason in list(refused.items())[:N_NAMED]]
    more = [f"{len(refused) - N_NAMED} more"] if len(refused) > N_NAMED else []
    return (
        "Refused: `cmdiad-rt infer` would give no verdict on such parts without --allow-any-size; here they are scored "
        f"and counted like all others. {'. '.join([*named, *more])}."
    )


def defect_table(evaluation: Evaluation) -> Table | None:
    """Image AUROC of each defect's parts against the good ones; None where there are not both."""
    names = sorted({name for each in evaluation.outcomes for name in each.by_defect})
    if not names:
        return None
    rows = [
        [each.row.class_name, each.row.route, each.row.main, *(figure(each.by_defect.get(name)) for name in names)]
        for each in evaluation.outcomes
    ]
    return Table("I-AUROC by defect (its parts against the good ones)", ["class", "route", "main", *names], rows, 3)


def latency_table(evaluation: Evaluation) -> Table:
    """Median milliseconds a part by stage."""
    stages = stage_names(evaluation.outcomes)
    rows = []
    for each in evaluation.outcomes:
        times = [f"{each.milliseconds[name]:.0f}" if name in each.milliseconds else MISSING for name in stages]
        size = f"{each.bank_bytes / 1e6:.1f}"
        rows.append([each.row.class_name, each.row.route, each.row.main, *times, size])
    return Table("Milliseconds a part, median", ["class", "route", "main", *stages, "banks MB"], rows, 3)


def stage_names(outcomes: Sequence[ClassOutcome]) -> list[str]:
    """The stages of all outcomes in the order the line runs them, `total` last."""
    longest = sorted(outcomes, key=lambda each: -len(each.milliseconds))
    names = dict.fromkeys(name for each in longest for name in each.milliseconds)
    return [*(name for name in names if name != "total"), "total"]


def paper_figure(evaluation: Evaluation, row: Row, metric: str) -> float | None:
    """The printed figure beside a row; that of the mean only where all ten classes were evaluated."""
    if row.class_name == MEAN and sorted(evaluation.class_names) != sorted(paper_classes()):
        return None
    return printed_figure(row, metric)


def metric_cell(evaluation: Evaluation, row: Row, metric: str) -> str:
    """Our figure, with the paper's in parentheses."""
    printed = paper_figure(evaluation, row, metric)
    ours = figure(getattr(row, metric))
    return ours if printed is None else f"{ours} ({printed:.3f})"


def figure(value: float | None) -> str:
    """A metric with three places."""
    return MISSING if value is None else f"{value:.3f}"


def verdict_cells(verdicts: Verdicts) -> list[str]:
    """Counts and rates of the good parts rejected and the defective ones missed; how many `infer` would refuse."""
    return [
        counted(verdicts.false_rejects, verdicts.n_good, verdicts.false_reject_rate),
        counted(verdicts.misses, verdicts.n_defective, verdicts.miss_rate),
        f"{verdicts.refused} of {verdicts.n_good + verdicts.n_defective}",
    ]


def counted(count: int, n: int, rate: float | None) -> str:
    """How many of how many, and their share; a dash where there are none."""
    return MISSING if rate is None else f"{count} of {n} ({rate:.1%})"


def as_json(evaluation: Evaluation) -> bytes:
    """The documented object: `rows` of metrics, and beside it what else was found, each with class, route, main.

    `parts` are the test parts with their scores; `refusal` says why `infer` would give no verdict on a part.
    """
    content: dict[str, list[object]] = {"rows": list(evaluation.rows)}
    content |= {name: [] for name in ("defects", "thresholds", "latency", "parts")}
    for each in evaluation.outcomes:
        key = {"class": each.row.class_name, "route": each.row.route, "main": each.row.main}
        content["defects"] += [{**key, "defect": name, "i_auroc": value} for name, value in each.by_defect.items()]
        verdicts = each.verdicts
        content["thresholds"].append(
            {
                **key,
                "threshold": each.threshold.value,
                "asked_false_reject_rate": each.threshold.false_reject_rate,
                "n_good": verdicts.n_good,
                "false_reject_rate": verdicts.false_reject_rate,
                "n_defective": verdicts.n_defective,
                "miss_rate": verdicts.miss_rate,
                "n_refused": verdicts.refused,
            }
        )
        content["parts"] += [
            {
                **key,
                "part": name,
                "score": float(score),
                "is_defect": bool(score > each.threshold.value),
                "refusal": "; ".join(reasons) or None,
            }
            for name, score, reasons in zip(each.names, each.scores, each.refusals, strict=True)
        ]
        content["latency"].append({**key, "ms": each.milliseconds, "bank_bytes": each.bank_bytes})
    content["paper"] = [
        {"class": row.class_name, "route": row.route, "main": row.main, "metric": metric, "printed": printed}
        for row in evaluation.rows
        for metric in METRICS
        if (printed := paper_figure(evaluation, row, metric)) is not None
    ]
    return encode_json(content)


def as_csv(evaluation: Evaluation) -> bytes:
    """One line a row of metrics, with the paper's figures and the rates at the threshold; empty where unknown."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    papers = [f"paper_{metric}" for metric in METRICS]
    rates = ["threshold", "false_reject_rate", "miss_rate", "n_refused", "ms"]
    writer.writerow(["class", "route", "main", *METRICS, "n_test", *papers, *rates])
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        for each in outcomes:
            verdicts = each.verdicts
            known = [verdicts.false_reject_rate, verdicts.miss_rate, verdicts.refused, each.milliseconds["total"]]
            writer.writerow([*_csv_cells(evaluation, each.row), each.threshold.value, *known])
        if len(outcomes) > 1:
            total = Verdicts.total(each.verdicts for each in outcomes)
            known = [total.false_reject_rate, total.miss_rate, total.refused]
            writer.writerow([*_csv_cells(evaluation, evaluation.mean(name)), "", *known, ""])
    return text.getvalue().encode(errors="backslashreplace")


def as_markdown(evaluation: Evaluation, title: str) -> bytes:
    """All tables under a title."""
    parts = [f"# {_escaped(title)}\n", *(markdown_table(each) for each in tables(evaluation))]
    return "\n".join(parts).encode(errors="backslashreplace")


def tables_as_markdown(found: Sequence[Table]) -> bytes:
    """Tables below each other."""
    return "\n".join(map(markdown_table, found)).encode(errors="backslashreplace")


def tables_as_csv(found: Sequence[Table]) -> bytes:
    """Tables below each other, the title in the first column of every line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for table in found:
        writer.writerow(["table", *table.headers])
        writer.writerows([table.title, *row] for row in table.rows)
    return text.getvalue().encode(errors="backslashreplace")


def tables_as_json(found: Sequence[Table]) -> bytes:
    """One object: `tables [{title, headers, rows, note}]`, cells as they are printed."""
    names = ("title", "headers", "rows", "note")
    return encode_json({"tables": [{name: getattr(each, name) for name in names} for each in found]})


def markdown_table(table: Table) -> str:
    """A table in Markdown, its title as a heading."""
    lines = [f"## {_escaped(table.title)}\n"] if table.title else []
    marks = [" --- " if column < table.n_labels else " ---: " for column in range(len(table.headers))]
    lines += [_markdown_row(table.headers), f"|{'|'.join(marks)}|", *map(_markdown_row, table.rows)]
    return "\n".join([*lines, *(["", _escaped(table.note)] if table.note else [])]) + "\n"


def _csv_cells(evaluation: Evaluation, row: Row) -> list[object]:
    ours = [getattr(row, metric) for metric in METRICS]
    printed = [paper_figure(evaluation, row, metric) for metric in METRICS]
    return [row.class_name, row.route, row.main, *ours, row.n_test, *printed]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _escaped(text: str) -> str:
    """A folder's name may hold what Markdown, or the HTML in it, would take as its own."""
    for mark, harmless in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("<", "&lt;"),
        ("`", "\\`"),
        ("_", "\\_"),
        ("*", "\\*"),
        ("[", "\\["),
    ):
        text = text.replace(mark, harmless)
    return " ".join(text.split())
