"""The int8 network of the CPU: weights are int8 by channel, activations are quantized as they come.

It needs no calibration, and its operators are ONNX Runtime's own (`DynamicQuantizeLinear` and `MatMulInteger`,
fused): it runs on the CPU provider and nowhere else.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path

import onnx

# Products over fewer terms stay in fp32: they cost next to nothing, and coordinates need their digits.
LEAST_TERMS = 16


def dynamic_int8_from_onnx(model: bytes) -> bytes:
    """Quantize the matrix products of a float32 graph that have a constant right-hand side.

    Args:
        model: a graph of `onnx_from_module`.

    Returns:
        The graph after ONNX Runtime's hardware-independent fusions, so that a session opens without them.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    proto = onnx.load_model_from_string(model)
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


def float_products(model: bytes) -> dict[str, int]:
    """How many matrix products of a quantized graph stay in float32, by operator."""
    graph = onnx.load_model_from_string(model).graph
    return dict(Counter(node.op_type for node in graph.node if node.op_type in ("MatMul", "FusedMatMul")))


def _fused(path: Path) -> bytes:
    """The graph after the fusions that every CPU has in common."""
    import onnxruntime

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
    thin = {each.name for each in graph.initializer if len(each.dims) == 2 and each.dims[0] < LEAST_TERMS}
    return [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] in thin]
