"""Evaluation reports each class and route, with metrics that an independent computation confirms."""

import json

import numpy as np
import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.evaluate import Scored, evaluate_dataset, measure, measure_defects
from cmdiad.export.bundles import export_bundle
from cmdiad.runtime.bundle import open_bundle

FIELDS = {"class", "route", "main", "i_auroc", "p_auroc", "aupro", "aupro_001", "n_test"}


def test_every_route_is_evaluated_on_the_same_parts(trained_run, synth_data, tmp_path):
    bundles = []
    for route in ("single", "f2f", "dual"):
        export_bundle(trained_run, route, "pc", tmp_path / route)
        bundles.append(open_bundle(tmp_path / route))
    settings = CalibrationSettings(coreset_ratio=0.01)
    evaluation = evaluate_dataset(synth_data, [], bundles, settings, "cpu", lambda *_: None)
    rows = json.loads(evaluation.as_json())["rows"]
    assert [row["route"] for row in rows] == ["single", "f2f", "dual"]
    assert all(row.keys() == FIELDS and row["n_test"] == 7 and row["class"] == "gland" for row in rows)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("i_auroc", "p_auroc", "aupro", "aupro_001"))
    assert len({row["p_auroc"] for row in rows}) == 3
    headers, table = evaluation.by_defect()
    assert headers[2:] == ["contamination", "crack", "dent", "missing_piece", "worn_texture"]
    assert len(table) == 3


def test_metrics_are_those_of_scikit_learn(exported_bundle):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    defects = ["good"] * 6 + ["dent"] * 3 + ["crack"] * 3
    masks = np.zeros((12, 224, 224), bool)
    masks[6:, 50:80, 60:90] = True
    maps = (rng.random(masks.shape) + 0.3 * masks).astype(np.float32)
    scores = rng.random(12)
    scored = Scored(scores, defects, maps, masks)
    row = measure("part", open_bundle(exported_bundle).manifest, scored)
    labels = np.array([name != "good" for name in defects])
    assert row.i_auroc == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert row.p_auroc == pytest.approx(metrics.roc_auc_score(masks.ravel(), maps.ravel()))
    by_defect = measure_defects(scored)
    chosen = [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert by_defect["dent"] == pytest.approx(metrics.roc_auc_score(labels[chosen], scores[chosen]))
