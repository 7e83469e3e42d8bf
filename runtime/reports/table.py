"""Tables of text: the same in the terminal, in Markdown, in HTML and in JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from ..files.json_encoding import encode_json

MISSING = "-"
# What Markdown, or the HTML in it, would take as its own in the name of a folder.
_MARKUP = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "<": "&lt;", "`": "\\`", "_": "\\_", "*": "\\*", "[": "\\["},
)


@dataclass(frozen=True)
class Table:
    r"""A table of text.

    Attributes:
        title: what it tells; may be empty.
        headers: of the columns.
        rows: as many cells each.
        n_labels: how many columns, from the first, hold words; the others hold figures and are set flush right.
        note: below the table; may be empty.

    Example:
        >>> print(Table("Sizes", ["part", "mm"], [["bolt", "8"]]).as_markdown(), end="")
        ## Sizes
        <BLANKLINE>
        | part | mm |
        | --- | ---: |
        | bolt | 8 |
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_labels: int = 1
    note: str = ""

    @property
    def numeric(self) -> range:
        """The columns of figures."""
        return range(self.n_labels, len(self.headers))

    def as_markdown(self) -> str:
        """The table in Markdown, its title as a heading, a line break at the end."""
        lines = [f"## {escape_markdown(self.title)}", ""] if self.title else []
        marks = [" ---: " if column in self.numeric else " --- " for column in range(len(self.headers))]
        lines += [_markdown_row(self.headers), f"|{'|'.join(marks)}|", *map(_markdown_row, self.rows)]
        lines += ["", escape_markdown(self.note)] if self.note else []
        return "\n".join(lines) + "\n"


def tables_as_markdown(tables: Sequence[Table]) -> str:
    """Tables below each other."""
    return "\n".join(table.as_markdown() for table in tables)


def tables_as_csv(tables: Sequence[Table]) -> str:
    """Tables below each other, the title in the first column of every line."""
    rows: list[Sequence[str]] = []
    for table in tables:
        rows.append(["table", *table.headers])
        rows += [[table.title, *row] for row in table.rows]
    return csv_text(rows)


def tables_as_json(tables: Sequence[Table]) -> bytes:
    """One object: `tables [{title, headers, rows, note}]`, cells as they are printed."""
    names = ("title", "headers", "rows", "note")
    return encode_json({"tables": [{name: getattr(table, name) for name in names} for table in tables]})


def csv_text(rows: Sequence[Sequence[object]]) -> str:
    r"""Rows as CSV with line feeds; None is an empty cell.

    Example:
        >>> csv_text([["part", "score"], ["a,b", None]])
        'part,score\n"a,b",\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def escape_markdown(text: str) -> str:
    r"""Text on one line, in which nothing is markup.

    Example:
        >>> escape_markdown("a|b <i>")
        'a\\|b &lt;i>'
    """
    return " ".join(text.translate(_MARKUP).split())


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escape_markdown, cells))} |"
