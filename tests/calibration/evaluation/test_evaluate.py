"""Evaluation reports each class and route, with metrics that an independent computation confirms."""

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.evaluation.contenders import Candidate, Contender, settled_contenders
from cmdiad.calibration.evaluation.evaluate import defect_masks, evaluate_dataset, has_masks, in_whole_scan
from cmdiad.calibration.evaluation.outcomes import Scored, choose_examples, measure, measure_defects
from cmdiad.calibration.evaluation.report_tables import as_json, threshold_table
from cmdiad.runtime.bundle.parameters import Preprocessing, Threshold
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ScanError, UsageError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.preparation.frame import Frame
from cmdiad.runtime.sensor.dataset import GOOD, Sample, find_samples
from cmdiad.runtime.sensor.find import find_scans
from PIL import Image

FIELDS = {"class", "route", "main", "i_auroc", "p_auroc", "aupro", "aupro_001", "n_test", "scored_by"}
DEFECTS = ["contamination", "crack", "dent", "missing_piece", "worn_texture"]
# Five scans are enough for this rate, so that no threshold is extrapolated.
RATE = 0.2
SETTINGS = CalibrationSettings(RATE, 0.01)
OTHER_SETTINGS = dataclasses.replace(SETTINGS, score="map", neighborhood=3)


def silent(*_):
    pass


@pytest.fixture(scope="module")
def candidates(route_bundle):
    return [
        Candidate(name, open_bundle(route_bundle(route, main)), SETTINGS)
        for name, route, main in (
            ("single", "single", "pc"),
            ("f2f", "f2f", "pc"),
            ("dual", "dual", "pc"),
            ("image", "single", "rgb"),
        )
    ]


@pytest.fixture(scope="module")
def evaluation(candidates, synth_data):
    larger = dataclasses.replace(candidates[1], name="larger", settings=CalibrationSettings(RATE, 0.02))
    other = dataclasses.replace(candidates[1], name="other", settings=OTHER_SETTINGS)
    return evaluate_dataset(synth_data, [], [*candidates, larger, other], "cpu", silent)


def test_every_candidate_is_evaluated_on_the_same_parts(evaluation):
    content = json.loads(as_json(evaluation))
    rows = content["rows"]
    assert content["warnings"] == []
    assert [(row["route"], row["main"], row["scored_by"]) for row in rows] == [
        ("single", "pc", "paper"),
        ("f2f", "pc", "paper"),
        ("dual", "pc", "paper"),
        ("single", "rgb", "paper"),
        ("f2f", "pc", "paper"),
        ("f2f", "pc", "map"),
    ]
    assert all(row.keys() == FIELDS and row["n_test"] == 7 and row["class"] == "gland" for row in rows)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("i_auroc", "p_auroc", "aupro", "aupro_001"))
    assert len({row["p_auroc"] for row in rows}) == 6
    assert [row["defect"] for row in content["defects"][:5]] == DEFECTS


def test_another_sensors_preprocessing_holds_and_is_not_decided_anew(exported_bundle, synth_data):
    told = Preprocessing(plane="never", pad_multiple=50)
    candidate = Candidate("told", open_bundle(exported_bundle), SETTINGS, told)
    with pytest.warns(UserWarning, match="preprocessing.plane=never was given"):
        (settled,) = settled_contenders(
            [Contender(candidate, None)], find_samples(synth_data / "gland", "train", GOOD), silent
        )
    assert settled.manifest.preprocessing == told


def test_it_scores_a_part_as_the_calibrated_bundle_does(candidates, evaluation, synth_data, tmp_path):
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    other = dataclasses.replace(candidates[1], name="other", settings=OTHER_SETTINGS)
    for candidate in (candidates[1], candidates[2], other):
        calibrate_bundle(candidate.bundle, scans, candidate.settings, tmp_path / candidate.name, with_line_graph=False)
        inspector = Inspector.load(tmp_path / candidate.name)
        (outcome,) = evaluation.of(candidate.name)
        assert outcome.threshold.value == pytest.approx(inspector.threshold)
        for sample, score in list(zip(find_samples(synth_data / "gland", "test"), outcome.scores, strict=True))[::3]:
            assert inspector(sample.scan).score == pytest.approx(score, rel=1e-5)


def test_a_candidate_does_not_depend_on_those_beside_it(candidates, evaluation, synth_data):
    (alone,) = evaluate_dataset(synth_data, [], [candidates[2]], "cpu", silent).outcomes
    (among,) = evaluation.of("dual")
    assert alone.row == among.row
    np.testing.assert_array_equal(alone.scores, among.scores)


def test_the_time_of_shared_work_is_booked_to_every_candidate(evaluation):
    stages = {name: set(evaluation.of(name)[0].milliseconds) for name in ("single", "f2f", "dual")}
    everyone = {"read", "preprocess", "group", "extract", "pool", "search", "score", "total"}
    assert stages == {"single": everyone, "f2f": everyone | {"hallucinate"}, "dual": everyone}
    extraction = [evaluation.of(name)[0].milliseconds["extract"] for name in ("single", "f2f")]
    assert extraction[0] == extraction[1]


def scored_example():
    rng = np.random.default_rng(0)
    samples = [Sample(Path("000.tiff"), None, None, name) for name in ["good"] * 6 + ["dent"] * 3 + ["crack"] * 3]
    masks = np.zeros((12, 224, 224), bool)
    masks[6:, 50:80, 60:90] = True
    maps = (rng.random(masks.shape) + 0.3 * masks).astype(np.float32)
    return Scored(
        samples, rng.random(12), maps, masks, [{"extract": 0.1, "score": 0.2}] * 12, [[]] * 11 + [["twice the size"]]
    )


def threshold(value):
    return Threshold(
        value=value,
        false_reject_rate=0.1,
        method="order-statistic",
        n_scans=20,
        rate_low=0.0,
        rate_high=0.2,
        scans_needed=9,
    )


def measured(bundle, scored, value=0.5):
    thresholds = threshold(value), threshold(1.0)
    return measure("part", "f2f", open_bundle(bundle).manifest, scored, None, thresholds, 1000)


def test_metrics_are_those_of_scikit_learn(exported_bundle):
    metrics = pytest.importorskip("sklearn.metrics")
    scored = scored_example()
    row = measured(exported_bundle, scored).row
    labels = scored.defects != "good"
    assert row.i_auroc == pytest.approx(metrics.roc_auc_score(labels, scored.scores), abs=1e-9)
    assert row.p_auroc == pytest.approx(metrics.roc_auc_score(scored.masks.ravel(), scored.maps.ravel()), abs=1e-9)
    by_defect = measure_defects(scored.scores, scored.defects)
    chosen = [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert by_defect["dent"] == pytest.approx(metrics.roc_auc_score(labels[chosen], scored.scores[chosen]))


def test_verdicts_are_counted_at_the_threshold(exported_bundle):
    scored = scored_example()
    outcome = measured(exported_bundle, scored, value=float(np.median(scored.scores)))
    rejected = scored.scores > np.median(scored.scores)
    verdicts = outcome.verdicts
    assert (verdicts.n_good, verdicts.n_defective, verdicts.refused) == (6, 6, 1)
    assert verdicts.false_reject_rate == pytest.approx(rejected[:6].mean())
    assert verdicts.miss_rate == pytest.approx(1 - rejected[6:].mean())
    assert outcome.milliseconds == pytest.approx({"extract": 100.0, "score": 200.0, "total": 300.0})


def test_examples_are_the_clearest_hits_and_the_worst_mistakes():
    scored = scored_example()
    examples = choose_examples(scored, float(np.median(scored.scores)))
    for verdict, first in (("hit", max), ("miss", min), ("false alarm", max)):
        shown = [example.score for example in examples if example.verdict == verdict]
        assert 0 < len(shown) <= 12 and shown[0] == first(shown)
    assert all((example.sample.defect == "good") == (example.verdict == "false alarm") for example in examples)
    assert all((example.score > np.median(scored.scores)) == (example.verdict != "miss") for example in examples)


def test_a_dataset_without_masks_has_image_metrics_alone(candidates, synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    for folder in (tmp_path / "data").glob("*/test/*/gt"):
        shutil.rmtree(folder)
    (outcome,) = evaluate_dataset(tmp_path / "data", [], candidates[:1], "cpu", silent).outcomes
    assert 0 <= outcome.row.i_auroc <= 1 and outcome.pro is None
    assert [outcome.row.p_auroc, outcome.row.aupro, outcome.row.aupro_001] == [None, None, None]


def test_a_defect_without_a_mask_among_others_is_refused(synth_data):
    samples = find_samples(synth_data / "gland", "test")
    broken = [dataclasses.replace(sample, mask=None) if sample.defect == "dent" else sample for sample in samples]
    with pytest.raises(UsageError, match="the defect has no mask"):
        has_masks(broken)


def test_a_class_without_defective_parts_has_its_false_rejects_alone(candidates, synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    for folder in (tmp_path / "data").glob("*/test/*"):
        if folder.name != "good":
            shutil.rmtree(folder)
    evaluation = evaluate_dataset(tmp_path / "data", [], candidates[:1], "cpu", silent)
    (outcome,) = evaluation.outcomes
    assert outcome.row.i_auroc is outcome.row.p_auroc is outcome.row.aupro is outcome.roc is None
    assert outcome.by_defect == {} and outcome.verdicts.miss_rate is None
    assert outcome.verdicts.false_reject_rate == np.mean(outcome.scores > outcome.threshold.value)
    content = json.loads(as_json(evaluation))
    assert content["rows"][0]["i_auroc"] is None and content["defects"] == []
    assert [entry["part"] for entry in content["parts"]] == ["good/000", "good/001"]


def test_scans_that_are_learned_from_twice_or_tested_too_are_said_with_their_names(candidates, synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    folder = tmp_path / "data" / "gland"
    points = tifffile.imread(folder / "train" / "good" / "xyz" / "001.tiff")
    for split, name in (("train", "900"), ("test", "000")):
        scan = folder / split / "good" / "xyz" / f"{name}.tiff"
        tifffile.imwrite(scan, points.astype(np.float64), photometric="rgb", description="the same again")
        shutil.copy(folder / "train" / "good" / "rgb" / "001.png", folder / split / "good" / "rgb" / f"{name}.png")
    with pytest.warns(UserWarning) as told:
        evaluation = evaluate_dataset(tmp_path / "data", [], candidates[1:3], "cpu", silent)
    twice, tested = json.loads(as_json(evaluation))["warnings"]
    assert twice.startswith("gland: train/good/900 is the same scan as train/good/001: ")
    assert tested.startswith("gland: 1 of 7 test scans are among the normal scans too: test/good/000 (train/")
    assert [str(warning.message) for warning in told] == [twice, tested]


def test_a_class_without_good_test_parts_has_its_misses_alone(exported_bundle):
    scored = scored_example()
    bad = dataclasses.replace(
        scored,
        samples=scored.samples[6:],
        scores=scored.scores[6:],
        maps=scored.maps[6:],
        masks=scored.masks[6:],
        refusals=scored.refusals[6:],
    )
    outcome = measured(exported_bundle, bad)
    assert outcome.row.i_auroc is None and outcome.by_defect == {} and outcome.roc is None
    assert outcome.row.aupro is not None and outcome.verdicts.false_reject_rate is None


def test_a_part_outside_the_range_is_scored_and_said_to_be_refused(candidates, synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    scan = tmp_path / "data" / "gland" / "test" / "good" / "xyz" / "001.tiff"
    tifffile.imwrite(scan, 2 * tifffile.imread(scan), photometric="rgb")
    evaluation = evaluate_dataset(tmp_path / "data", [], candidates[:1], "cpu", silent)
    parts = {entry["part"]: entry["refusal"] for entry in json.loads(as_json(evaluation))["parts"]}
    refused = parts.pop("good/001")
    assert ": calibration saw" in refused and set(parts.values()) == {None}
    assert evaluation.outcomes[0].verdicts.refused == 1 and evaluation.outcomes[0].row.n_test == 7
    note = threshold_table(evaluation).note
    assert f"gland/test/good/001: {refused}" in note and "--allow-any-size" in note


def test_empty_masks_are_found_before_the_calibration(synth_data, tmp_path):
    shutil.copytree(synth_data, tmp_path / "data")
    mask = next((tmp_path / "data").glob("*/test/dent/gt/*.png"))
    Image.fromarray(np.zeros((224, 224), np.uint8)).save(mask)
    with pytest.raises(ScanError, match="marks nothing"):
        has_masks(find_samples(tmp_path / "data" / "gland", "test"))


def seen_mask(folder, mask):
    """What is left of the mask of one defective part, which is written first."""
    Image.fromarray(mask).save(folder / "mask.png")
    sample = Sample(folder / "000.tiff", None, folder / "mask.png", "dent")
    prepared = SimpleNamespace(frame=Frame.of(*mask.shape, pad_multiple=100, size=224))
    return defect_masks(sample, [prepared], prepared.frame)[0]


def test_a_map_of_a_window_lies_where_the_window_does_in_the_whole_scan():
    window = Frame.around(448, 448, (slice(100, 200), slice(200, 300)), side=224, size=224)
    whole = window.whole(pad_multiple=448)
    part = SimpleNamespace(frame=window, scan=object())
    rows = np.repeat(np.arange(224, dtype=np.float32)[:, None], 224, axis=1)
    seen = in_whole_scan(rows, part, whole)
    top, left = (150 - 112) // 2, (250 - 112) // 2
    # Of the window's rows every second is a row of the whole scan, which is sampled down by two.
    assert np.array_equal(seen[top : top + 112, left : left + 112], rows[::2, ::2])
    assert seen.sum() == rows[::2, ::2].sum()
    assert in_whole_scan(rows, SimpleNamespace(frame=whole, scan=None), whole) is rows


def test_a_defective_part_whose_mask_is_empty_is_named(tmp_path):
    with pytest.raises(ScanError, match=r"mask.png: marks nothing, but its part is labeled defective"):
        seen_mask(tmp_path, np.zeros((500, 500), np.uint8))


def test_a_defect_that_is_lost_only_when_the_mask_is_made_smaller_is_no_error(tmp_path):
    mask = np.zeros((500, 500), np.uint8)
    mask[1, 1] = 1
    assert not seen_mask(tmp_path, mask).any()
