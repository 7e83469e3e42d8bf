"""The report as Markdown."""

from __future__ import annotations

from ..measuring.report import Report
from .tables import Table, headline, report_tables


def markdown_report(report: Report) -> str:
    """Everything but the plots."""
    lines = ["# cmdiad-rt bench", ""]
    if report.verdict is not None:
        lines += [f"**{report.verdict.text}**", ""]
    lines += [f"- {_escaped(line)}" for line in headline(report)]
    lines += [f"- measured on {report.created}", ""]
    for table in report_tables(report):
        lines += markdown_table(table)
    for outcome in report.outcomes[:1]:
        lines += ["What is in the figures:", ""]
        lines += [f"- {name.replace('_', ' ')}: {_escaped(text)}" for name, text in outcome.conditions.items()]
    return "\n".join([*lines, "", report.disclaimer, ""])


def markdown_table(table: Table) -> list[str]:
    """One table with its title."""
    rows = [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in table.rows]
    return [
        f"## {table.title}",
        "",
        f"| {' | '.join(table.headers)} |",
        "|" + "---|" * table.n_text + "---:|" * len(table.numeric),
        *rows,
        "",
    ]


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")
