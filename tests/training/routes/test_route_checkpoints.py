"""CMDIAD's published route checkpoints, and our own, are told apart by their names and load wholly."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from cmdiad.runtime.errors import WeightsError
from cmdiad.training.routes.f2f import FeatureToFeature
from cmdiad.training.routes.f2i import FeatureToInput
from cmdiad.training.routes.i2f import InputToFeature
from cmdiad.training.routes.route_checkpoints import open_route_checkpoint
from safetensors.torch import save_file

CHECKPOINT_KEYS = Path(__file__).resolve().parents[4] / "shared" / "paper" / "checkpoint_keys.json"
NETWORKS = {
    "f2f": lambda: FeatureToFeature(24, 16),
    "f2i": lambda: FeatureToInput(48),
    "i2f": lambda: InputToFeature(8, 24),
}


def published(tmp_path, weights):
    torch.save({"model": weights, "epoch": 64, "args": argparse.Namespace(lr=5e-4)}, tmp_path / "MTFI.pth")
    return tmp_path / "MTFI.pth"


def same(network, weights):
    ours = network.state_dict()
    return ours.keys() == weights.keys() and all(torch.equal(ours[name], weights[name]) for name in ours)


@pytest.mark.parametrize("route", NETWORKS)
def test_a_route_is_told_by_its_names_and_loads_in_both_forms(tmp_path, route):
    torch.manual_seed(0)
    weights = NETWORKS[route]().state_dict()
    save_file(weights, tmp_path / "own.safetensors")
    for file in (published(tmp_path, weights), tmp_path / "own.safetensors"):
        told, network = open_route_checkpoint(file)
        assert told.name == route and same(network, weights) and not network.training


def test_f2i_has_a_norm_that_is_left_alone(tmp_path):
    weights = FeatureToInput(48).state_dict()
    file = published(tmp_path, weights | {"norm.weight": torch.ones(48), "norm.bias": torch.ones(48)})
    assert same(open_route_checkpoint(file)[1], weights)


@pytest.mark.parametrize("entry", ["f2f ViT-B (MTFI_FtoF_*.pth)", "f2f ViT-S", "f2i (MTFI_FtoI_*.pth)"])
def test_a_file_with_the_published_names_and_shapes_loads(tmp_path, entry):
    if not CHECKPOINT_KEYS.exists():
        pytest.skip("the list of published checkpoint keys (../shared/paper) is not here")
    described = json.loads(CHECKPOINT_KEYS.read_text())[entry]["tensors"]
    weights = {name: torch.full(shape, float(number % 5)) for number, (name, shape) in enumerate(described.items())}
    route, network = open_route_checkpoint(published(tmp_path, weights))
    assert route.name == entry[:3]
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_what_is_missing_or_too_much_is_named(tmp_path):
    weights = FeatureToFeature(24, 16).state_dict()
    weights["rgb_mlp.mlp_module.1.fc1.weight"] = weights.pop("rgb_norm.bias")
    with pytest.raises(WeightsError, match=r"missing rgb_norm\.bias; unexpected rgb_mlp\.mlp_module\.1\.fc1\.weight"):
        open_route_checkpoint(published(tmp_path, weights))
    with pytest.raises(WeightsError, match="belong to no route"):
        open_route_checkpoint(published(tmp_path, {"fc.weight": torch.zeros(2)}))


def test_a_width_that_no_memory_holds_is_refused_before_the_network_is_made(tmp_path):
    weights = FeatureToFeature(24, 16).state_dict()
    weights["xyz_norm.weight"] = torch.zeros(1).expand(10**9)
    with pytest.raises(WeightsError, match="1000000000 wide"):
        open_route_checkpoint(published(tmp_path, weights))
