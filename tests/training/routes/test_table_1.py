"""Every network has the size that Table 1 of the paper prints."""

import math

import pytest
import torch
from cmdiad.training.extractors.point_transformer import POINT_MAE_FULL, PointTransformer
from cmdiad.training.extractors.vit import timm_image_transformer
from cmdiad.training.routes.distillation import distillation
from torch.utils.flop_counter import FlopCounterMode

# As printed: millions of parameters, G "FLOPs". The figures are multiply-accumulates.
PRINTED = {
    "rgb_extractor": (85.204, 66.850),
    "pc_extractor": (21.825, 86.645),
    "f2f": (6.642, 20.819),
    "f2i": (3.015, 26.401),
    "i2f": (10.215, 32.175),
}
# The paper's counter took modules only: no attention products, no class token or position table.
ATTENTION = {"rgb_extractor": 2 * 12 * 785**2 * 768, "pc_extractor": 2 * 12 * 1024**2 * 384}
UNCOUNTED_PARAMETERS = {"rgb_extractor": 785 * 768 + 768}
# 512x512 over [global, local] is 256x512 a point here, and 256x512 once a group of 128 points.
SPLIT = {"pc_extractor": 256 * 512 * 1024 * (128 - 1)}


def built(name):
    with torch.device("meta"):
        if name == "rgb_extractor":
            return timm_image_transformer(), [torch.empty(1, 3, 224, 224)]
        if name == "pc_extractor":
            return PointTransformer(POINT_MAE_FULL), [torch.empty(1, 1024, 128, 3), torch.empty(1, 1024, 3)]
        route = distillation(name)
        network = route.one_direction(route.new("pc", 768, 768), "pc")
        return network, [torch.empty(1, 3, 224, 224) if name == "i2f" else torch.empty(1, 3136, 768)]


def count(network, inputs):
    """Parameters, and multiply-accumulates of one forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*inputs)
    return sum(value.numel() for value in network.parameters()), counter.get_total_flops() / 2


@pytest.mark.parametrize("name", PRINTED)
def test_sizes_are_the_papers(name, capsys):
    parameters, macs = count(*built(name))
    printed_parameters, printed_macs = PRINTED[name]
    as_counted = macs - ATTENTION.get(name, 0) + SPLIT.get(name, 0)
    with capsys.disabled():
        print(
            f"\n{name:14} parameters {parameters / 1e6:7.3f} M (paper {printed_parameters:7.3f}), "
            f"multiply-accumulates {macs / 1e9:7.3f} G, counted as the paper did {as_counted / 1e9:7.3f} G "
            f"(paper {printed_macs:7.3f})"
        )
    assert math.isclose(
        (parameters - UNCOUNTED_PARAMETERS.get(name, 0)) / 1e6,
        printed_parameters,
        rel_tol=5e-3 if name == "i2f" else 1e-3,
    )
    assert math.isclose(as_counted / 1e9, printed_macs, rel_tol=0.02)
