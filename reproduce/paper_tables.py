"""The paper's experiments: what each table varies, and the table with our figures beside the printed ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..calibration.evaluation.outcomes import MEAN, Row, mean_row
from ..calibration.evaluation.paper import DUAL, PrintedTable, paper
from ..calibration.evaluation.report_tables import METRICS, figure
from ..runtime.bundle.parameters import Metric, Modality, RouteName
from ..runtime.reports.table import MISSING, Table
from .choices import TableNumber

NAMES = {**METRICS, "inference_s": "Seconds per part", "banks_mb": "Memory banks, MB"}
NOT_RUN = "not run"
EYECANDIES = (
    "CandyCane",
    "ChocolateCookie",
    "ChocolatePraline",
    "Confetto",
    "GummyBear",
    "HazelnutTruffle",
    "LicoriceSandwich",
    "Lollipop",
    "Marshmallow",
    "PeppermintCandy",
)


@dataclass(frozen=True)
class ExtractorPair:
    """The point and the image extractor, by name."""

    point: str
    image: str

    def __str__(self) -> str:
        return f"{self.image} + {self.point}"


@dataclass(frozen=True)
class Experiment:
    """One trained and calibrated configuration; defaults are the paper's."""

    route: RouteName
    main: Modality
    pair: ExtractorPair
    is_trained: bool = True
    coreset_ratio: float = 0.1
    metric: Metric = "l2"


class Measured(Protocol):
    """What a table shows of one experiment on one class."""

    @property
    def row(self) -> Row:
        """The metrics."""

    @property
    def milliseconds(self) -> dict[str, float]:
        """By stage, and `total`."""

    @property
    def bank_bytes(self) -> int:
        """Of the memory banks."""


# Row of a table, and column where columns are experiments and not classes.
Place = tuple[str, str | None]

PAPER_PAIR = ExtractorPair("point-mae", "vit_base_patch8_224.dino")
_ROW_EYECANDIES = "DINO ViT-B/8 + Point-MAE, Eyecandies"
_PAIRS = {
    "DINO ViT-B/8 + Point-MAE": PAPER_PAIR,
    "DINO ViT-S/8 + Point-MAE": ExtractorPair("point-mae", "vit_small_patch8_224.dino"),
    "ViT-B/8 ImageNet-21k + Point-MAE": ExtractorPair("point-mae", "vit_base_patch8_224.augreg_in21k"),
    "DINO ViT-B/8 + Point-BERT": ExtractorPair("point-bert", "vit_base_patch8_224.dino"),
}
_MAINS: tuple[Modality, ...] = ("pc", "rgb")
_EXTRACTOR_COLUMNS: dict[str, tuple[RouteName, Modality]] = {
    "Single bank, PC": ("single", "pc"),
    "MTFI, PC": ("f2f", "pc"),
    "Single bank, RGB": ("single", "rgb"),
    "MTFI, RGB": ("f2f", "rgb"),
    DUAL: ("dual", "pc"),
}


def experiments_of(number: TableNumber, pair: ExtractorPair, class_names: Sequence[str]) -> dict[Place, Experiment]:
    """What a table compares, by its place in the table.

    Args:
        number: of the table.
        pair: the extractors, where the table does not vary them; in Table 4 another row where it has none of it.
        class_names: of the dataset, which tells whether it is Eyecandies.

    Example:
        >>> [experiment.metric for experiment in experiments_of("a4", PAPER_PAIR, ["bagel"]).values()]
        ['l2', 'l1', 'cosine']
    """
    if number == "4":
        return _extractor_experiments(pair, class_names)
    f2f = Experiment("f2f", "pc", pair)
    if number in ("2", "3"):
        main: Modality = "pc" if number == "2" else "rgb"
        routes: dict[str, RouteName] = {
            f"Single bank, {main.upper()}": "single",
            "F2F": "f2f",
            "F2I": "f2i",
            "I2F": "i2f",
        }
        return {(row, None): Experiment(route, main, pair) for row, route in routes.items()}
    columns = paper().tables[number].columns
    if number == "5":
        return {("F2F", column): replace(f2f, coreset_ratio=float(column.split()[0]) / 100) for column in columns}
    single = {f"Single bank, {main.upper()}": Experiment("single", main, pair) for main in _MAINS}
    if number == "a2":
        trained = {"F2F untrained": replace(f2f, is_trained=False), "F2F trained": f2f}
        return {("PC", column): experiment for column, experiment in {**single, **trained}.items()}
    dual = Experiment("dual", "pc", pair)
    rows = {
        "a1": {**single, "F2F, PC": f2f, "F2F, RGB": replace(f2f, main="rgb"), DUAL: dual},
        "a3": {DUAL: dual},
        "a4": {"L2": f2f, "L1": replace(f2f, metric="l1"), "Cosine": replace(f2f, metric="cosine")},
        "a5": {DUAL: dual, "F2F, PC": f2f},
    }[number]
    return {(row, None): experiment for row, experiment in rows.items()}


def paper_table(
    number: TableNumber,
    experiments: Mapping[Place, Experiment],
    outcomes: Mapping[Experiment, Sequence[Measured]],
    failures: Mapping[Experiment, str],
) -> list[Table]:
    """A table of the paper with ours: one for each metric, a line of the paper's and one of ours for each row.

    Args:
        number: of the table.
        experiments: what was to be run.
        outcomes: of what was run, class by class.
        failures: why an experiment was not run.
    """
    printed = paper().tables[number]
    metrics = [*printed.metrics, *(["banks_mb"] if number == "a5" else [])]
    if any(column is not None for _, column in experiments):
        columns = printed.columns
    else:
        columns = _class_columns(printed, outcomes) if MEAN in printed.columns and len(printed.columns) > 1 else [MEAN]
    tables = [_metric_table(number, metric, columns, experiments, outcomes) for metric in metrics]
    tables[-1] = replace(tables[-1], note=_note(experiments, outcomes, failures))
    return tables


def value_of(outcomes: Sequence[Measured], metric: str, class_name: str) -> float | None:
    """A figure of an experiment for one class, or for the mean of all; None if there is none."""
    chosen = [outcome for outcome in outcomes if class_name in (MEAN, outcome.row.class_name)]
    if not chosen:
        return None
    if metric == "inference_s":
        return float(np.mean([outcome.milliseconds["total"] for outcome in chosen])) / 1e3
    if metric == "banks_mb":
        return float(np.mean([outcome.bank_bytes for outcome in chosen])) / 1e6
    value: float | None = getattr(mean_row([outcome.row for outcome in chosen]), metric)
    return value


def _extractor_experiments(pair: ExtractorPair, class_names: Sequence[str]) -> dict[Place, Experiment]:
    if set(EYECANDIES) & set(class_names):
        rows = {_ROW_EYECANDIES: PAPER_PAIR}
    else:
        rows = dict(_PAIRS)
    if pair not in rows.values():
        rows[str(pair)] = pair
    return {
        (row, column): Experiment(route, main, extractors)
        for row, extractors in rows.items()
        for column, (route, main) in _EXTRACTOR_COLUMNS.items()
    }


def _class_columns(printed: PrintedTable, outcomes: Mapping[Experiment, Sequence[Measured]]) -> list[str]:
    """The evaluated classes, the paper's first and in its order, and the mean; the paper's if nothing was run."""
    names = dict.fromkeys(outcome.row.class_name for by_class in outcomes.values() for outcome in by_class)
    if not names:
        return printed.columns
    known = [name for name in printed.columns if name in names]
    return [*known, *(name for name in names if name not in known), MEAN]


def _metric_table(
    number: TableNumber,
    metric: str,
    columns: Sequence[str],
    experiments: Mapping[Place, Experiment],
    outcomes: Mapping[Experiment, Sequence[Measured]],
) -> Table:
    printed = paper().tables[number]
    theirs = printed.metrics.get(metric, {})
    lines = []
    for row in dict.fromkeys([*theirs, *(row for row, _ in experiments)]):
        if row in theirs:
            known = dict(zip(printed.columns, theirs[row], strict=True))
            lines.append([row, "paper", *(figure(known.get(column)) for column in columns)])
        ours = [_cell(metric, row, column, experiments, outcomes) for column in columns]
        if any(ours):
            lines.append([row, "ours", *(cell or MISSING for cell in ours)])
    title = f"Table {number.upper()}. {printed.title}: {NAMES[metric]}"
    return Table(title, ["method", "", *columns], lines, 2)


def _cell(
    metric: str,
    row: str,
    column: str,
    experiments: Mapping[Place, Experiment],
    outcomes: Mapping[Experiment, Sequence[Measured]],
) -> str:
    """Our figure at a place; empty if we have no experiment there."""
    by_class = (row, None) in experiments
    experiment = experiments.get((row, None if by_class else column))
    if experiment is None:
        return ""
    if experiment not in outcomes:
        return NOT_RUN
    return figure(value_of(outcomes[experiment], metric, column if by_class else MEAN))


def _note(
    experiments: Mapping[Place, Experiment],
    outcomes: Mapping[Experiment, Sequence[Measured]],
    failures: Mapping[Experiment, str],
) -> str:
    """What the paper's figures are from, over how many classes ours are, and why experiments were not run."""
    n_classes = len({outcome.row.class_name for by_class in outcomes.values() for outcome in by_class})
    pairs = dict.fromkeys(str(experiment.pair) for experiment in experiments.values())
    ours = f"ours: {'; '.join(pairs)}" + (f", mean over {n_classes} classes" if n_classes > 1 else "")
    parts = [f"Paper: {paper().source}; {ours}."]
    reasons: dict[str, list[str]] = {}
    for (row, column), experiment in experiments.items():
        if experiment in failures:
            reasons.setdefault(failures[experiment], []).append(row if column is None else f"{row}, {column}")
    parts += [f"Not run: {'; '.join(places)}: {reason}." for reason, places in reasons.items()]
    return " ".join(parts)
