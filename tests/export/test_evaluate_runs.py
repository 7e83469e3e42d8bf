"""Runs are evaluated as they were asked for: each class, route and score once, and said where a run fits ill."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from cmdiad.calibration.calibration_settings import CalibrationSettings
from cmdiad.calibration.evaluation.outcomes import Evaluation
from cmdiad.calibration.evaluation.report_tables import threshold_table
from cmdiad.export.evaluate_runs import evaluate_runs, routes_of, unlearned_classes
from cmdiad.runtime.bundle.parameters import RouteName, ScoreName
from cmdiad.training.runs.record import read_run

SETTINGS = CalibrationSettings(false_reject_rate=0.2, coreset_ratio=0.01)


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


def test_a_class_that_the_run_never_saw_is_named_for_what_was_trained(
    synth_data: Path, trained_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(synth_data / "gland", tmp_path / "data" / "cookie")
    with pytest.warns(UserWarning, match="F2F") as told:
        evaluation = evaluated(tmp_path / "data", trained_run, ["single", "f2f"], [], ["map"])
    (said,) = [sentence for sentence in evaluation.warnings if "trained on" in sentence]
    assert "was trained on gland, and not on cookie: " in said and said.startswith("F2F")
    assert said in [str(warning.message) for warning in told]


def test_what_is_trained_on_the_class_or_not_at_all_or_published_is_not_doubted(trained_run: Path) -> None:
    run = read_run(trained_run)[1]
    other, known = Path("data/cookie"), Path("data/gland")
    assert unlearned_classes(run, "f2f", "pc", [known]) == []
    assert unlearned_classes(run, "dual", "pc", [other]) == []
    assert unlearned_classes(msgspec.structs.replace(run, classes=[]), "f2f", "pc", [other]) == []
    assert len(unlearned_classes(run, "f2f", "pc", [known, other])) == 1
