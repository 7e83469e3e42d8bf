"""I2F is HRNet's high-resolution branch, of the paper's size."""

import pytest
import torch
from cmdiad.training.routes.i2f import InputToFeature, branch_width
from torch.nn import functional


def transcription(weights, x):
    """The specification line by line, in float64, taking the weights in the order in which they are met."""
    left = [value.double() for name, value in weights.items() if "num_batches" not in name]

    def conv(x, stride=1):
        weight = left.pop(0)
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)

    def norm(x):
        scale, shift, mean, var = (left.pop(0)[:, None, None] for _ in range(4))
        return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift

    x = norm(conv(x.double(), 2)).relu()
    x = norm(conv(x, 2)).relu()
    for block in range(4):
        y = norm(conv(x)).relu()
        y = norm(conv(y)).relu()
        y = norm(conv(y))
        x = (y + (norm(conv(x)) if block == 0 else x)).relu()
    x = norm(conv(x)).relu()
    for _ in range((1 + 4 + 3) * 4):
        y = norm(conv(x)).relu()
        x = (norm(conv(y)) + x).relu()
    weight, bias = left
    return (functional.conv2d(x, weight) + bias[:, None, None]).flatten(2).transpose(1, 2)


@pytest.mark.parametrize(("width", "dim"), [(16, 96), pytest.param(128, 768, marks=pytest.mark.slow)])
def test_equals_the_specification(width, dim):
    torch.manual_seed(0)
    network = InputToFeature(width, dim).eval()
    with torch.no_grad():
        for name, value in network.named_buffers():
            if name.endswith(("mean", "var")):
                value.uniform_(0.5, 1.5)
        sensed = torch.randn(1, 3, 224, 224)
        actual = network(sensed).double()
        expected = transcription(network.state_dict(), sensed)
    assert actual.shape == (1, 3136, dim)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(("main", "dim", "width"), [("pc", 768, 128), ("rgb", 768, 192), ("pc", 96, 16)])
def test_the_branch_has_the_papers_width_at_the_papers_dimension(main, dim, width):
    assert branch_width(main, dim) == width
