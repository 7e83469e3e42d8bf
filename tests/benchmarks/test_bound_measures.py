"""Measures say what was reached, what failed and what was not done."""

import json

import pytest
from cmdiad.benchmarks.gpu.bound_measures import (
    BoundMeasure,
    Rival,
    RunningClock,
    Step,
    exit_code,
    measures_table,
    run_steps,
)


@pytest.mark.parametrize(
    ("measure", "met"),
    [
        (BoundMeasure("a time", 15.0, bar=15), True),
        (BoundMeasure("a time", 15.1, bar=15), False),
        (BoundMeasure("parts", 50.0, "parts/s", bar=50), True),
        (BoundMeasure("parts", 49.9, "parts/s", bar=50), False),
        (BoundMeasure("wrong rows", 0, "", bar=0), True),
        (BoundMeasure("wrong rows", 1, "", bar=0), False),
        (BoundMeasure("against", 10.0, bar=10, rival=Rival("torch", 100.0)), True),
        (BoundMeasure("against", 10.0, bar=10, rival=Rival("torch", 99.0)), False),
        (BoundMeasure("not a number", float("nan"), "", bar=0), False),
        (BoundMeasure("no bar", 3.0), None),
    ],
)
def test_a_bar_is_a_limit_of_times_and_counts_and_a_least_of_rates_and_ratios(measure, met):
    assert measure.met is met


def test_a_time_against_a_baseline_is_printed_as_by_the_other_benchmarks():
    measure = BoundMeasure("to map", 12.5, bar=10, rival=Rival("torch", 150.0), stages_ms={"graph": 6.25})
    assert measure.as_json() == {
        "measure": "to map",
        "ours_ms": 12.5,
        "baseline": "torch",
        "baseline_ms": 150.0,
        "ratio": 12.0,
        "bar": 10,
        "met": True,
        "stages_ms": {"graph": 6.25},
    }
    assert measure.as_row() == ["to map", "12.5 ms (graph 6.25)", "torch: 150 ms", "12.0x", "at least 10x", "yes"]


def test_units_are_in_the_keys_and_in_the_words():
    parts = BoundMeasure("offline", 61.234, "parts/s", bar=50)
    assert parts.as_json() == {"measure": "offline", "ours_parts_s": 61.23, "bar_parts_s": 50, "met": True}
    assert parts.as_row() == ["offline", "61.23 parts/s", "", "", "at least 50 parts/s", "yes"]
    rows = BoundMeasure("wrong rows", 2, "", bar=0, remark="of 90")
    assert rows.as_json() == {"measure": "wrong rows", "ours": 2, "bar": 0, "met": False, "remark": "of 90"}
    assert rows.as_row() == ["wrong rows", "2 (of 90)", "", "", "at most 0", "**no**"]


def printed(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def broken():
    yield BoundMeasure("first", 1.0)
    raise RuntimeError("the GPU\nis lost | gone")


def test_a_measure_that_fails_is_a_row_and_the_others_go_on(capsys):
    made = []
    steps = [Step("breaks", broken), Step("works", lambda: [BoundMeasure("works", 2.0)])]
    run_steps(steps, RunningClock(60, now=lambda: 0.0), made)
    assert [measure.measure for measure in made] == ["first", "breaks", "works"]
    assert printed(capsys)[1] == {"measure": "breaks", "failure": "RuntimeError: the GPU is lost | gone"}
    assert exit_code(made) == 1 and exit_code(made[:1]) == 0
    row = measures_table(made).splitlines()[3]
    assert row == "| breaks | failed: RuntimeError: the GPU is lost / gone |  |  |  | **no** |"


def test_what_comes_after_the_limit_is_skipped_and_said(capsys):
    seconds, made = [0.0], []

    def long():
        seconds[0] += 100.0
        return [BoundMeasure("long", 1.0)]

    run_steps([Step("long", long), Step("late", long)], RunningClock(60, now=lambda: seconds[0]), made)
    assert [measure.measure for measure in made] == ["long", "late"]
    assert made[1].skipped == "60 s were over" and seconds == [100.0]
    assert "late: skipped" in capsys.readouterr().err
    assert made[1].as_row() == ["late", "skipped: 60 s were over", "", "", "", "not measured"]


def test_what_cannot_be_done_here_is_skipped_with_the_reason(capsys):
    made = []
    run_steps([Step("kernels", broken, "needs an NVIDIA GPU")], RunningClock(60), made)
    assert printed(capsys) == [{"measure": "kernels", "skipped": "needs an NVIDIA GPU"}]
    assert exit_code(made) == 0
