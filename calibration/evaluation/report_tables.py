"""An evaluation as tables of text: for a terminal, as Markdown, CSV and JSON, the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence

from ...runtime.files.json_encoding import encode_json
from ...runtime.reports.table import MISSING, Table, csv_text, escape_markdown, tables_as_markdown
from .outcomes import MEAN, ClassOutcome, Evaluation, Row, Verdicts
from .paper import paper, paper_classes, printed_figure
from .verdicts_by_part import part_objects, trade_object

METRICS = {"i_auroc": "I-AUROC", "p_auroc": "P-AUROC", "aupro": "AUPRO", "aupro_001": "AUPRO@1%"}
ONE_KIND = "There are only good or only defective test parts: AUROC and AUPRO compare the two, and need both."
# Parts that a note names; --json has all.
N_NAMED = 10
COMPARABILITY = (
    "The paper's figures are those of its full-size networks and published checkpoints on MVTec 3D-AD, and are "
    "comparable with ours only where both are the same."
)


def tables(evaluation: Evaluation) -> list[Table]:
    """Everything an evaluation tells in figures."""
    by_defect = defect_table(evaluation)
    return [
        threshold_table(evaluation),
        metrics_table(evaluation),
        *([] if by_defect is None else [by_defect]),
        latency_table(evaluation),
    ]


def metrics_table(evaluation: Evaluation) -> Table:
    """Scores of detection by class and route; in parentheses the paper's, if it prints one for the class."""
    headers = ["class", "route", "main", *METRICS.values(), "parts"]
    rows = []
    for row in evaluation.rows:
        cells = [metric_cell(evaluation, row, metric) for metric in METRICS]
        rows.append([row.class_name, row.title, row.main, *cells, str(row.n_test)])
    notes = [f"In parentheses: {paper().source}. {COMPARABILITY}"] if is_compared(evaluation) else []
    notes += [ONE_KIND] if any(row.i_auroc is None for row in evaluation.rows) else []
    return Table("Scores of detection", headers, rows, 3, " ".join(notes))


def is_compared(evaluation: Evaluation) -> bool:
    """Whether the paper prints a figure for any row."""
    return any(paper_figure(evaluation, row, metric) is not None for row in evaluation.rows for metric in METRICS)


def threshold_table(evaluation: Evaluation) -> Table:
    """What the threshold from normal scans alone does to the test parts."""
    headers = ["class", "route", "main", "defects missed", "good rejected", "refused", "threshold", "requested"]
    rows = []
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        for outcome in outcomes:
            threshold = outcome.threshold
            cells = [*verdict_cells(outcome.verdicts), f"{threshold.value:.4g}", f"{threshold.false_reject_rate:.2%}"]
            rows.append([*_labels(outcome), *cells])
        if len(outcomes) > 1:
            total = Verdicts.total(outcome.verdicts for outcome in outcomes)
            cells = [*verdict_cells(total), MISSING, f"{outcomes[0].threshold.false_reject_rate:.2%}"]
            rows.append(["all", *_labels(outcomes[0])[1:], *cells])
    return Table("At the threshold calibrated on normal scans", headers, rows, 3, refusal_note(evaluation))


def refusal_note(evaluation: Evaluation) -> str:
    """Which test parts `infer` would refuse, and why; empty if it would inspect all."""
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
    """Image AUROC of each defect's parts against the good ones; None unless there are both."""
    names = sorted({name for outcome in evaluation.outcomes for name in outcome.by_defect})
    if not names:
        return None
    rows = [
        [*_labels(outcome), *(figure(outcome.by_defect.get(name)) for name in names)] for outcome in evaluation.outcomes
    ]
    return Table("I-AUROC by defect (its parts against the good ones)", ["class", "route", "main", *names], rows, 3)


def latency_table(evaluation: Evaluation) -> Table:
    """Median milliseconds per part, by stage."""
    stages = stage_names(evaluation.outcomes)
    rows = []
    for outcome in evaluation.outcomes:
        known = outcome.milliseconds
        times = [f"{known[stage]:.0f}" if stage in known else MISSING for stage in stages]
        rows.append([*_labels(outcome), *times, f"{outcome.bank_bytes / 1e6:.1f}"])
    return Table("Milliseconds per part, median", ["class", "route", "main", *stages, "banks MB"], rows, 3)


def stage_names(outcomes: Sequence[ClassOutcome]) -> list[str]:
    """The stages of all outcomes in the order the line runs them, `total` last."""
    longest = sorted(outcomes, key=lambda outcome: -len(outcome.milliseconds))
    names = dict.fromkeys(name for outcome in longest for name in outcome.milliseconds)
    return [*(name for name in names if name != "total"), "total"]


def paper_figure(evaluation: Evaluation, row: Row, metric: str) -> float | None:
    """The printed figure beside a row; for the mean only if all ten classes were evaluated."""
    if row.class_name == MEAN and sorted(evaluation.class_names) != sorted(paper_classes()):
        return None
    return printed_figure(row, metric)


def metric_cell(evaluation: Evaluation, row: Row, metric: str) -> str:
    """Our figure, with the paper's in parentheses."""
    printed = paper_figure(evaluation, row, metric)
    ours = figure(getattr(row, metric))
    return ours if printed is None else f"{ours} ({printed:.3f})"


def figure(value: float | None) -> str:
    """A score of detection with three places; a dash if there is none."""
    return MISSING if value is None else f"{value:.3f}"


def verdict_cells(verdicts: Verdicts) -> list[str]:
    """Counts and rates of defective parts missed and good ones rejected, and how many `infer` would refuse."""
    return [
        counted(verdicts.misses, verdicts.n_defective, verdicts.miss_rate),
        counted(verdicts.false_rejects, verdicts.n_good, verdicts.false_reject_rate),
        f"{verdicts.refused} of {verdicts.n_good + verdicts.n_defective}",
    ]


def counted(count: int, n: int, rate: float | None) -> str:
    """How many of how many, and their share; a dash if there are none."""
    return MISSING if rate is None else f"{count} of {n} ({rate:.1%})"


def as_json(evaluation: Evaluation) -> bytes:
    """The documented object: `rows` with the scores of detection, and beside it what else was found, each with class,
    route, main, scored_by.

    `parts` are the test parts with their scores; `refusal` says why `infer` would give no verdict on a part. `trade`
    has what every other threshold would reject and miss. `warnings` are sentences about what falsifies the figures.
    """
    content: dict[str, list[object]] = {"rows": list(evaluation.rows), "warnings": list(evaluation.warnings)}
    content |= {name: [] for name in ("defects", "thresholds", "latency", "parts", "trade")}
    for outcome in evaluation.outcomes:
        row = outcome.row
        key = {"class": row.class_name, "route": row.route, "main": row.main, "scored_by": row.scored_by}
        content["defects"] += [{**key, "defect": name, "i_auroc": value} for name, value in outcome.by_defect.items()]
        content["thresholds"].append({**key, **_threshold_object(outcome)})
        content["parts"] += [{**key, **part} for part in part_objects(outcome)]
        content["trade"].append({**key, **trade_object(outcome)})
        content["latency"].append({**key, "ms": outcome.milliseconds, "bank_bytes": outcome.bank_bytes})
    content["paper"] = [
        {"class": row.class_name, "route": row.route, "main": row.main, "metric": metric, "printed": printed}
        for row in evaluation.rows
        for metric in METRICS
        if (printed := paper_figure(evaluation, row, metric)) is not None
    ]
    return encode_json(content)


def as_csv(evaluation: Evaluation) -> str:
    """One line per row, with the paper's figures and the rates at the threshold; empty where unknown."""
    papers = [f"paper_{metric}" for metric in METRICS]
    rates = ["threshold", "false_reject_rate", "miss_rate", "n_refused", "ms"]
    rows: list[list[object]] = [["class", "route", "main", "scored_by", *METRICS, "n_test", *papers, *rates]]
    for name in evaluation.names:
        outcomes = evaluation.of(name)
        for outcome in outcomes:
            cells = _rate_cells(outcome.threshold.value, outcome.verdicts, outcome.milliseconds["total"])
            rows.append([*_csv_cells(evaluation, outcome.row), *cells])
        if len(outcomes) > 1:
            total = Verdicts.total(outcome.verdicts for outcome in outcomes)
            rows.append([*_csv_cells(evaluation, evaluation.mean(name)), *_rate_cells(None, total, None)])
    return csv_text(rows)


def as_markdown(evaluation: Evaluation, title: str) -> str:
    """All tables under a title."""
    return f"# {escape_markdown(title)}\n\n{tables_as_markdown(tables(evaluation))}"


def _labels(outcome: ClassOutcome) -> list[str]:
    """Class, route with its score, and main modality."""
    return [outcome.row.class_name, outcome.row.title, outcome.row.main]


def _threshold_object(outcome: ClassOutcome) -> dict[str, object]:
    verdicts = outcome.verdicts
    return {
        "threshold": outcome.threshold.value,
        "asked_false_reject_rate": outcome.threshold.false_reject_rate,
        "method": outcome.threshold.method,
        "rate_low": outcome.threshold.rate_low,
        "rate_high": outcome.threshold.rate_high,
        "n_good": verdicts.n_good,
        "n_rejected": verdicts.false_rejects,
        "false_reject_rate": verdicts.false_reject_rate,
        "n_defective": verdicts.n_defective,
        "n_missed": verdicts.misses,
        "miss_rate": verdicts.miss_rate,
        "n_refused": verdicts.refused,
    }


def _rate_cells(threshold: float | None, verdicts: Verdicts, milliseconds: float | None) -> list[object]:
    return [threshold, verdicts.false_reject_rate, verdicts.miss_rate, verdicts.refused, milliseconds]


def _csv_cells(evaluation: Evaluation, row: Row) -> list[object]:
    ours = [getattr(row, metric) for metric in METRICS]
    printed = [paper_figure(evaluation, row, metric) for metric in METRICS]
    return [row.class_name, row.route, row.main, row.scored_by, *ours, row.n_test, *printed]
