"""The fused line graph says what the NumPy runtime says, for every route, bank and part."""

from dataclasses import replace

import msgspec
import numpy as np
import onnx
import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.calibrated_bundle import calibrate_bundle
from cmdiad.calibration.line_graph import checking as line_graph_check
from cmdiad.calibration.line_graph.building import line_graph, obstacle
from cmdiad.calibration.line_graph.checking import check_line_graph, reference
from cmdiad.calibration.line_graph.graph_writing import GraphWriter, encode_model
from cmdiad.calibration.parity import read_report
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import BundleError, EngineError, ParityError, UsageError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.line_graph import DATA, LINE, LineGraph
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import modalities, route_of
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.sensor.find import find_scans
from cmdiad.runtime.stream import inspect_stream
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


@pytest.fixture(scope="module")
def extractor(bundle):
    return FeatureExtractor(bundle)


@pytest.fixture(scope="module")
def networks(bundle):
    return {role: bundle.read(network.file) for role, network in bundle.manifest.networks.items()}


@pytest.fixture(scope="module")
def scans(synth_data):
    return sorted((synth_data / "gland" / "test").glob("*/xyz/*.tiff"))


def prepared(bundle, scan):
    return prepare_file(scan, modalities(bundle.manifest), bundle.manifest.preprocessing)


def compared(manifest, decision, model, extractor, part):
    """The graph's outputs, and the runtime's answer."""
    (content,) = encode_model(model, LINE).values()
    line = LineGraph.on_host(manifest, OnnxSession(content), decision)
    answer, outputs = line.run(part, StageTimes()), line.outputs(part)
    outputs |= {"score": np.float32(answer.score), "map": answer.map}
    expected = reference(manifest, extractor, decision, part)
    for name, tensor in expected.tensors.items():
        actual = outputs[name]
        if name.startswith("distance"):
            actual = actual.ravel()[expected.foreground]
        # Unit vectors in float32: half their squared difference is known to about 1e-7.
        floor = 1e-7 if decision.main.bank.metric == "cosine" else 0.0
        np.testing.assert_allclose(actual, tensor, rtol=1e-4, atol=1e-3 * np.abs(tensor).max() + floor, err_msg=name)
    return outputs, expected


def test_it_is_in_the_bundle_and_says_what_the_runtime_says(calibrated_bundle, scans):
    by_networks = Inspector.load(calibrated_bundle, graph="networks")
    by_line = Inspector.load(calibrated_bundle, graph="line")
    for scan in scans:
        expected, actual = by_networks(scan), by_line(scan)
        assert actual.score == pytest.approx(expected.score, rel=1e-4)
        assert actual.is_defect == expected.is_defect
        np.testing.assert_allclose(actual.map, expected.map, atol=1e-3 * expected.map.max())
        assert "line" in actual.seconds and "search" not in actual.seconds


def test_it_finds_the_same_rows_and_none_where_there_is_no_part(bundle, extractor, networks, scans):
    decision = Decision.load(bundle)
    model = line_graph(bundle.manifest, networks, decision)
    same = total = 0
    for scan in scans[:3]:
        part = prepared(bundle, scan)
        outputs, expected = compared(bundle.manifest, decision, model, extractor, part)
        features = extractor.extract(part, StageTimes())
        nearest = decision.main.bank.search(decision.main.normalize(features.main)).index
        index = outputs["index_main"]
        assert (index[~expected.foreground] == -1).all()
        assert (outputs["distance_main"].ravel()[~expected.foreground] == 0).all()
        same, total = same + (index[expected.foreground] == nearest).sum(), total + len(nearest)
    assert same >= 0.999 * total


def test_operators_are_standard_and_the_batch_is_free(bundle, networks):
    model = onnx.load_model_from_string(bundle.read(LINE))
    assert not {node.op_type for node in model.graph.node} & {"Loop", "Scan", "If"}
    assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)
    assert {value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input} == {"batch"}


def test_parts_of_a_batch_do_not_touch_each_other(bundle, scans):
    session = OnnxSession(bundle.read(LINE))
    line = LineGraph.on_host(bundle.manifest, session, Decision.load(bundle))
    parts = [prepared(bundle, scan) for scan in scans[:2]]
    both = line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())
    for answer, part in zip(both, parts, strict=True):
        alone = line.run(part, StageTimes())
        assert answer.score == pytest.approx(alone.score, rel=1e-4)
        np.testing.assert_allclose(answer.map, alone.map, atol=1e-3 * alone.map.max())


def test_scans_in_batches_get_the_verdicts_of_single_scans(calibrated_bundle, scans, tmp_path):
    single = Inspector.load(calibrated_bundle, graph="line")
    together = Inspector.load(calibrated_bundle, graph="line", batch=2)
    broken = tmp_path / "broken.tiff"
    broken.write_bytes(b"not a scan")
    files = [scans[0], broken, *scans[1:]]
    results = list(inspect_stream(together, files, tmp_path / "out"))
    assert [result.scan for result in results] == files and results[1].error is not None
    for result in (outcome for outcome in results if outcome.inspection is not None):
        alone = single(result.scan)
        assert result.inspection.score == pytest.approx(alone.score, rel=1e-4)
        assert result.inspection.seconds.keys() == {*alone.seconds, "write"}
    parts = [together.read(scan) for scan in scans[:2]]
    both = together.finish_batch(parts)
    assert both[0].seconds["line"] == both[1].seconds["line"]


def test_only_the_line_graph_takes_batches(calibrated_bundle):
    with pytest.raises(EngineError, match="--graph line"):
        Inspector.load(calibrated_bundle, batch=2)


@pytest.mark.parametrize("rows", [1, 2, 7, 60])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_any_bank_in_any_number_of_slices(bundle, extractor, networks, scans, monkeypatch, rows, metric):
    monkeypatch.setattr("cmdiad.calibration.line_graph.bank_slices.SLICE_ROWS", 7)
    part = prepared(bundle, scans[0])
    dims = extractor.extract(part, StageTimes())
    rng = np.random.default_rng(rows)
    banks = [
        NormalizedBank(build_bank(rng.normal(size=(rows, dim)).astype(np.float32), metric), 0.1, 0.7)
        for dim in (dims.main.shape[1], dims.second.shape[1])
    ]
    decision = Decision(*banks, Decision.load(bundle).fusion)
    compared(bundle.manifest, decision, line_graph(bundle.manifest, networks, decision), extractor, part)


def test_it_compares_what_is_averaged_over_neighborhoods(bundle, extractor, networks, scans):
    alone = Decision.load(bundle)
    decision = replace(alone, neighborhood=3)
    model = line_graph(bundle.manifest, networks, decision)
    for scan in scans[:2]:
        part = prepared(bundle, scan)
        outputs, _ = compared(bundle.manifest, decision, model, extractor, part)
        assert outputs["score"] != pytest.approx(alone.judge(extractor.extract(part, StageTimes()))[0], rel=1e-3)
    # A batch of parts of different sizes.
    (content,) = encode_model(model, LINE).values()
    line = LineGraph.on_host(bundle.manifest, OnnxSession(content), decision)
    parts = [prepared(bundle, scan) for scan in scans[:2]]
    both = line.run_batch([line.ready(part, StageTimes()) for part in parts], StageTimes())
    for answer, part in zip(both, parts, strict=True):
        assert answer.score == pytest.approx(line.run(part, StageTimes()).score, rel=1e-4)


@pytest.mark.parametrize("score", ["map", "top5"])
@pytest.mark.parametrize("n_banks", [1, 2])
def test_it_has_the_score_that_the_bundle_asks_for(bundle, extractor, networks, scans, n_banks, score):
    by_paper, manifest, part = Decision.load(bundle), bundle.manifest, prepared(bundle, scans[0])
    if n_banks == 1:
        by_paper, manifest = Decision(by_paper.main, None, None), msgspec.structs.replace(manifest, route="single")
    decision = replace(by_paper, score=score)
    outputs, _ = compared(manifest, decision, line_graph(manifest, networks, decision), extractor, part)
    assert outputs["score"] != pytest.approx(by_paper.judge(extractor.extract(part, StageTimes()))[0], rel=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "main"), [("single", "pc"), ("dual", "pc"), ("dual", "rgb"), ("f2f", "rgb"), ("single", "rgb")]
)
def test_every_route_has_one(route_bundle, synth_data, tmp_path, route, main):
    good = synth_data / "gland" / "train" / "good"
    scans = (sorted((good / "rgb").glob("*.png")) if main == "rgb" and route != "dual" else find_scans([good]))[:3]
    settings = CalibrationSettings(coreset_ratio=0.02)
    manifest = calibrate_bundle(open_bundle(route_bundle(route, main)), scans, settings, tmp_path / "bundle").manifest
    assert [value.name for value in manifest.line_graph.inputs] == [
        tensor.name for tensor in route_of(route, main).line_inputs(manifest.grouping)
    ]
    for graph in ("networks", "line"):
        assert Inspector.load(tmp_path / "bundle", graph=graph)(scans[1]).score > 0


@pytest.mark.slow
def test_a_half_precision_bundle_has_one_too(exported_bundle, trained_run, synth_data, tmp_path):
    from cmdiad.export.bundles import reduce_bundle
    from cmdiad.export.export_settings import ExportSettings

    reduce_bundle(exported_bundle, tmp_path / "b", trained_run, ExportSettings(precision="fp16"))
    scans = find_scans([synth_data / "gland" / "train" / "good"])[:3]
    calibrate_bundle(open_bundle(tmp_path / "b"), scans, CalibrationSettings(coreset_ratio=0.02), tmp_path / "b")
    checks = [check for check in read_report(open_bundle(tmp_path / "b")).tensors if check.stage == "line"]
    assert checks and all(check.passed for check in checks)


def test_what_cannot_be_a_graph_is_said(bundle, networks):
    decision = Decision.load(bundle)
    f2i = msgspec.structs.replace(bundle.manifest, route="f2i", main="rgb")
    assert "F2I" in obstacle(f2i, decision)
    l1 = NormalizedBank(build_bank(np.eye(8, dtype=np.float32), "l1"), 0.0, 1.0)
    with pytest.raises(UsageError, match=r"l1.*--no-line-graph"):
        line_graph(bundle.manifest, networks, Decision(l1, None, None))


def change_a_bank(model):
    """Every second row, by half a standard deviation in one of its dimensions."""
    rows = next(tensor for tensor in model.graph.initializer if tensor.name == "bank_main/rows")
    values = onnx.numpy_helper.to_array(rows).copy()
    values[::2, 3] += 0.5
    rows.CopyFrom(onnx.numpy_helper.from_array(values, rows.name))


def lose_a_center(model):
    """The slices of a bank lie around their centers; one of them is forgotten."""
    center = next(tensor for tensor in model.graph.initializer if tensor.name == "bank_main/screen_0/center")
    center.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(center)), center.name))


def checked(bundle, extractor, decision, model, scans):
    threshold = bundle.manifest.calibration.threshold.value
    line = LineGraph.on_host(bundle.manifest, OnnxSession(model.SerializeToString()), decision)
    return check_line_graph(line, bundle.manifest, extractor, decision, threshold, scans[:2])


def nearly_equal(decision, extractor, part):
    """Banks of features that differ by a hundredth of their norm: no distance has more than four digits."""
    features = extractor.extract(part, StageTimes())
    banks = []
    for bank, rows in ((decision.main, features.main), (decision.second, features.second)):
        offset = 100.0 * np.linalg.norm(bank.normalize(rows), axis=1).mean() / np.sqrt(rows.shape[1])
        mean = bank.feature_mean - bank.feature_std * float(offset)
        normalized = (rows - np.float32(mean)) / np.float32(bank.feature_std)
        banks.append(NormalizedBank(build_bank(normalized[::3]), mean, bank.feature_std))
    return Decision(*banks, decision.fusion)


@pytest.mark.parametrize("alike", [False, True], ids=["calibrated", "nearly equal features"])
@pytest.mark.parametrize("damage", [change_a_bank, lose_a_center])
def test_a_right_graph_passes_and_a_wrong_one_is_caught(bundle, extractor, networks, scans, monkeypatch, alike, damage):
    monkeypatch.setattr("cmdiad.calibration.line_graph.bank_slices.SLICE_ROWS", 100)
    decision = Decision.load(bundle)
    if alike:
        decision = nearly_equal(decision, extractor, prepared(bundle, scans[-1]))
    model = line_graph(bundle.manifest, networks, decision)
    report = checked(bundle, extractor, decision, model, scans)
    assert report.passed, report.as_text()
    damage(model)
    with pytest.raises(ParityError, match=r"distance_main.*of the features' norm"):
        checked(bundle, extractor, decision, model, scans).require()


def crowded(decision, extractor, part):
    """Banks in which every row of a part has many neighbors that half precision cannot tell from it."""
    features, rng, banks = extractor.extract(part, StageTimes()), np.random.default_rng(0), []
    for bank, rows in ((decision.main, features.main), (decision.second, features.second)):
        own = bank.normalize(rows[::40])
        near = np.repeat(own, 60, axis=0)
        near += rng.normal(0, 2e-4, near.shape).astype(np.float32)
        crowd = rng.permutation(np.concatenate([own, near]))
        banks.append(NormalizedBank(build_bank(crowd), bank.feature_mean, bank.feature_std))
    return Decision(*banks, decision.fusion)


def test_searches_that_the_graph_cannot_prove_are_compared_as_the_line_concludes_them(
    bundle, extractor, networks, scans
):
    part = prepared(bundle, scans[0])
    decision = crowded(Decision.load(bundle), extractor, part)
    model = line_graph(bundle.manifest, networks, decision)
    line = LineGraph.on_host(bundle.manifest, OnnxSession(model.SerializeToString()), decision)
    raw, settled = line.outputs(part), line.settled_outputs(part)
    expected = reference(bundle.manifest, extractor, decision, part)
    unproven = raw["again_main"][: expected.foreground.sum()] != 0
    errors = {
        name: np.abs(outputs["distance_main"].ravel()[expected.foreground] - expected.tensors["distance_main"])
        for name, outputs in (("raw", raw), ("settled", settled))
    }
    allowed = 5e-6 * expected.norms["distance_main"] + 1e-4 * expected.tensors["distance_main"]
    assert (errors["raw"] > allowed).any() and not (errors["raw"] > allowed)[~unproven].any()
    assert not (errors["settled"] > allowed).any()
    assert checked(bundle, extractor, decision, model, scans).passed


def test_the_check_takes_the_same_of_several_things_for_the_part_as_the_line(
    exported_bundle, synth_data, tmp_path, monkeypatch
):
    asked = []

    def prepare(scan, measured, preprocessing, expected=None):
        asked.append(expected)
        return prepare_file(scan, measured, preprocessing, expected)

    monkeypatch.setattr(line_graph_check, "prepare_file", prepare)
    normal = find_scans([synth_data / "gland" / "train" / "good"])[:3]
    settings = CalibrationSettings(coreset_ratio=0.005)
    done = calibrate_bundle(open_bundle(exported_bundle), normal, settings, tmp_path / "b", with_line_graph=True)
    assert asked == [done.manifest.calibration.part] * 3 and None not in asked


def test_a_bundle_without_one_says_how_to_get_it(calibrated_bundle, exported_bundle, synth_data, tmp_path):
    scans = find_scans([synth_data / "gland" / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    calibrate_bundle(open_bundle(calibrated_bundle), scans, settings, tmp_path / "b", with_line_graph=False)
    assert not (tmp_path / "b" / LINE).exists()
    with pytest.raises(BundleError, match="--line-graph"):
        Inspector.load(tmp_path / "b", graph="line")


def one_node(node, opsets):
    """A network from x to y of one node."""
    x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 4]) for name in "xy")
    imports = [onnx.helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    graph = onnx.helper.make_graph([node], "g", [x], [y])
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=10).SerializeToString()


def test_domains_of_operators_are_carried_over_where_they_are_used():
    gelu = onnx.helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")
    every = {"": 20, "com.microsoft": 1, "ai.onnx.ml": 5}
    graph = GraphWriter()
    (first,) = graph.inline(one_node(onnx.helper.make_node("Relu", ["x"], ["y"]), {"ai.onnx": 20}), "a", {"x": "x"})
    (second,) = graph.inline(one_node(gelu, every), "b", {"x": first})
    graph.op("Identity", second, name="y")
    value = onnx.helper.make_tensor_value_info
    (content,) = encode_model(graph.model("g", [value("x", 1, ["n", 4])], [value("y", 1, ["n", 4])]), LINE).values()
    opsets = {opset.domain: opset.version for opset in onnx.load_model_from_string(content).opset_import}
    assert opsets == {"": 20, "com.microsoft": 1}
    x = np.array([[-1.0, 0.0, 1.0, 2.0]], np.float32)
    kept = np.maximum(x, 0)
    np.testing.assert_allclose(OnnxSession(content).run({"x": x})["y"], kept / (1 + np.exp(-1.702 * kept)), rtol=1e-5)


def test_operator_sets_of_two_versions_do_not_mix():
    relu, graph = onnx.helper.make_node("Relu", ["x"], ["y"]), GraphWriter()
    graph.inline(one_node(relu, {"": 20}), "a", {"x": "x"})
    with pytest.raises(BundleError, match=r"operator sets.*21.*export the bundle again"):
        graph.inline(one_node(relu, {"": 21}), "b", {"x": "x"})


def test_large_weights_lie_in_a_file_of_their_own():
    graph = GraphWriter()
    graph.opsets = {"": 20}
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    graph.op("Add", graph.op("MatMul", "x", graph.constant(weight)), graph.constant(1.0), name="y")
    value = onnx.helper.make_tensor_value_info
    model = graph.model("g", [value("x", 1, ["n", 3])], [value("y", 1, ["n", 4])])
    files = encode_model(model, LINE, external_bytes=16)
    assert files.keys() == {LINE, DATA}
    x = np.ones((2, 3), np.float32)
    outputs = OnnxSession(files[LINE], external={DATA: files[DATA]}).run({"x": x})
    np.testing.assert_array_equal(outputs["y"], x @ weight + 1)
