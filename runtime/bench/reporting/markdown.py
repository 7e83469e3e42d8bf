"""The report as Markdown."""

from __future__ import annotations

from ...reports.table import escape_markdown, tables_as_markdown
from ..measuring.report import Report
from .tables import headline, report_tables


def markdown_report(report: Report) -> str:
    """Everything but the charts."""
    lines = ["# cmdiad-rt bench", ""]
    if report.verdict is not None:
        lines += [f"**{escape_markdown(report.verdict.text)}**", ""]
    lines += [f"- {escape_markdown(fact)}" for fact in headline(report)]
    lines += [f"- measured on {report.created}", "", tables_as_markdown(report_tables(report))]
    for outcome in report.outcomes[:1]:
        lines += ["What is in the figures:", ""]
        lines += [f"- {name.replace('_', ' ')}: {escape_markdown(text)}" for name, text in outcome.conditions.items()]
    return "\n".join([*lines, "", report.disclaimer, ""])
