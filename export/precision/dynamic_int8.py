"""The int8 network of the CPU: weights are int8 by channel, activations are quantized as they come.

It needs no calibration, and its operators are ONNX Runtime's own (`DynamicQuantizeLinear` and `MatMulInteger`,
fused): it runs on the CPU provider and nowhere else.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...calibration.ranges import LEVELS
from ...runtime.engines.onnxruntime_import import import_onnxruntime
from .int8 import LEAST_TERMS

# Of keys that are all zero.
LEAST_SCALE = 1e-30


def dynamic_int8_from_onnx(model: bytes) -> bytes:
    """Quantize the matrix products of a float32 graph that have a constant right-hand side, and attention's scores.

    Attention's other product stays in float32: its probabilities span more orders of magnitude than eight bits hold.

    Args:
        model: a graph of `onnx_from_module`.

    Returns:
        The graph after ONNX Runtime's hardware-independent fusions, so that a session opens without them.
    """
    import_onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(model)
    _quantize_scores(proto.graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        # It advises to optimize first; these graphs leave nothing to do, and fusions are for afterwards.
        logging.disable(logging.WARNING)
        try:
            quantize_dynamic(
                proto,
                path,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_thin_products(proto.graph),
                extra_options={"WeightSymmetric": True, "MatMulConstBOnly": True},
            )
        finally:
            logging.disable(logging.NOTSET)
        return _fused(path)


def _quantize_scores(graph: onnx.GraphProto) -> None:
    """Quantize the products of two activations that a softmax takes: queries with a zero point, keys symmetrically."""
    constants = {tensor.name for tensor in graph.initializer}
    taken_by_softmax = {name for node in graph.node if node.op_type == "Softmax" for name in node.input}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        scores = node.op_type == "MatMul" and node.output[0] in taken_by_softmax and not constants & set(node.input)
        nodes += _quantized_scores(node) if scores else [node]
    if len(nodes) == len(graph.node):
        return
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(0, np.int8), "key_zero"),
            numpy_helper.from_array(np.array(1 / LEVELS, np.float32), "key_step"),
            numpy_helper.from_array(np.array(LEAST_SCALE, np.float32), "key_least_scale"),
        ]
    )
    del graph.node[:]
    graph.node.extend(nodes)


def _quantized_scores(product: onnx.NodeProto) -> list[onnx.NodeProto]:
    """query @ key by integers; the scales are taken from the tensors as they come."""
    query, key = product.input
    made = product.name

    def node(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, outputs, f"{outputs[0]}/{operator}", **attributes)

    return [
        node("DynamicQuantizeLinear", [query], [f"{made}/query", f"{made}/query_scale", f"{made}/query_zero"]),
        node("Abs", [key], [f"{made}/key_abs"]),
        node("ReduceMax", [f"{made}/key_abs"], [f"{made}/key_limit"], keepdims=0),
        node("Mul", [f"{made}/key_limit", "key_step"], [f"{made}/key_range"]),
        node("Max", [f"{made}/key_range", "key_least_scale"], [f"{made}/key_scale"]),
        node("QuantizeLinear", [key, f"{made}/key_scale", "key_zero"], [f"{made}/key"]),
        node("MatMulInteger", [f"{made}/query", f"{made}/key", f"{made}/query_zero", "key_zero"], [f"{made}/codes"]),
        node("Cast", [f"{made}/codes"], [f"{made}/float_codes"], to=onnx.TensorProto.FLOAT),
        node("Mul", [f"{made}/query_scale", f"{made}/key_scale"], [f"{made}/scale"]),
        node("Mul", [f"{made}/float_codes", f"{made}/scale"], [product.output[0]]),
    ]


def float_products(model: bytes) -> dict[str, int]:
    """How many matrix products of a quantized graph stay in float32, by operator."""
    graph = onnx.load_model_from_string(model).graph
    return dict(Counter(node.op_type for node in graph.node if node.op_type in ("MatMul", "FusedMatMul")))


def _fused(path: Path) -> bytes:
    """The graph after the fusions that every CPU has in common."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path.with_name("fused.onnx"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    model = onnx.load_model(options.optimized_model_filepath)
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded


def _thin_products(graph: onnx.GraphProto) -> list[str]:
    """Names of the matrix products with a constant of fewer than `LEAST_TERMS` rows."""
    thin = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2 and tensor.dims[0] < LEAST_TERMS}
    return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in thin]
