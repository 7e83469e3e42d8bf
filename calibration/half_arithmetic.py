"""What a graph of half precision computes on a device with that precision, shown on a CPU.

ONNX Runtime's CPU provider computes half precision in float32 and rounds little of it. A GPU multiplies halves, sums in
float32 and rounds every tensor that it writes: so do the graphs that are written here, in float32 alone.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_HALVES = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})


def exact_graph(model: bytes) -> bytes:
    """The graph, with its own weights, that computes in float32; the same bytes where nothing is in half precision."""
    return _in_float32(model, rounded=False)


def rounding_graph(model: bytes) -> bytes:
    """A graph that computes in float32 and rounds every tensor to the half precision that it has in the given one.

    Args:
        model: an ONNX file, whose inputs and outputs are float32.

    Returns:
        The same bytes where nothing of it is in half precision.
    """
    return _in_float32(model, rounded=True)


def _in_float32(model: bytes, rounded: bool) -> bytes:
    proto = onnx.load_model_from_string(model)
    kinds = _half_tensors(proto)
    if not kinds:
        return model
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        _widen(node)
        nodes.append(node)
        if rounded:
            nodes += [cast for place in range(len(node.output)) for cast in _rounding(node, place, kinds)]
    weights = [_widened(tensor) for tensor in proto.graph.initializer]
    del proto.graph.node[:], proto.graph.initializer[:], proto.graph.value_info[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(weights)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def _half_tensors(model: onnx.ModelProto) -> dict[str, int]:
    """The half-precision type of every tensor that is computed in one, by name."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    return {name: kind for name, kind in kinds.items() if kind in _HALVES}


def _rounding(node: onnx.NodeProto, place: int, kinds: dict[str, int]) -> list[onnx.NodeProto]:
    """The casts that round one output of a node under its own name; none where it is not in half precision."""
    name = node.output[place]
    if name not in kinds:
        return []
    node.output[place] = f"{name}/exact"
    return [
        helper.make_node("Cast", [f"{name}/exact"], [f"{name}/half"], f"{name}/round", to=kinds[name]),
        helper.make_node("Cast", [f"{name}/half"], [name], f"{name}/widen", to=TensorProto.FLOAT),
    ]


def _widen(node: onnx.NodeProto) -> None:
    """Let a node compute in float32 what it computes in half precision."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            attribute.t.CopyFrom(_widened(attribute.t))
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _HALVES:
            attribute.i = TensorProto.FLOAT


def _widened(tensor: onnx.TensorProto) -> onnx.TensorProto:
    if tensor.data_type not in _HALVES:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
