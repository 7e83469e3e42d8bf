"""Explicit int8: quantize-dequantize pairs around the matrix products with constant weights, symmetric throughout.

Activations have one scale a tensor, weights one an output channel, which is what TensorRT takes. Products of two
activations stay as they are. Layers that cost the most accuracy are left out, by measurement.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...calibration.ranges import LEVELS
from ...runtime.engines.session import OnnxSession
from .output_error import output_error

# Products over fewer terms stay in fp32: they cost next to nothing, and coordinates need their digits.
LEAST_TERMS = 16
# The relative error (L2) of a network's output that layers are left out for, and the largest share of them.
ENOUGH = 0.0025
LARGEST_SHARE = 0.45

Inputs = Mapping[str, npt.NDArray[Any]]


def quantizable(model: bytes) -> list[onnx.NodeProto]:
    """The matrix products with a constant right-hand side, except thin ones."""
    graph = onnx.load_model_from_string(model).graph
    shapes = {
        tensor.name: list(tensor.dims) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT
    }
    return [
        node
        for node in graph.node
        if node.op_type == "MatMul"
        and len(shapes.get(node.input[1], ())) == 2
        and shapes[node.input[1]][0] >= LEAST_TERMS
    ]


def int8_from_onnx(model: bytes, ranges: Mapping[str, float], quantized: Collection[str]) -> bytes:
    """Write a float32 graph with quantize-dequantize pairs.

    Args:
        model: the graph.
        ranges: for the left-hand side of every quantized product the magnitude that int8 reaches to.
        quantized: names of the products.
    """
    proto = onnx.load_model_from_string(model)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    added: dict[str, onnx.TensorProto] = {}
    written: set[str] = set()
    for node in proto.graph.node:
        if node.name in quantized:
            activation, weight = node.input
            if activation not in written:
                nodes += _quantize_activation(activation, ranges[activation], added)
                written.add(activation)
            if weight not in written:
                nodes.append(_quantize_weight(weights[weight], added))
                written.add(weight)
            node.input[:] = [f"{activation}/int8_restored", f"{weight}/int8_restored"]
        nodes.append(node)
    replace_nodes(proto.graph, nodes, added.values())
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto], added: Iterable[onnx.TensorProto]) -> None:
    """Give a graph other nodes and more constants; constants that no node takes any longer are dropped."""
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *added])


def choose_layers(model: bytes, ranges: Mapping[str, float], samples: Sequence[Inputs]) -> list[str]:
    """The products to quantize: all, or all but those that cost the most, until the output's error is `ENOUGH`.

    A layer is a weight: products that share one, as the slices of a group encoder do, stay or go together.

    Args:
        model: a float32 graph.
        ranges: see `int8_from_onnx`.
        samples: its inputs on real scans.
    """
    layers: dict[str, list[str]] = {}
    for node in quantizable(model):
        layers.setdefault(node.input[1], []).append(node.name)
    exact = [OnnxSession(model).run(sample) for sample in samples]

    def error(quantized: Collection[str]) -> float:
        return output_error(int8_from_onnx(model, ranges, _products(layers, quantized)), samples, exact)

    if error(layers) <= ENOUGH:
        return _products(layers, layers)
    costly = sorted(layers, key=lambda layer: error([layer]), reverse=True)
    most, left_out = int(LARGEST_SHARE * len(layers)), 1
    while left_out < most and error(costly[left_out:]) > ENOUGH:
        left_out *= 2
    return _products(layers, costly[min(left_out, most) :])


def _products(layers: Mapping[str, Sequence[str]], chosen: Collection[str]) -> list[str]:
    """Names of the products of some layers, in the graph's order of layers."""
    return [product for layer, products in layers.items() if layer in chosen for product in products]


def _quantize_activation(name: str, limit: float, added: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    scale, zero, codes = f"{name}/int8_scale", f"{name}/int8_zero", f"{name}/int8"
    added[scale] = numpy_helper.from_array(np.array(max(limit, 1e-12) / LEVELS, np.float32), scale)
    added[zero] = numpy_helper.from_array(np.array(0, np.int8), zero)
    return [
        helper.make_node("QuantizeLinear", [name, scale, zero], [codes], f"{name}/quantize"),
        helper.make_node("DequantizeLinear", [codes, scale, zero], [f"{name}/int8_restored"], f"{name}/dequantize"),
    ]


def _quantize_weight(weight: onnx.TensorProto, added: dict[str, onnx.TensorProto]) -> onnx.NodeProto:
    values = numpy_helper.to_array(weight).astype(np.float64)
    scales = np.maximum(np.abs(values).max(axis=0), 1e-12) / LEVELS
    codes = np.clip(np.rint(values / scales), -LEVELS, LEVELS).astype(np.int8)
    names = [f"{weight.name}/int8", f"{weight.name}/int8_scale", f"{weight.name}/int8_zero"]
    for name, array in zip(names, (codes, scales.astype(np.float32), np.zeros(len(scales), np.int8)), strict=True):
        added[name] = numpy_helper.from_array(array, name)
    output = f"{weight.name}/int8_restored"
    return helper.make_node("DequantizeLinear", names, [output], f"{weight.name}/dequantize", axis=1)
