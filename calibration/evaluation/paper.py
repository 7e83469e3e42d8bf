"""The figures that the paper prints, to be shown beside ours (Sui et al., Information Fusion 2025).

They were read off the printed tables, are for MVTec 3D-AD unless a row says otherwise, and are facts of that paper:
its full-size networks, its published checkpoints.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from .outcomes import MEAN, Row

_FILE = "paper_figures.json"
# Route and main modality -> table and row that print its figures by class.
_TABLES = {
    "i_auroc": {"pc": "2", "rgb": "3", "dual": "a3"},
    "aupro": {"pc": "2", "rgb": "3", "dual": "a3"},
    "p_auroc": {"pc": "a1", "rgb": "a1", "dual": "a1"},
}
DUAL = "Dual banks, RGB + PC"
SENSOR = {"pc": "PC", "rgb": "RGB"}


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
    """What the paper prints for the route, main modality and class of a row; None where it prints nothing."""
    number = _TABLES.get(metric, {}).get("dual" if row.route == "dual" else row.main)
    if number is None:
        return None
    table = paper().tables[number]
    printed = table.metrics[metric]
    figures = printed.get(method_name(row.route, row.main)) or printed.get(row.route.upper())
    if figures is None or row.class_name not in table.columns:
        return None
    return figures[table.columns.index(row.class_name)]


def method_name(route: str, main: str) -> str:
    """How a route with its main modality is called: `F2F, PC`, `Single bank, RGB`, `Dual banks, RGB + PC`."""
    if route == "dual":
        return DUAL
    return f"{'Single bank' if route == 'single' else route.upper()}, {SENSOR[main]}"
