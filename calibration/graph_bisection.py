"""Where two graphs start to differ: their tensors of the same name, in the order in which they are computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from ..runtime.engines.session import OnnxSession
from .parity import Tolerance, excess

# Tensors that are kept at once: so many at first (the first stage of a full-size extractor takes 268 MB each), then as
# many of the largest one's size as this holds.
_FIRST, _MOST = 8, 64
_BYTES = 1 << 30

Inputs = Mapping[str, npt.NDArray[Any]]


def first_off(reference: bytes, candidate: bytes, inputs: Inputs, tolerance: Tolerance) -> str:
    """The first node, in the reference's order, whose tensor differs by more than the tolerance.

    Args:
        reference: an ONNX graph.
        candidate: another whose tensors have the same names, as far as it has them.
        inputs: of both.
        tolerance: what may differ.

    Returns:
        `OPERATOR NODE (TENSOR)`, or nothing where no common tensor is off.
    """
    shared = float_outputs(candidate)
    names = [name for name in float_outputs(reference) if name in set(shared)]
    both = (run_with_tensors(graph, inputs, names) for graph in (reference, candidate))
    for (name, expected), (_, actual) in zip(*both, strict=True):
        if excess(actual, expected, tolerance)[1] > 1:
            return describe_producer(candidate, name)
    return ""


def describe_producer(model: bytes, tensor: str) -> str:
    """`OPERATOR NODE (TENSOR)` of the node that gives a tensor."""
    for node in onnx.load_model_from_string(model).graph.node:
        if tensor in node.output:
            return f"{node.op_type} {node.name} ({tensor})"
    return tensor


def run_with_tensors(
    model: bytes, inputs: Inputs, names: Iterable[str] | None = None
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Run a graph and yield its floating-point tensors, or those named, in the order of computation."""
    wanted = iter(names if names is not None else float_outputs(model))
    at_once = _FIRST
    while chunk := list(islice(wanted, at_once)):
        outputs = OnnxSession(_with_outputs(model, chunk)).run(inputs)
        at_once = min(_MOST, max(_FIRST, _BYTES // max(1, *(tensor.nbytes for tensor in outputs.values()))))
        for name in chunk:
            yield name, outputs[name].astype(np.float32, copy=False)


def _with_outputs(model: bytes, names: Iterable[str]) -> bytes:
    """A graph that gives these of its tensors."""
    proto = onnx.load_model_from_string(model)
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    encoded: bytes = proto.SerializeToString()
    return encoded


def float_outputs(model: bytes) -> list[str]:
    """The names of the floating-point tensors that a graph's nodes give, in order."""
    proto = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    graph = proto.graph
    floating = (TensorProto.FLOAT, TensorProto.FLOAT16)
    values = (*graph.value_info, *graph.output)
    typed = {value.name for value in values if value.type.tensor_type.elem_type in floating}
    return [name for node in graph.node for name in node.output if name in typed]
