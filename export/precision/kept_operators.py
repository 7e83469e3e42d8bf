"""Which operators must stay in float32, found by measurement on real scans and not by their names.

First those whose values come near half precision's range. Then the arithmetic on coordinates that comes before any
layer, and one operator type after the other, where float32 lowers the error of the whole network by more than `WORTH`;
each network's list is in its manifest entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ...calibration.graph_bisection import run_with_tensors
from ...runtime.engines.session import OnnxSession
from .casting import LARGEST, Half, halved_nodes, simulate
from .output_error import output_error

# A type of operators stays in float32 where that lowers the error by more than this share.
WORTH = 0.1
# Values above this share of the largest that half precision holds are too near to it.
RANGE_SHARE = 0.125
_CANDIDATES = (
    "LayerNormalization", "Softmax", "Gelu", "ReduceMax", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Reciprocal",
    "Resize",
)  # fmt: skip

Inputs = Mapping[str, npt.NDArray[Any]]


def measure_kept(model: bytes, precision: Half, samples: Sequence[Inputs]) -> list[str]:
    """The names of the nodes that stay in float32.

    Args:
        model: a float32 graph.
        precision: fp16 or bf16.
        samples: its inputs on real scans.
    """
    kept = set(out_of_range(model, precision, samples))
    exact = [OnnxSession(model).run(sample) for sample in samples]
    error = output_error(simulate(model, precision, kept), samples, exact)
    proto = onnx.load_model_from_string(model)
    groups = [
        geometry(proto),
        *({node.name for node in proto.graph.node if node.op_type == kind} for kind in _CANDIDATES),
    ]
    for group in groups:
        tried = kept | {node.name for node in halved_nodes(proto, precision, kept) if node.name in group}
        if tried == kept:
            continue
        lowered = output_error(simulate(model, precision, tried), samples, exact)
        if lowered < (1 - WORTH) * error:
            kept, error = tried, lowered
    return sorted(kept)


def geometry(proto: onnx.ModelProto) -> set[str]:
    """The names of the nodes that no product with a weight comes before: what is done to the inputs themselves."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    learned: set[str] = set()
    before = set()
    for node in proto.graph.node:
        is_layer = node.op_type in ("MatMul", "Gemm", "Conv") and not weights.isdisjoint(node.input)
        if is_layer or not learned.isdisjoint(node.input):
            learned.update(node.output)
        else:
            before.add(node.name)
    return before


def out_of_range(model: bytes, precision: Half, samples: Sequence[Inputs]) -> list[str]:
    """The nodes with an input or output that comes near the largest value of half precision."""
    proto = onnx.load_model_from_string(model)
    limit = RANGE_SHARE * LARGEST[precision]
    large: set[str] = set()
    for sample in samples:
        for name, tensor in run_with_tensors(model, sample):
            if not np.abs(tensor).max(initial=0) <= limit:
                large.add(name)
    return [node.name for node in proto.graph.node if large.intersection((*node.input, *node.output))]
