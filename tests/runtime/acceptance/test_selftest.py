"""The self-test passes where the bundle was made, and fails on whatever is not what was validated."""

import json
import subprocess
import sys
from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
from cmdiad.runtime.acceptance import selftest as selftest_module
from cmdiad.runtime.acceptance.golden import GoldenTensor, unseen_defect
from cmdiad.runtime.acceptance.selftest import compare_tensor, graphs_to_repeat, run_selftest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.errors import BundleError, UsageError

from ...forked_commands import run_command


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


def with_changed_weights(bundle, role, factor):
    """The network's bytes with its largest weight scaled."""
    model = onnx.load_model_from_string(bundle.read(f"{role}.onnx"))
    weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = onnx.numpy_helper.to_array(weight) * np.float32(factor)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    return model.SerializeToString()


def failed_stages(bundle):
    return [each.stage for each in run_selftest(bundle).comparisons if not each.passed]


@pytest.mark.parametrize("name", ["bundle", "bundle.cmdiad"])
def test_it_passes_where_the_bundle_was_made(bundle, tmp_path, name):
    rewrite_bundle(bundle, tmp_path / name, bundle.manifest, {})
    report = run_selftest(open_bundle(tmp_path / name))
    assert report.passed
    assert {each.case for each in report.comparisons} == {"normal", "highest"}
    assert max(each.difference for each in report.comparisons) == 0


@pytest.mark.parametrize(
    ("role", "first"), [("extractor", "extractor.tokens"), ("hallucinator", "hallucinator.hallucination")]
)
def test_a_swapped_network_with_matching_digests_fails_at_its_own_output(bundle, tmp_path, role, first):
    network = with_changed_weights(bundle, role, 1.05)
    rewrite_bundle(bundle, tmp_path / "b", bundle.manifest, {f"{role}.onnx": network})
    failed = failed_stages(open_bundle(tmp_path / "b"))
    assert failed[0] == first and "map" in failed


def test_a_changed_bank_fails_in_map_and_score_alone(bundle, tmp_path):
    rows = np.array(bundle.array("bank_main.npy"))
    rewrite_bundle(bundle, tmp_path / "b", bundle.manifest, {"bank_main.npy": rows[::-1].copy()})
    assert set(failed_stages(open_bundle(tmp_path / "b"))) >= {"map", "score"}
    assert not any("." in stage for stage in failed_stages(open_bundle(tmp_path / "b")))


def test_the_line_graph_is_tested_where_it_runs(bundle):
    """Its map, score and verdict, with the networks' own record; on the CPU inspections do not run it."""
    assert graphs_to_repeat(bundle, "cpu", "auto") == ["networks"]
    assert graphs_to_repeat(bundle, "cuda", "auto") == ["networks", "line"]
    report = run_selftest(bundle, graph="line")
    assert report.passed
    assert [each.stage for each in report.comparisons] == ["line map", "line score", "line verdict"] * 2


def test_a_changed_threshold_fails_the_verdict(bundle, tmp_path):
    calibration = bundle.manifest.calibration
    threshold = msgspec.structs.replace(calibration.threshold, value=0.0)
    manifest = msgspec.structs.replace(
        bundle.manifest, calibration=msgspec.structs.replace(calibration, threshold=threshold)
    )
    rewrite_bundle(bundle, tmp_path / "b", manifest, {})
    assert set(failed_stages(open_bundle(tmp_path / "b"))) == {"verdict"}


ENTRY = GoldenTensor(name="x.y", shape=(2, 3), scale=4.0, file="")
RECORDED = np.array([0, 1, 2, 3, 4, -4], np.float32)


@pytest.mark.parametrize(
    ("actual", "passes", "difference"),
    [
        (RECORDED.reshape(2, 3), True, 0.0),
        (RECORDED.reshape(2, 3) + np.float32(0.02), True, 0.005),
        (RECORDED.reshape(2, 3) + np.float32(0.06), False, 0.015),
        (RECORDED.reshape(3, 2), False, None),
        (np.full((2, 3), np.nan, np.float32), False, None),
        (np.full((2, 3), np.inf, np.float32), False, None),
        (None, False, None),
    ],
    ids=["same", "near", "far", "shape", "nan", "inf", "unseen"],
)
def test_tensors_are_compared_by_their_own_scale(actual, passes, difference):
    found = compare_tensor("normal", ENTRY, RECORDED, actual, 0.01)
    assert found.passed == passes
    assert found.difference == (None if difference is None else pytest.approx(difference, rel=1e-4))


def test_what_cannot_be_tested_is_said(bundle, exported_bundle):
    with pytest.raises(BundleError, match="golden"):
        run_selftest(open_bundle(exported_bundle))
    with pytest.raises(UsageError, match="abacus"):
        run_selftest(bundle, "abacus")


def selftest_fresh(*arguments, cwd):
    """In an interpreter that has imported nothing."""
    command = [sys.executable, "-c", "from cmdiad.cli.line import main; main()", "selftest", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def selftest(*arguments, cwd):
    return run_command("cmdiad-rt", "selftest", *arguments, cwd=cwd)


def test_the_command_prints_every_stage_and_answers_with_its_exit_code(bundle, calibrated_bundle, tmp_path):
    answer = selftest_fresh("--bundle", calibrated_bundle, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "PASSED" in answer.stdout and "extractor.tokens" in answer.stdout and "verdict" in answer.stdout
    network = with_changed_weights(bundle, "extractor", 1.05)
    rewrite_bundle(bundle, tmp_path / "b.cmdiad", bundle.manifest, {"extractor.onnx": network})
    answer = selftest("--bundle", "b.cmdiad", "--json", cwd=tmp_path)
    assert answer.returncode == 6
    found = json.loads(answer.stdout)
    assert found["passed"] is False and found["provider"] == "cpu"
    stages = {"case", "stage", "difference", "tolerance", "passed", "remark"}
    assert all(each.keys() == stages for each in found["comparisons"])
    assert selftest("--bundle", calibrated_bundle, "--provider", "cuda", cwd=tmp_path).returncode == 5
    assert selftest("--bundle", "nowhere", cwd=tmp_path).returncode == 4


def test_a_record_of_another_length_fails(bundle):
    found = compare_tensor("normal", ENTRY, RECORDED[:1], np.zeros((2, 3), np.float32), 1e9)
    assert not found.passed and found.difference is None and "elements" in found.remark


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_fails_and_the_report_stays_json(bundle, monkeypatch, score):
    original = selftest_module.replay

    def broken(*args):
        inspection, tensors = original(*args)
        return replace(inspection, score=score, is_defect=False), tensors

    monkeypatch.setattr(selftest_module, "replay", broken)
    report = run_selftest(bundle)
    failed = [each for each in report.comparisons if each.stage == "score"]
    assert not report.passed and all(not each.passed and each.difference is None for each in failed)
    assert all("recorded" in each.remark for each in failed)
    encoded = msgspec.json.encode(report.as_json())
    json.loads(encoded, parse_constant=pytest.fail)


def test_a_self_test_without_a_defect_says_that_it_shows_none(bundle):
    report = run_selftest(bundle)
    assert report.unseen.startswith("all golden scans are good parts, so the self-test never sees a DEFECT verdict")
    assert report.as_json()["unseen"] == report.unseen
    assert unseen_defect([False, True]) == ""
