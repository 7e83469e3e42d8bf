from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from cmdiad.export.graphs import GraphSpec, onnx_from_module
from cmdiad.export.precision.dynamic_int8 import dynamic_int8_from_onnx, float_products
from cmdiad.runtime.engines.session import OnnxSession
from torch import nn


def small_graph() -> bytes:
    """3 -> 64 -> 64 -> 8, one thin product and two that are quantized."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    return onnx_from_module(network, GraphSpec({"x": torch.randn(2, 9, 3)}, {"x": {0: "batch"}}, "y"))


@pytest.fixture(scope="module")
def models() -> tuple[bytes, bytes]:
    model = small_graph()
    return model, dynamic_int8_from_onnx(model)


def test_int8_stays_near_fp32_without_being_it(models: tuple[bytes, bytes]) -> None:
    feed = {"x": np.random.default_rng(0).standard_normal((5, 9, 3)).astype(np.float32)}
    exact, quantized = (OnnxSession(model).run(feed)["y"] for model in models)
    error = np.linalg.norm(quantized - exact) / np.linalg.norm(exact)
    assert 0 < error < 0.03


def test_weights_are_int8_but_for_products_with_coordinates(models: tuple[bytes, bytes]) -> None:
    weights = [tensor for tensor in onnx.load_model_from_string(models[1]).graph.initializer if len(tensor.dims) == 2]
    held = sorted((tuple(tensor.dims), tensor.data_type) for tensor in weights)
    assert held == [
        ((3, 64), onnx.TensorProto.FLOAT),
        ((64, 8), onnx.TensorProto.INT8),
        ((64, 64), onnx.TensorProto.INT8),
    ]


class SmallAttention(nn.Module):
    """Six tokens of 32 attend to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(32, 96, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(x).split(32, dim=-1)
        return (query @ key.transpose(1, 2)).softmax(dim=-1) @ value


def test_scores_of_attention_are_integer_products_and_what_they_weigh_is_not() -> None:
    torch.manual_seed(0)
    model = onnx_from_module(SmallAttention(), GraphSpec({"x": torch.randn(2, 6, 32)}, {"x": {0: "batch"}}, "y"))
    quantized = dynamic_int8_from_onnx(model)
    assert float_products(quantized) == {"MatMul": 1}
    feed = {"x": np.random.default_rng(0).standard_normal((3, 6, 32)).astype(np.float32)}
    exact, found = (OnnxSession(each).run(feed)["y"] for each in (model, quantized))
    assert 0 < np.linalg.norm(found - exact) / np.linalg.norm(exact) < 0.05
    assert np.isfinite(OnnxSession(quantized).run({"x": np.zeros((1, 6, 32), np.float32)})["y"]).all()


def test_products_that_stay_in_float32_are_counted(models: tuple[bytes, bytes]) -> None:
    assert float_products(models[1]) == {"MatMul": 1}


def test_the_same_graph_gives_the_same_bytes(models: tuple[bytes, bytes]) -> None:
    assert dynamic_int8_from_onnx(models[0]) == models[1]


def test_nothing_of_the_machine_is_in_the_graph(models: tuple[bytes, bytes]) -> None:
    assert b"/tmp" not in models[1]


def test_a_session_opens_with_fusions_done(models: tuple[bytes, bytes]) -> None:
    operators = [node.op_type for node in onnx.load_model_from_string(models[1]).graph.node]
    assert "DynamicQuantizeMatMul" in operators
    assert "MatMulInteger" not in operators
