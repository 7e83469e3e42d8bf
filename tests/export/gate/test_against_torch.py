"""The gate says no: to every kind of broken export, by the name of the layer, before anything is written."""

import functools
import json
import os
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.parity import (
    REPORT,
    TEXT,
    TOLERANCES,
    ParityReport,
    check_decisions,
    check_tensor,
    excess,
    read_report,
    scan_name,
)
from cmdiad.export import bundles
from cmdiad.export.bundles import export_bundle, reduce_bundle
from cmdiad.export.export_settings import ExportSettings
from cmdiad.runtime.acceptance.allowances import FP32 as STRICT
from cmdiad.runtime.acceptance.allowances import limits
from cmdiad.runtime.acceptance.selftest import run_selftest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import ParityError, UsageError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.training.runs.record import read_run, write_run
from onnx import numpy_helper

FP32 = TOLERANCES["fp32"]
# With five normal scans the threshold is uncertain by far more than int8 moves a score.
AT_THE_THRESHOLD = "one of seven parts scores at the threshold itself"


def perturb_a_weight(model):
    weights = [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2 and tensor.dims[0] >= 32]
    values = numpy_helper.to_array(weights[len(weights) // 2]).copy()
    values[3, 5] += 0.5
    weights[len(weights) // 2].CopyFrom(numpy_helper.from_array(values, weights[len(weights) // 2].name))
    return "linear"  # the product and its bias; the exporter names the sum


def normalize_wrongly(model):
    node = next(node for node in model.graph.node if node.op_type == "LayerNormalization")
    for attribute in node.attribute:
        if attribute.name == "epsilon":
            attribute.f = 0.1
    return "LayerNormalization"


@pytest.mark.parametrize("damage", [perturb_a_weight, normalize_wrongly])
def test_a_broken_export_is_caught_and_the_layer_named(trained_run, tmp_path, monkeypatch, damage):
    original = bundles.exported
    kinds = []

    def broken(module, spec):
        model = onnx.load_model_from_string(original(module, spec))
        if spec.output == "tokens":
            kinds.append(damage(model))
        return model.SerializeToString()

    monkeypatch.setattr(bundles, "exported", broken)
    with pytest.raises(ParityError, match=r"extractor's tokens differs.*first off: (\w+)") as caught:
        export_bundle(trained_run, "single", "pc", tmp_path / "bundle")
    assert kinds[0] in str(caught.value).split("first off: ")[1]
    assert caught.value.exit_code == 6
    assert not (tmp_path / "bundle").exists()


def test_a_swapped_axis_is_caught(trained_run, tmp_path, monkeypatch):
    """Heads and tokens of an attention are exchanged where their transposition is undone."""
    original = bundles.exported

    def broken(module, spec):
        model = onnx.load_model_from_string(original(module, spec))
        swapped = [
            node for node in model.graph.node if node.op_type == "Transpose" and len(node.attribute[0].ints) == 4
        ]
        node = swapped[-1]
        perm = list(node.attribute[0].ints)
        node.attribute[0].ints[:] = [perm[0], perm[2], perm[1], perm[3]]
        del model.graph.value_info[:]
        return model.SerializeToString()

    monkeypatch.setattr(bundles, "exported", broken)
    with pytest.raises(ParityError, match=r"extractor's tokens"):
        export_bundle(trained_run, "single", "pc", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_reason_lets_it_pass_and_is_recorded(trained_run, tmp_path, monkeypatch):
    original = bundles.exported

    def broken(module, spec):
        model = onnx.load_model_from_string(original(module, spec))
        normalize_wrongly(model)
        return model.SerializeToString()

    monkeypatch.setattr(bundles, "exported", broken)
    settings = ExportSettings(accept="the old line has this epsilon")
    export_bundle(trained_run, "single", "pc", tmp_path / "b", settings=settings)
    report = read_report(open_bundle(tmp_path / "b"))
    assert not report.passed and report.accepted == "the old line has this epsilon"
    assert "the old line" in (tmp_path / "b" / "parity.txt").read_text()


def test_the_report_of_a_good_export_is_in_the_bundle(exported_bundle):
    report = read_report(open_bundle(exported_bundle))
    assert report.passed and not report.accepted
    compared = {(check.stage, check.tensor) for check in report.tensors}
    assert {("extractor", "tokens"), ("hallucinator", "hallucination")} <= compared
    assert all(check.largest <= 1e-4 and check.scans == 3 for check in report.tensors)


def test_without_scans_there_is_no_gate_and_no_bundle(trained_run, synth_data, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    _, run = read_run(copy)
    write_run(copy, msgspec.structs.replace(run, data="moved"))
    with pytest.raises(UsageError, match="--scans"):
        export_bundle(copy, "single", "pc", tmp_path / "bundle")
    settings = ExportSettings(scans=find_scans([synth_data / "gland" / "train" / "good"])[:1])
    export_bundle(copy, "single", "pc", tmp_path / "bundle", settings=settings)
    assert {check.scans for check in read_report(open_bundle(tmp_path / "bundle")).tensors} == {1}


@pytest.fixture(scope="module")
def reduced_bundle(calibrated_bundle, trained_run, tmp_path_factory):
    """precision -> the calibrated bundle in it, written once."""

    @functools.cache
    def reduced(precision):
        folder = tmp_path_factory.mktemp(precision) / "b"
        settings = ExportSettings(precision=precision, accept=AT_THE_THRESHOLD)
        manifest = reduce_bundle(calibrated_bundle, folder, trained_run, settings)
        assert manifest == open_bundle(folder).manifest
        return folder

    return reduced


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_a_calibrated_bundle_takes_another_precision(
    reduced_bundle, calibrated_bundle, trained_run, tmp_path, precision
):
    settings = ExportSettings(precision=precision, accept=AT_THE_THRESHOLD)
    folder = reduced_bundle(precision)
    bundle = open_bundle(folder)
    manifest = bundle.manifest
    assert run_selftest(bundle).passed
    on_gpu = limits(bundle, "cuda", line=False).of_stage("map")
    assert on_gpu > STRICT.map if precision == "fp16" else on_gpu == STRICT.map
    assert manifest.precision == precision
    networks = manifest.built_networks()
    assert {network.precision for network in networks.values()} == {precision}
    for role, network in networks.items():
        assert len(bundle.read(network.file)) < 0.7 * (calibrated_bundle / f"{role}.onnx").stat().st_size
    (decisions,) = [check for check in read_report(bundle).decisions if check.compared == f"{precision} against fp32"]
    assert decisions.passed and decisions.i_auroc_change is not None
    if precision == "fp16":
        with pytest.raises(UsageError, match="export it as fp32"):
            reduce_bundle(folder, tmp_path / "c", trained_run, settings)


@pytest.fixture(scope="module")
def int8_bundle(reduced_bundle):
    return open_bundle(reduced_bundle("int8"))


@pytest.mark.slow
def test_int8_comes_in_one_form_for_engines_and_one_for_the_cpu(int8_bundle):
    manifest = int8_bundle.manifest
    assert {network.file for network in manifest.networks.values()} == {"extractor.onnx", "hallucinator.onnx"}
    for networks, operator in (
        (manifest.engine_networks, "QuantizeLinear"),
        (manifest.run_networks("cpu"), "DynamicQuantizeMatMul"),
    ):
        for network in networks.values():
            nodes = onnx.load_model_from_string(int8_bundle.read(network.file)).graph.node
            assert operator in {node.op_type for node in nodes} and network.precision == "int8"
    assert manifest.run_networks("cuda") == manifest.networks
    report = read_report(int8_bundle)
    compared = {check.compared for check in (*report.tensors, *report.decisions) if "int8" in check.compared}
    assert compared == {"int8 against fp32", "int8 on the CPU against fp32"}


@pytest.mark.slow
def test_the_cpu_inspects_and_calibrates_with_its_own_int8_networks(
    int8_bundle, calibrated_bundle, synth_data, tmp_path
):
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    reduced, exact = (Inspector(bundle)(scans[0]).score for bundle in (int8_bundle, open_bundle(calibrated_bundle)))
    assert reduced != exact and reduced == pytest.approx(exact, rel=0.1)
    settings = CalibrationSettings(coreset_ratio=0.01)
    with pytest.raises(UsageError, match="--no-line-graph"):
        calibrate_bundle(int8_bundle, scans, settings, tmp_path / "line", with_line_graph=True)
    manifest = calibrate_bundle(int8_bundle, scans, settings, tmp_path / "bundle", with_line_graph=False).manifest
    assert manifest.line_graph is None and manifest.cpu_networks == int8_bundle.manifest.cpu_networks


def test_tensors_are_judged_by_both_tolerances():
    expected = np.array([[1.0, -100.0], [0.0, 2.0]], np.float32)
    assert excess(expected, expected, FP32) == (0, 0)
    largest, ratio = excess(expected + 0.011, expected, FP32)
    assert largest == pytest.approx(1.1e-4, rel=1e-3) and ratio > 1
    assert excess(np.where(expected == 2, np.nan, expected), expected, FP32)[1] == np.inf
    assert excess(expected[:1], expected, FP32)[1] == np.inf


def test_the_worst_scan_is_named():
    expected = np.ones(4, np.float32)
    pairs = {"a.tiff": (expected, expected), "b.tiff": (expected + 1e-2, expected)}
    check = check_tensor("x against y", "extractor", "tokens", pairs, FP32)
    assert check.worst == "b.tiff" and not check.passed
    with pytest.raises(ParityError, match=r"tokens.*b\.tiff"):
        ParityReport(tensors=[check]).require()


def test_a_flipped_verdict_fails_however_small_the_change():
    names = ["a", "b", "c", "d"]
    expected, actual = [0.1, 0.2, 0.9999999, 2.0], [0.1, 0.2, 1.0000001, 2.0]
    check = check_decisions("x against y", names, actual, expected, 1.0, FP32, labels=[0, 0, 1, 1])
    assert check.flipped == ["c"] and not check.passed
    assert check.rank_correlation == pytest.approx(1) and check.i_auroc_change == 0
    assert check_decisions("x", names, expected, expected, 1.0, FP32).passed


def test_of_few_scans_one_exchange_of_neighbors_is_allowed():
    check = check_decisions("x", list("abcd"), [0.1, 0.31, 0.3, 0.4], [0.1, 0.3, 0.31, 0.4], 1.0, TOLERANCES["int8"])
    assert check.rank_correlation == pytest.approx(0.8) and check.passed
    two = check_decisions("x", list("abcd"), [0.11, 0.1, 0.41, 0.4], [0.1, 0.11, 0.4, 0.41], 1.0, TOLERANCES["int8"])
    assert not two.passed


def test_one_exchanged_pair_passes_where_pairs_are_few_and_no_second():
    """Twenty scans well apart, and a normal and a defective one side by side, on the same side of the threshold."""
    expected = [*np.linspace(0.1, 0.3, 10), 0.5, 0.501, *np.linspace(0.6, 0.9, 10)]
    labels = [False] * 11 + [True] * 11
    exchanged = [*expected[:10], 0.501, 0.5, *expected[12:]]
    names = [str(number) for number in range(22)]
    check = check_decisions("x", names, exchanged, expected, 1.0, TOLERANCES["int8"], labels)
    assert check.i_auroc_change == pytest.approx(-1 / 121) and check.passed
    second = [*expected[:9], 0.503, 0.502, 0.501, 0.5, *expected[13:]]
    assert not check_decisions("x", names, second, expected, 1.0, TOLERANCES["int8"], labels).passed
    many = check_decisions("x", names * 10, exchanged * 10, expected * 10, 1.0, TOLERANCES["int8"], labels * 10)
    assert many.pairs == 12100 and not many.passed


def test_scores_that_are_equal_within_what_is_allowed_have_no_order():
    """Scans that are in the bank themselves score next to nothing, in an order that rounding decides."""
    noise, other = [1e-7, 2e-7, 0.0, 3e-7, 1.5e-7], [2e-7, 1e-7, 3e-7, 0.0, 1e-7]
    check = check_decisions("x", list("abcde"), noise, other, 1.0, FP32)
    assert check.rank_correlation is None and check.passed
    assert not check_decisions("x", list("abcde"), [0.5, *noise[1:]], other, 1.0, FP32).passed


def test_a_changed_order_and_a_lost_value_fail():
    names = ["a", "b", "c", "d"]
    order = check_decisions("x", names, [0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], 1.0, TOLERANCES["int8"])
    assert order.rank_correlation == pytest.approx(-1) and not order.passed
    assert not check_decisions("x", names, [np.nan, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], 1.0, TOLERANCES["int8"]).passed


def test_a_refusal_begins_with_what_is_over_its_limit_and_tells_every_limit():
    names = [f"{number}.tiff" for number in range(22)]
    expected = [*np.linspace(0.1, 0.3, 9), 0.5, 0.501, 0.502, 0.503, *np.linspace(0.6, 0.9, 9)]
    actual = [*expected[:9], 0.5, 0.503, 0.502, 0.501, *expected[13:]]
    check = check_decisions("x", names, actual, expected, 1.0, TOLERANCES["int8"], [False] * 11 + [True] * 11)
    report = ParityReport(decisions=[check])
    line = report.as_text()
    first = "FAIL x, decisions of 22 scans: I-AUROC change -0.0165 (allowed 0.0083, one of 121 pairs); "
    assert line.startswith(first)
    for within in ("no verdict flipped", "on 10.tiff (allowed 1e-01)", "(at least 0.9900)"):
        assert within in line
    with pytest.raises(ParityError, match=r"I-AUROC change -0\.0165 \(allowed.*nothing was written"):
        report.require()


def test_a_flipped_verdict_is_named_first():
    check = check_decisions("x", ["a", "b", "c"], [0.1, 0.2, 1.0001], [0.1, 0.2, 0.9999], 1.0, TOLERANCES["int8"])
    assert ParityReport(decisions=[check]).as_text().startswith("FAIL x, decisions of 3 scans: flipped: c; ")


@pytest.mark.parametrize("lost", ["score", "map"])
def test_of_labeled_scans_a_lost_value_is_a_refusal_that_names_the_scan(lost):
    names, scores, labels = list("abcd"), np.array([0.1, 0.2, 0.3, 0.4]), [False, False, True, True]
    expected_maps = [np.full((8, 8), score) for score in scores]
    masks = [np.pad(np.full((2, 2), label), 3) for label in labels]
    actual, maps = scores.copy(), [map_224.copy() for map_224 in expected_maps]
    if lost == "score":
        actual[2] = np.nan
    else:
        maps[2][0, 0] = np.inf
    check = check_decisions(
        "x", names, actual, scores, 1.0, TOLERANCES["fp16"], labels=labels, maps=(maps, expected_maps, masks)
    )
    with pytest.raises(ParityError, match="largest change of a score inf on c"):
        ParityReport(decisions=[check]).require()


def test_a_report_names_scans_whose_names_are_not_utf8():
    odd = scan_name(Path(os.fsdecode(b"good/xyz/part-\xff.tiff")))
    check = check_tensor("a", "b", "t", {odd: (np.ones(3, np.float32), np.zeros(3, np.float32))}, FP32)
    files = ParityReport(tensors=[check]).files()
    assert json.loads(files[REPORT])["tensors"][0]["worst"] == "good/xyz/part-\\xff.tiff"
    assert "good/xyz/part-\\xff.tiff" in files[TEXT].decode()
