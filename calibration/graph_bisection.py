"""Where two graphs part: their tensors of the same name, in the order in which they are computed."""

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

# Tensors that are kept at once; the first stage of a full-size extractor takes 268 MB each.
AT_ONCE = 8

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
    for chunk in _chunks(names, AT_ONCE):
        expected = dict(run_with_tensors(reference, inputs, chunk))
        actual = dict(run_with_tensors(candidate, inputs, chunk))
        for name in chunk:
            if excess(actual[name], expected[name], tolerance)[1] > 1:
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
    wanted = list(names) if names is not None else float_outputs(model)
    for chunk in _chunks(wanted, AT_ONCE):
        proto = onnx.load_model_from_string(model)
        del proto.graph.output[:]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in chunk)
        outputs = OnnxSession(proto.SerializeToString()).run(inputs)
        for name in chunk:
            yield name, outputs[name].astype(np.float32, copy=False)


def float_outputs(model: bytes) -> list[str]:
    """The names of the floating-point tensors that a graph's nodes give, in order."""
    proto = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    graph = proto.graph
    floating = (TensorProto.FLOAT, TensorProto.FLOAT16)
    values = (*graph.value_info, *graph.output)
    typed = {value.name for value in values if value.type.tensor_type.elem_type in floating}
    return [name for node in graph.node for name in node.output if name in typed]


def _chunks(names: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(names)
    while chunk := list(islice(iterator, size)):
        yield chunk
