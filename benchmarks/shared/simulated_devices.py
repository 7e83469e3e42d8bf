"""Devices, right and broken ones, that run a bundle's networks: the graphs are rewritten to compute as they do.

Each takes a graph that rounds as a right device does (`rounding_graph`) and gives another one, in float32 alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx
from onnx import TensorProto, helper

Device = Callable[[bytes], bytes]
Change = Callable[[onnx.NodeProto], Sequence[onnx.NodeProto] | None]

# What a device writes to memory, though it fuses what comes after it.
_WRITTEN = ("MatMul", "Gemm", "LayerNormalization", "Cast")
# Of half precision's sums: so many terms are added before the sum is rounded, in products of so many terms at least.
_EXACT_TERMS, _LEAST_TERMS = 2, 32


def right(model: bytes) -> bytes:
    """Every tensor is rounded to the type that it has."""
    return model


def fused(model: bytes) -> bytes:
    """What products and normalizations give is rounded; activations between them are not written, and so are exact."""
    makers = {output: node.op_type for node in onnx.load_model_from_string(model).graph.node for output in node.output}

    def change(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if not node.name.endswith("/round") or makers[node.input[0]] in _WRITTEN:
            return None
        return [helper.make_node("Identity", node.input, node.output)]

    def widened(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        source = f"{node.input[0].removesuffix('/half')}/exact" if node.name.endswith("/widen") else ""
        exact = source in makers and makers[source] not in _WRITTEN
        return [helper.make_node("Identity", node.input, node.output)] if exact else None

    return _rewritten(_rewritten(model, change), widened)


def bfloat16(model: bytes) -> bytes:
    """Eight bits are kept where half precision has eleven."""
    proto = onnx.load_model_from_string(model)
    for node in proto.graph.node:
        if node.name.endswith("/round"):
            node.attribute[0].i = TensorProto.BFLOAT16
    return proto.SerializeToString()


def tf32(model: bytes) -> bytes:
    """Products' operands keep ten bits, as half precision's do (the range of which these values do not leave)."""

    def change(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type not in ("MatMul", "Gemm"):
            return None
        nodes = []
        for place, operand in enumerate(list(node.input[:2])):
            node.input[place] = f"{node.output[0]}/operand{place}"
            nodes += _halved(operand, node.input[place])
        return [*nodes, node]

    return _rewritten(model, change)


def half_sums(model: bytes) -> bytes:
    """Products with weights add up in half precision, not in float32."""
    weights = {tensor.name: tensor for tensor in onnx.load_model_from_string(model).graph.initializer}

    def change(node: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            return None
        terms = weights[node.input[1]].dims[0]
        return _summed_in_pieces(node, terms // _EXACT_TERMS) if terms >= _LEAST_TERMS else None

    return _rewritten(model, change)


# Those that compute float32 graphs otherwise than a right device does.
WRONG_IN_FP32 = ("TF32", "half-precision sums")
DEVICES: Mapping[str, Device] = {
    "right": right,
    "right, fused": fused,
    "TF32": tf32,
    "half-precision sums": half_sums,
    "bfloat16": bfloat16,
}


def _summed_in_pieces(node: onnx.NodeProto, pieces: int) -> list[onnx.NodeProto]:
    """A product as the sum of products of `_EXACT_TERMS` terms, rounded after each addition."""
    name = node.output[0]
    left, right = ([f"{name}/{side}{number}" for number in range(pieces)] for side in ("left", "right"))
    nodes = [
        helper.make_node("Split", [node.input[0]], left, axis=-1, num_outputs=pieces),
        helper.make_node("Split", [node.input[1]], right, axis=0, num_outputs=pieces),
    ]
    total = ""
    for number in range(pieces):
        summed = f"{name}/product{number}"
        nodes.append(helper.make_node("MatMul", [left[number], right[number]], [summed]))
        if total:
            nodes.append(helper.make_node("Add", [total, summed], [f"{name}/sum{number}"]))
            summed = f"{name}/sum{number}"
        total = f"{name}/total{number}" if number < pieces - 1 else name
        nodes += _halved(summed, total)
    return nodes


def _halved(source: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Cast", [source], [f"{name}/low"], to=TensorProto.FLOAT16),
        helper.make_node("Cast", [f"{name}/low"], [name], to=TensorProto.FLOAT),
    ]


def _rewritten(model: bytes, change: Change) -> bytes:
    """A graph in which `change` says what stands in a node's place; None: the node stays."""
    proto = onnx.load_model_from_string(model)
    nodes = [stand_in for node in proto.graph.node for stand_in in change(node) or [node]]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return proto.SerializeToString()
