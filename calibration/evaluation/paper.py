"""The figures that the paper prints, to be shown beside ours (Sui et al., Information Fusion 2025).

They were read off the printed tables, are for MVTec 3D-AD unless a row says otherwise, and are facts of that paper:
its full-size networks, its published checkpoints.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from ...runtime.patches.routes import Dual, route_of
from .outcomes import MEAN, Row

_FILE = "paper_figures.json"
# Metric, and what a route measures -> the table that prints its figures by class.
_TABLES = {
    "i_auroc": {("pc",): "2", ("rgb",): "3", ("pc", "rgb"): "a3"},
    "aupro": {("pc",): "2", ("rgb",): "3", ("pc", "rgb"): "a3"},
    "p_auroc": {("pc",): "a1", ("rgb",): "a1", ("pc", "rgb"): "a1"},
}
DUAL = Dual("pc").title


class PrintedTable(msgspec.Struct, frozen=True):
    """One table: for each metric and row, a figure in every column."""

    title: str
    columns: list[str]
    metrics: dict[str, dict[str, list[float]]]


class Paper(msgspec.Struct, frozen=True):
    """All tables by number."""

    source: str
    dataset: str
    tables: dict[str, PrintedTable]


@cache
def paper() -> Paper:
    """The printed figures."""
    return msgspec.json.decode(files(__package__).joinpath(_FILE).read_bytes(), type=Paper)


def paper_classes() -> list[str]:
    """The ten classes of the paper's dataset."""
    return [name for name in paper().tables["2"].columns if name != MEAN]


def printed_figure(row: Row, metric: str) -> float | None:
    """What the paper prints for the route, main modality and class of a row; None where it prints nothing.

    It prints nothing of another score than its own.

    Example:
        >>> row = Row("mean", "f2f", "pc", i_auroc=None, p_auroc=None, aupro=None, aupro_001=None, n_test=0)
        >>> printed_figure(row, "i_auroc")
        0.938
    """
    if row.scored_by != "paper":
        return None
    route = route_of(row.route, row.main)
    number = _TABLES.get(metric, {}).get(tuple(sorted(route.measured)))
    if number is None:
        return None
    table = paper().tables[number]
    printed = table.metrics[metric]
    figures = printed.get(route.title) or printed.get(row.route.upper())
    if figures is None or row.class_name not in table.columns:
        return None
    return figures[table.columns.index(row.class_name)]
