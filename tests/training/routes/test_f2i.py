"""F2I has the paper's size, names and arithmetic."""

import numpy as np
import pytest
import torch
from cmdiad.training.routes.f2i import FeatureToInput
from torch.nn import functional

# The published checkpoint's tensors, but for its unused LayerNorm.
PUBLISHED = {
    "conv1.weight": (384, 768, 3, 3),
    "conv2.weight": (96, 384, 3, 3),
    "conv3.weight": (32, 96, 3, 3),
    "conv4.weight": (3, 32, 3, 3),
}


def keys_cubic(size, grid, a=-0.75):
    """(size, grid) bicubic weights with half-pixel centers and the border repeated (Keys 1981)."""
    matrix = np.zeros((size, grid))
    for row in range(size):
        position = (row + 0.5) * grid / size - 0.5
        first = int(np.floor(position))
        for tap in range(first - 1, first + 3):
            x = abs(position - tap)
            if x <= 1:
                weight = (a + 2) * x**3 - (a + 3) * x**2 + 1
            else:
                weight = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
            matrix[row, min(max(tap, 0), grid - 1)] += weight
    return torch.from_numpy(matrix)


def transcription(weights, features):
    """The specification line by line, in float64."""
    w = {name: value.double() for name, value in weights.items()}

    def conv(x, name):
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    x = features.double().transpose(1, 2).reshape(len(features), -1, 56, 56)
    upsample = keys_cubic(224, 56)
    x = upsample @ conv(x, "conv1") @ upsample.T
    return conv(conv(conv(x, "conv2").relu(), "conv3").relu(), "conv4")


@pytest.mark.parametrize("dim", [96, pytest.param(768, marks=pytest.mark.slow)])
def test_equals_the_specification(dim):
    torch.manual_seed(0)
    network = FeatureToInput(dim)
    features = torch.randn(1, 3136, dim)
    with torch.no_grad():
        actual = network(features).double()
        expected = transcription(network.state_dict(), features)
    assert actual.shape == (1, 3, 224, 224)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def test_patches_are_row_by_row():
    """A lone patch changes the hallucination around its own place."""
    torch.manual_seed(0)
    network = FeatureToInput(48)
    features = torch.zeros(1, 3136, 48)
    background = network(features)
    features[0, 10 * 56 + 40] = 1.0
    changed = (network(features) - background).abs().sum(dim=1)[0] > 1e-7
    rows, columns = torch.nonzero(changed, as_tuple=True)
    assert (rows.min() + rows.max()) / 2 == 4 * 10 + 1.5
    assert (columns.min() + columns.max()) / 2 == 4 * 40 + 1.5


def test_has_the_published_names_and_shapes():
    shapes = {name: tuple(value.shape) for name, value in FeatureToInput(768).state_dict().items()}
    assert {name: shape for name, shape in shapes.items() if name.endswith("weight")} == PUBLISHED
    assert shapes.keys() == PUBLISHED.keys() | {name.replace("weight", "bias") for name in PUBLISHED}
