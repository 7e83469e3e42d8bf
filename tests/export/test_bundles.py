"""Exported graphs compute what torch does, always as the same bytes, and say nothing of this machine."""

import zipfile

import numpy as np
import onnx
import pytest
import torch
from cmdiad.export import bundles
from cmdiad.export.bundles import export_bundle, hallucinator_spec
from cmdiad.export.graphs import OPSET, describe_network, onnx_from_module
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import UsageError
from cmdiad.training.routes.distillation import distillation
from cmdiad.training.routes.f2f import FeatureToFeature, Hallucinator

EXPECTED_NETWORKS = {
    ("f2f", "pc"): {"extractor", "hallucinator"},
    ("single", "pc"): {"extractor"},
    ("dual", "pc"): {"extractor", "second_extractor"},
    ("f2f", "rgb"): {"extractor", "hallucinator"},
}


@pytest.mark.parametrize(("route", "main"), EXPECTED_NETWORKS)
def test_a_route_brings_its_networks(route_bundle, route, main):
    bundle = open_bundle(route_bundle(route, main))
    manifest = bundle.manifest
    assert manifest.networks.keys() == EXPECTED_NETWORKS[route, main]
    inputs = [tensor.name for tensor in manifest.networks["extractor"].inputs]
    assert inputs == (["groups", "centers"] if main == "pc" else ["image"])
    for network in manifest.networks.values():
        model = onnx.load_model_from_string(bundle.read(network.file))
        assert model.opset_import[0].version == OPSET
        operators = {node.op_type for node in model.graph.node}
        assert not operators & {"Loop", "Scan", "If"}
        assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)


def test_the_same_run_gives_the_same_bytes(exported_bundle, trained_run, tmp_path, monkeypatch):
    # Neither this process nor the user's cache has the graphs.
    monkeypatch.setattr(bundles, "_GRAPHS", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    manifest = export_bundle(trained_run, "f2f", "pc", tmp_path / "again.cmdiad")
    assert manifest == open_bundle(tmp_path / "again.cmdiad").manifest
    with zipfile.ZipFile(tmp_path / "again.cmdiad") as again:
        for name in ("manifest.json", "extractor.onnx", "hallucinator.onnx"):
            assert again.read(name) == (exported_bundle / name).read_bytes()


def test_nothing_of_this_machine_is_in_the_graphs(exported_bundle):
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[2]).encode()
    for file in exported_bundle.iterdir():
        content = file.read_bytes()
        assert root not in content and b"site-packages" not in content


def test_batch_and_patches_are_free():
    torch.manual_seed(0)
    network = Hallucinator(FeatureToFeature(24, 16), "pc").eval()
    session = OnnxSession(onnx_from_module(network, hallucinator_spec(distillation("f2f"), network)))
    for shape in ((1, 1, 24), (1, 1250, 24), (3, 7, 24)):
        features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        expected = network(torch.from_numpy(features)).detach().numpy()
        np.testing.assert_allclose(session.run({"features": features})["hallucination"], expected, atol=1e-5)


def test_a_graph_describes_itself():
    network = Hallucinator(FeatureToFeature(24, 16), "pc")
    spec = hallucinator_spec(distillation("f2f"), network)
    entry = describe_network(onnx_from_module(network, spec), "hallucinator.onnx", "f2f")
    assert entry.parameters == sum(value.numel() for value in network.parameters())
    assert [(t.name, t.shape, t.dtype) for t in entry.inputs] == [("features", ["batch", "patches", 24], "float32")]
    assert [(t.name, t.shape[-1]) for t in entry.outputs] == [("hallucination", 16)]


def test_a_run_without_f2f_weights_is_said_plainly(trained_run, tmp_path):
    import shutil

    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    (copy / "f2f.safetensors").unlink()
    with pytest.raises(UsageError, match="no F2F weights"):
        export_bundle(copy, "f2f", "pc", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
