"""The report as one HTML file: tables and plots, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..measuring.report import Report
from .plots import Figure, report_figures
from .tables import Table, headline, report_tables

_STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.2rem 0.7rem; text-align: right; border-bottom: 1px solid #8884 }
.words { text-align: left }
.wide { overflow-x: auto }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } figcaption { font-weight: 600 }
svg { width: 100%; height: auto; font-size: 12px } svg text { fill: currentColor }
.key { display: inline-block; margin-right: 1rem; font-size: 13px }
.key span { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.35em }
.verdict { font-size: 1.15rem; font-weight: 600; padding: 0.6rem 1rem; border-left: 0.4rem solid }
.yes { border-color: #338855 } .no { border-color: #aa3344 }
"""


def html_report(report: Report) -> str:
    """The whole page."""
    body = ["<h1>cmdiad-rt bench</h1>"]
    if report.verdict is not None:
        kind = "yes" if report.verdict.holds else "no"
        body.append(f'<p class="verdict {kind}">{escape(report.verdict.text)}</p>')
    facts = [*headline(report), f"measured on {report.created}"]
    body.append("<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>")
    body.append('<div class="figures">' + "".join(map(_figure, report_figures(report))) + "</div>")
    body += map(_table, report_tables(report))
    for outcome in report.outcomes[:1]:
        items = (
            f"<li>{escape(name.replace('_', ' '))}: {escape(text)}</li>" for name, text in outcome.conditions.items()
        )
        body.append(f"<h2>What is in the figures</h2><ul>{''.join(items)}</ul>")
    body.append(f"<p>{escape(report.disclaimer)}</p>")
    head = f'<meta charset="utf-8"><title>cmdiad-rt bench</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _figure(figure: Figure) -> str:
    return f"<figure><figcaption>{escape(figure.title)}</figcaption>{figure.svg}<div>{figure.legend}</div></figure>"


def _table(table: Table) -> str:
    head = _row(table, table.headers, "th")
    rows = "".join(_row(table, row, "td") for row in table.rows)
    return f'<h2>{escape(table.title)}</h2><div class="wide"><table>{head}{rows}</table></div>'


def _row(table: Table, cells: Sequence[str], tag: str) -> str:
    kinds = ["" if column in table.numeric else ' class="words"' for column in range(len(table.headers))]
    return "<tr>" + "".join(f"<{tag}{k}>{escape(c)}</{tag}>" for k, c in zip(kinds, cells, strict=True)) + "</tr>"
