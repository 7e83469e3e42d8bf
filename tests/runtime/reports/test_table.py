"""One table in every form; no cell breaks the form that it is in."""

import csv
import doctest
import io
import json

from cmdiad.runtime.reports import table
from cmdiad.runtime.reports.table import Table, tables_as_csv, tables_as_json, tables_as_markdown

TABLES = [
    Table("First *", ["name", "a|b"], [["x|y<z>", "1"], ["_u_", "2"]], note="see [below]\n# not a heading"),
    Table("", ["name", "place", "n"], [["a,b", 'c"d', "3"]], n_labels=2),
]


def test_examples_are_true():
    assert doctest.testmod(table).failed == 0


def test_figures_are_flush_right_in_markdown_and_nothing_is_markup():
    assert tables_as_markdown(TABLES).splitlines() == [
        "## First \\*",
        "",
        "| name | a\\|b |",
        "| --- | ---: |",
        "| x\\|y&lt;z> | 1 |",
        "| \\_u\\_ | 2 |",
        "",
        "see \\[below] # not a heading",
        "",
        "| name | place | n |",
        "| --- | --- | ---: |",
        '| a,b | c"d | 3 |',
    ]


def test_csv_has_the_title_in_every_line():
    rows = list(csv.reader(io.StringIO(tables_as_csv(TABLES))))
    assert rows[0] == ["table", "name", "a|b"] and rows[1] == ["First *", "x|y<z>", "1"]
    assert rows[3:] == [["table", "name", "place", "n"], ["", "a,b", 'c"d', "3"]]


def test_json_has_what_the_documentation_names():
    first, _ = json.loads(tables_as_json(TABLES))["tables"]
    assert first == {
        "title": "First *",
        "headers": ["name", "a|b"],
        "rows": [["x|y<z>", "1"], ["_u_", "2"]],
        "note": "see [below]\n# not a heading",
    }
