"""F2F has the paper's size, names and arithmetic."""

import numpy as np
import pytest
import torch
from cmdiad.training.routes.f2f import FeatureToFeature, Hallucinator
from scipy.special import erf


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


@pytest.mark.parametrize("main", ["pc", "rgb"])
def test_equals_the_formula(main):
    torch.manual_seed(0)
    network = FeatureToFeature(12, 8)
    weights = {name: value.detach().numpy().astype(np.float64) for name, value in network.named_parameters()}
    prefix, dim = ("xyz", 12) if main == "pc" else ("rgb", 8)
    features = np.random.default_rng(1).normal(size=(2, 5, dim)).astype(np.float32)
    x = features.astype(np.float64)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    x = x * weights[f"{prefix}_norm.weight"] + weights[f"{prefix}_norm.bias"]
    for layer in ("fc1", "fc2", "fc3"):
        name = f"{prefix}_mlp.mlp_module.0.{layer}"
        x = gelu(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"])
    actual = Hallucinator(network, main)(torch.from_numpy(features)).detach().numpy()
    np.testing.assert_allclose(actual, x, atol=1e-5)


def test_has_the_published_size_and_names():
    network = FeatureToFeature(768, 768)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["xyz_mlp.mlp_module.0.fc1.weight"] == (1920, 768)
    assert shapes["rgb_mlp.mlp_module.0.fc3.weight"] == (768, 1920)
    one_direction = sum(value.numel() for value in Hallucinator(network, "pc").parameters())
    assert one_direction == pytest.approx(6.642e6, rel=1e-3)
    small = FeatureToFeature(768, 384).state_dict()
    assert tuple(small["rgb_mlp.mlp_module.0.fc2.weight"].shape) == (960, 960)
