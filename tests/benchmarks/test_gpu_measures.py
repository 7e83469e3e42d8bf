"""What `gpu_line.py` prints: bars, ratios, and rows for what failed or was left out."""

import json

import pytest
from cmdiad.benchmarks.gpu import measures
from cmdiad.benchmarks.gpu.measures import Measure, Report


@pytest.mark.parametrize(
    ("measure", "met", "ratio"),
    [
        (Measure("a", 12.0, "ms", 15.0, baseline="torch", baseline_figure=150.0), True, 12.5),
        (Measure("a", 16.0, "ms", 15.0), False, None),
        (Measure("a", 60.0, "parts/s", 50.0, True, "before", 7.5), True, 8.0),
        (Measure("a", 0.0, "wrong", 0.0), True, None),
        (Measure("a", 3.0, "s"), None, None),
        (Measure("a", None, "failed", 0.0), False, None),
    ],
)
def test_bars_and_ratios(measure, met, ratio):
    assert (measure.met, measure.ratio) == (met, ratio)


def failing():
    yield Measure("first", 1.0, "ms")
    raise RuntimeError("out of memory")


def test_what_fails_is_a_row_and_the_rest_goes_on(capsys):
    report = Report(limit_s=1e9)
    report.section("times", failing)
    report.section("more", lambda: iter([Measure("second", 2.0, "ms", 5.0)]))
    assert [measure.measure for measure in report.measures] == ["first", "times", "second"]
    assert not report.passed and "RuntimeError: out of memory" in report.table()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["met"] for line in lines] == [None, False, True]


def test_what_there_is_no_time_for_is_said(monkeypatch):
    monkeypatch.setattr(measures, "elapsed", lambda: 470.0)
    report = Report(limit_s=480.0)
    report.section("long", failing, needs_s=30.0)
    assert [(measure.measure, measure.unit) for measure in report.measures] == [("long", "skipped")]
    assert not report.passed and "no time left after 470 s" in report.table()


def test_the_table_has_a_row_a_measure():
    report = Report(limit_s=1e9)
    report.add(Measure("points to score", 12.0, "ms a part", 15.0, False, "torch", 150.0, "fp16"))
    assert report.table().splitlines()[2] == (
        "| points to score | 12 | ms a part | torch: 150 | 12.5x | at most 15 | yes | fp16 |"
    )
    assert report.passed
