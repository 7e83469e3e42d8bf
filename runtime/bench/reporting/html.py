"""The report as one HTML file: tables and charts, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path

from ...reports.page import render_page
from ..measuring.report import Report
from .charts import report_charts
from .tables import headline, report_tables

_TEMPLATE = Path(__file__).with_name("report.html")


def html_report(report: Report) -> str:
    """The whole page."""
    return render_page(
        _TEMPLATE,
        title="cmdiad-rt bench",
        report=report,
        facts=[*headline(report), f"measured on {report.created}"],
        charts=report_charts(report),
        tables=report_tables(report),
    )
