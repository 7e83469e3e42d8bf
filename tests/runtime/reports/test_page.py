"""Pages are made of templates: one file that loads nothing, in which no value is markup."""

import re

import pytest
from cmdiad.runtime.reports.chart import Axis, Chart, color
from cmdiad.runtime.reports.page import render_page
from cmdiad.runtime.reports.table import Table
from jinja2 import UndefinedError

HOSTILE = '"><script>alert(1)</script>&'
TEMPLATE = """{% extends "page.html" %}
{% from "macros.html" import chart, table %}
{% block content %}{{ table(shown) }}{{ chart(drawn) }}{% endblock %}"""


@pytest.fixture
def template(tmp_path):
    path = tmp_path / "report.html"
    path.write_text(TEMPLATE)
    return path


def test_values_are_escaped_and_charts_are_drawn(template):
    drawn = Chart(HOSTILE, Axis("x", 0, 1), Axis("y", 0, 1))
    drawn.line([(0, 0), (1, 1)], color(3), HOSTILE)
    shown = Table("", [HOSTILE, "n"], [[HOSTILE, "1"]], note=HOSTILE)
    page = render_page(template, title=HOSTILE, shown=shown, drawn=drawn)
    assert "<script" not in page and page.count("&lt;script&gt;") >= 6
    assert page.count('class="line c3"') == 2  # in the chart, and in its legend
    assert re.findall(r"<td.*?>", page) == ['<td class="label">', "<td>"]


def test_a_page_needs_nothing_beside_it(template):
    page = render_page(
        template, title="t", shown=Table("", ["a"], []), drawn=Chart("c", Axis("", 0, 1), Axis("", 0, 1))
    )
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|url\(|<script|@import|https?:", page)


def test_a_value_that_is_missing_is_an_error(template):
    with pytest.raises(UndefinedError, match="shown"):
        render_page(template, title="t")
