"""Floating-point operations of a network, counted from the shapes that it really ran with.

ONNX Runtime's profiler tells the shapes of every operator's inputs and outputs, with graph optimizations off, so that
the operators are the file's own. Only matrix products and convolutions are counted: the rest is less than a hundredth.
Counting needs no metadata in the bundle and holds for any graph, fused or quantized.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engines.onnxruntime_import import import_onnxruntime
from ...engines.session import Arrays
from .onnx_file import OnnxGraph, elements, read_graph

_PRODUCTS = ("MatMul", "Gemm", "MatMulInteger", "QLinearMatMul")
_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose")
_SUFFIX = "_kernel_time"
_ERROR_LEVEL = 3


def network_flop(model: bytes, inputs: Arrays) -> float:
    """Two operations a multiplication and addition, of one run on these inputs.

    Args:
        model: an ONNX file that ONNX Runtime's CPU provider can run.
        inputs: one run's arrays.

    Raises:
        BundleError: the file is not ONNX.
    """
    graph = read_graph(model)
    nodes = {node.name: node for node in graph.nodes}
    total = 0.0
    for event in _profile(model, inputs):
        arguments = event["args"]
        node = nodes.get(event["name"].removesuffix(_SUFFIX))
        known = [] if node is None else node.inputs
        total += _operator_flop(
            arguments["op_name"], known, _shapes(arguments, "input"), _shapes(arguments, "output"), graph
        )
    return total


def network_bytes(model: bytes, inputs: Arrays, outputs: Arrays) -> float:
    """The least that one run must move: every weight, input and output once."""
    return float(len(model) + sum(array.nbytes for array in (*inputs.values(), *outputs.values())))


def _operator_flop(
    op: str, names: list[str], inputs: list[list[int]], outputs: list[list[int]], graph: OnnxGraph
) -> float:
    if op in _PRODUCTS:
        return 2.0 * elements(outputs[0]) * _summed_length(names, inputs, outputs[0], graph)
    if op in _CONVOLUTIONS:
        weight = next(shape for name in names[1:] if len(shape := graph.weights.get(name, [])) > 2)
        # Each output sums over one kernel: channels of its group times the window.
        return 2.0 * elements(outputs[0]) * math.prod(weight[1:])
    return 0.0


def _summed_length(names: list[str], inputs: list[list[int]], output: list[int], graph: OnnxGraph) -> int:
    """The length of the axis that a product sums over; the profiler leaves out the shapes of weights."""
    left_is_weight = bool(names) and names[0] in graph.weights
    if not left_is_weight:
        return inputs[0][-1]
    weight = graph.weights[names[0]]
    return weight[-1] if weight[-2] == output[-2] else weight[-2]


def _shapes(arguments: Mapping[str, Any], side: str) -> list[list[int]]:
    return [next(iter(tensor.values())) for tensor in arguments[f"{side}_type_shape"]]


def _profile(model: bytes, inputs: Arrays) -> list[dict[str, Any]]:
    """What the profiler says of every operator of one run."""
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.log_severity_level = _ERROR_LEVEL
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text())
    return [event for event in events if event["cat"] == "Node" and "output_type_shape" in event["args"]]
