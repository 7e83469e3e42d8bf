"""A network's graph: what it computes, and that exporting leaves the network as it was."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from cmdiad.export.graphs import GraphSpec, exported_program, onnx_from_module
from torch import Tensor, nn

SPEC = GraphSpec({"image": torch.zeros(2, 3, 8, 8)}, {"image": {0: "batch"}}, "tokens")


class Clipping(nn.Sequential):
    """Convolutions whose activations overwrite what they are given."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU6(inplace=True), nn.Conv2d(4, 2, 3), nn.ReLU(inplace=True))


class Unexportable(Clipping):
    """Branches on what it computes."""

    def forward(self, image: Tensor) -> Tensor:
        raised: Tensor = super().forward(image)
        return raised if float(raised.sum()) > 0 else -raised


def test_activations_that_overwrite_their_input_are_one_operator_each_and_the_network_keeps_them() -> None:
    torch.manual_seed(0)
    network = Clipping().eval()
    encoded = onnx_from_module(network, SPEC)
    operators = [node.op_type for node in onnx.load_model_from_string(encoded).graph.node]
    assert operators == ["Conv", "Clip", "Conv", "Relu"]
    assert [module.inplace for module in network if not isinstance(module, nn.Conv2d)] == [True, True]
    images = torch.randn(5, 3, 8, 8) * 10
    (tokens,) = onnxruntime.InferenceSession(encoded).run(None, {"image": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(tokens, network(images.clone()).numpy(), atol=1e-5)


def test_a_program_names_its_nodes_as_the_graph_does() -> None:
    network = Clipping().eval()
    named = {node.name for node in exported_program(network, SPEC).graph.nodes}
    graph = onnx.load_model_from_string(onnx_from_module(network, SPEC)).graph
    assert {output for node in graph.node for output in node.output} - {"tokens"} <= named


def test_a_network_that_cannot_be_exported_is_left_as_it_was() -> None:
    network = Unexportable().eval()
    with pytest.raises(Exception, match="data-dependent"):
        exported_program(network, SPEC)
    assert [module.inplace for module in network if not isinstance(module, nn.Conv2d)] == [True, True]
