"""Markdown tables of the benchmarks' answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(headers: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A whole table, its rows below the headers.

    Example:
        >>> print(markdown_table(["stage", "ms"], [["search", 12.5]]))
        | stage | ms |
        |---|---|
        | search | 12.5 |
    """
    return "\n".join([table_head(headers), *map(table_row, rows)])


def table_head(headers: Sequence[object]) -> str:
    """The two lines that begin a table."""
    return f"{table_row(headers)}\n|{'---|' * len(headers)}"


def table_row(cells: Sequence[object]) -> str:
    """One line of a table."""
    return f"| {' | '.join(map(str, cells))} |"
