"""Runs are evaluated as they were asked for: each class, route and score once, and said where a run fits ill."""

from __future__ import annotations

from pathlib import Path

from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.evaluation.outcomes import Evaluation
from cmdiad.calibration.evaluation.report_tables import threshold_table
from cmdiad.export.evaluate_runs import evaluate_runs, routes_of
from cmdiad.runtime.bundle.parameters import RouteName, ScoreName

SETTINGS = CalibrationSettings(coreset_ratio=0.01)


def evaluated(
    data: Path, run: Path, routes: list[RouteName], classes: list[str], scores: list[ScoreName]
) -> Evaluation:
    chosen = routes_of(routes, ["pc", "pc"])
    return evaluate_runs(data, classes, [run, run], chosen, SETTINGS, "cpu", lambda *_: None, scores=scores)


def test_what_is_asked_for_twice_is_counted_once(synth_data: Path, trained_run: Path) -> None:
    evaluation = evaluated(synth_data, trained_run, ["single", "single"], ["gland", "gland"], ["map", "map"])
    assert [(row.class_name, row.route, row.scored_by) for row in evaluation.rows] == [("gland", "single", "map")]
    (row,) = threshold_table(evaluation).rows
    assert "of 5" in row[3]
