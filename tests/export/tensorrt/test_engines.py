"""Engines of a bundle's networks: built for every target, singly and together, and written beside what they are."""

from dataclasses import replace

import msgspec
import onnx
import pytest
from cmdiad.export.bundles import extractor_spec
from cmdiad.export.graphs import describe_network, onnx_from_module
from cmdiad.export.tensorrt.builder import EngineGraph, EngineSettings
from cmdiad.export.tensorrt.engines import EngineRequest, add_engines, parse_targets
from cmdiad.export.tensorrt.process import build_apart
from cmdiad.runtime.bundle.manifest import TensorRTEngine
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import write_bundle
from cmdiad.runtime.engines.flavor import FLAVORS
from cmdiad.runtime.engines.machine import this_machine
from cmdiad.runtime.engines.plan_check import read_header
from cmdiad.runtime.errors import EngineError, UsageError
from cmdiad.training.extractors.by_name import Extractor, weights_digest
from cmdiad.training.extractors.point_transformer import POINT_EMBEDDED, PointTransformer

from ...forked_commands import run_command

pytest.importorskip("tensorrt_rtx", reason="pip install 'cmdiad[tensorrt-rtx]'")

RTX = FLAVORS["tensorrt-rtx"]
FP32_TARGETS = tuple(target for target in RTX.targets if target not in RTX.fp16_only)
ALONE = (FP32_TARGETS[0], FP32_TARGETS[-1])


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        (["sm86"], [("sm86",)]),
        (["SM120, sm86,sm86"], [("sm86", "sm120")]),
        (["sm86", "sm89,sm75", "sm86"], [("sm86",), ("sm75", "sm89")]),
        ([], []),
    ],
)
def test_every_use_of_target_is_one_engine(typed, parsed):
    assert parse_targets(typed) == parsed


@pytest.mark.parametrize("typed", ["", "sm86,", "86", "sm8.6", "ampere"])
def test_what_is_no_target_is_refused(typed):
    with pytest.raises(UsageError, match=r"--target.*sm86,sm89"):
        parse_targets([typed])


@pytest.fixture(scope="module")
def bundle(exported_bundle, tmp_path_factory):
    """The exported bundle with two blocks in its extractor: the operators of eight, built in a third of the time."""
    network = PointTransformer(replace(POINT_EMBEDDED, depth=2, token_blocks=(0, 1))).eval()
    extractor = Extractor("embedded", "pc", network, POINT_EMBEDDED.grouping, weights_digest(network))
    model = onnx_from_module(network, extractor_spec(extractor))
    exported = open_bundle(exported_bundle)
    files = {name: exported.read(name) for name in exported.manifest.files} | {"extractor.onnx": model}
    networks = {**exported.manifest.networks, "extractor": describe_network(model, "extractor.onnx", "embedded")}
    path = tmp_path_factory.mktemp("small") / "bundle"
    write_bundle(path, msgspec.structs.replace(exported.manifest, networks=networks), files)
    return open_bundle(path)


@pytest.fixture(scope="module")
def with_engines(bundle, tmp_path_factory):
    """The oldest and the newest fp32 target by itself, and all of them in one engine, of both networks."""
    path = tmp_path_factory.mktemp("engines") / "bundle.cmdiad"
    request = EngineRequest("tensorrt-rtx", [*((target,) for target in ALONE), FP32_TARGETS])
    add_engines(bundle, path, request)
    return open_bundle(path)


@pytest.mark.slow
def test_engines_of_every_network_are_built_singly_and_together(with_engines, bundle):
    engines = with_engines.manifest.engines
    assert len(engines) == 2 * (len(ALONE) + 1)
    for engine in engines:
        header = read_header(with_engines.read(engine.file))
        assert (header.targets, header.version) == (engine.targets, engine.version)
        assert engine.graph_digest == bundle.manifest.files[f"{engine.role}.onnx"]
        assert engine.profiles.keys() == {tensor.name for tensor in bundle.manifest.networks[engine.role].inputs}
    sizes = {(e.role, len(e.targets)): len(with_engines.read(e.file)) for e in engines}
    for role in ("extractor", "hallucinator"):
        assert sizes[role, len(FP32_TARGETS)] < 1.1 * sizes[role, 1]


@pytest.mark.slow
def test_the_fused_line_graph_is_built_with_the_networks(bundle_with_engines):
    manifest = open_bundle(bundle_with_engines).manifest
    assert {engine.role for engine in manifest.engines} == {"extractor", "hallucinator", "line"}
    (line,) = (engine for engine in manifest.engines if engine.role == "line")
    assert line.graph_digest == manifest.files["line.onnx"]
    assert line.profiles["pooling"].max == [1, 3136, manifest.grouping.n_groups]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["extractor", "hallucinator"])
def test_fp16_networks_build_for_every_target_in_one_engine(bundle, role):
    """Turing too, which takes no fp32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    network = bundle.manifest.networks[role]
    fp16 = convert_float_to_float16(onnx.load_model_from_string(bundle.read(network.file)), keep_io_types=True)
    graph = EngineGraph(network, fp16.SerializeToString())
    flavor = FLAVORS["tensorrt-rtx"]
    built = build_apart(graph, role, flavor, EngineSettings(RTX.targets), this_machine())
    assert read_header(built.plan).targets == list(RTX.targets)


@pytest.mark.slow
def test_what_an_engine_is_and_what_its_builder_said_lie_beside_it(with_engines):
    engine = with_engines.manifest.engines[0]
    beside = with_engines.read(engine.file.replace(".engine", ".json"))
    assert msgspec.json.decode(beside, type=TensorRTEngine) == engine
    assert b"INFO: " in with_engines.read(engine.log)


@pytest.mark.slow
def test_the_plan_is_raw_and_the_networks_are_unchanged(with_engines, bundle):
    assert with_engines.read(with_engines.manifest.engines[0].file).startswith(b"vtrt")
    assert with_engines.read("extractor.onnx") == bundle.read("extractor.onnx")


@pytest.mark.slow
def test_building_again_replaces_and_adds(with_engines, tmp_path):
    path = tmp_path / "again"
    add_engines(with_engines, path, EngineRequest("tensorrt-rtx", [("sm80",), ("sm80", "sm86")]))
    again = open_bundle(path).manifest.engines
    assert len(again) == len(with_engines.manifest.engines) + 2
    assert len({engine.file for engine in again}) == len(again)


@pytest.mark.slow
def test_where_one_cannot_be_built_nothing_is_written(bundle, tmp_path):
    with pytest.raises(EngineError, match="FP32 GEMM"):
        add_engines(bundle, tmp_path / "b", EngineRequest("tensorrt-rtx", [("sm86",), ("sm75",)]))
    assert not list(tmp_path.iterdir())


def export(*arguments, cwd):
    return run_command("cmdiad", "export", *arguments, cwd=cwd)


@pytest.mark.slow
def test_the_command_builds_with_the_export_and_later_in_place(trained_run, tmp_path):
    engine = ["--engine", "tensorrt-rtx"]
    answer = export("--run", trained_run, "--out", "b.cmdiad", *engine, "--target", "sm86", cwd=tmp_path)
    assert answer.returncode == 0 and "extractor-tensorrt-rtx-sm86-fp32.engine" in answer.stdout, answer.stderr
    answer = export("--bundle", "b.cmdiad", *engine, "--target", "sm89,sm120", "-q", cwd=tmp_path)
    assert answer.returncode == 0 and answer.stderr == ""
    assert len(open_bundle(tmp_path / "b.cmdiad").manifest.engines) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "sm86"], 2, "--engine"),
        (["--engine", "tensorrt-rtx"], 2, "--target"),
        (["--engine", "openvino"], 2, "tensorrt-rtx"),
        (["--engine", "tensorrt-rtx", "--target", "sm87"], 2, "Jetson"),
        (["--engine", "tensorrt-rtx", "--target", "sm86", "--strip-weights"], 2, "without a GPU"),
        (["--engine", "tensorrt-rtx", "--target", "sm86", "--batch", "4"], 2, "three numbers"),
        (["--engine", "tensorrt"], 5, "pip install"),
    ],
)
def test_wrong_use_is_one_line(exported_bundle, tmp_path, arguments, code, words):
    if "tensorrt" in arguments:
        import importlib.util

        if importlib.util.find_spec("tensorrt"):
            pytest.skip("standard TensorRT is here")
    answer = export("--bundle", exported_bundle, "--out", "b", "-q", *arguments, cwd=tmp_path)
    assert answer.returncode == code and words in answer.stderr, answer.stderr
    assert len(answer.stderr.splitlines()) == 1
