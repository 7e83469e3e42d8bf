"""Half precision as a strongly typed graph: every tensor's type is in the graph, inputs and outputs stay float32.

One plan serves two writers: `convert` writes the graph for the device, and `simulate` the same mathematics in
float32 with every tensor rounded to the type that it has there. ONNX Runtime's CPU provider computes half precision
in float32 and does not run bfloat16 at all, so only the simulation shows on a CPU what a device will compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Literal

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Half = Literal["fp16", "bf16"]

_TYPES: dict[Half, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_STRINGS: dict[Half, str] = {"fp16": "tensor(float16)", "bf16": "tensor(bfloat16)"}
LARGEST: dict[Half, float] = {"fp16": 65504.0, "bf16": 3.3e38}
# Operators whose output type is not that of their input, or that hold a value of their own.
_UNTYPED = frozenset({"Shape", "Size", "Cast", "Constant", "ConstantOfShape", "QuantizeLinear", "DequantizeLinear"})


def convert(model: bytes, precision: Half, kept: Collection[str]) -> bytes:
    """A float32 graph in half precision.

    Args:
        model: an ONNX file; every node has a name.
        precision: fp16 or bf16.
        kept: names of the nodes that stay in float32.
    """
    return _Writer(model, precision, kept, simulated=False).write()


def simulate(model: bytes, precision: Half, kept: Collection[str]) -> bytes:
    """A float32 graph that rounds every tensor as `convert`'s graph does; arguments as there."""
    return _Writer(model, precision, kept, simulated=True).write()


def halved_nodes(model: onnx.ModelProto, precision: Half, kept: Collection[str]) -> list[onnx.NodeProto]:
    """The nodes that compute in half precision: not kept, and the standard and the weights' range allow it."""
    floats = float_tensors(model)
    opset = next(opset.version for opset in model.opset_import if opset.domain == "")
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.name not in kept
        and node.op_type not in _UNTYPED
        and any(name in floats for name in node.output)
        and _standard_allows(node, opset, precision)
        and all(_in_range(weights[name], precision) for name in node.input if name in weights and name in floats)
    ]


def kept_by_type(model: bytes, precision: Half, kept: Collection[str]) -> dict[str, int]:
    """How many nodes of which operator stay in float32, of those that give floating-point tensors."""
    proto = onnx.load_model_from_string(model)
    floats, halved = float_tensors(proto), {node.name for node in halved_nodes(proto, precision, kept)}
    left = [node for node in proto.graph.node if node.name not in halved and not floats.isdisjoint(node.output)]
    return dict(sorted(Counter(node.op_type for node in left).items()))


def float_tensors(model: onnx.ModelProto) -> set[str]:
    """The names of all float32 tensors of a graph."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.output, *graph.value_info)
    names = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def rounded(values: npt.NDArray[np.float32], precision: Half) -> npt.NDArray[np.float32]:
    """Float32 values as half precision holds them.

    Example:
        >>> rounded(np.array([1.001], np.float32), "bf16")
        array([1.], dtype=float32)
    """
    halved = values.astype(np.float16 if precision == "fp16" else ml_dtypes.bfloat16)
    single: npt.NDArray[np.float32] = halved.astype(np.float32)
    return single


def _standard_allows(node: onnx.NodeProto, opset: int, precision: Half) -> bool:
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    typed = {output.type_str for output in schema.outputs}
    return any(
        constraint.type_param_str in typed and _STRINGS[precision] in constraint.allowed_type_strs
        for constraint in schema.type_constraints
    )


def _in_range(weight: onnx.TensorProto, precision: Half) -> bool:
    return float(np.abs(numpy_helper.to_array(weight)).max(initial=0)) <= LARGEST[precision]


@dataclass
class _Tensors:
    """What has been written of the tensors so far.

    Attributes:
        half: those that are in half precision under their own name.
        made: the name under which a tensor is there in a type.
    """

    half: set[str] = field(default_factory=set)
    made: dict[tuple[str, int], str] = field(default_factory=dict)


class _Writer:
    """Rewrites a graph node by node, with a cast where a tensor is wanted in the other type."""

    def __init__(self, model: bytes, precision: Half, kept: Collection[str], simulated: bool) -> None:
        self._model = onnx.load_model_from_string(model)
        self._precision: Half = precision
        self._low = _TYPES[precision]
        self._simulated = simulated
        self._floats = float_tensors(self._model)
        self._halved = {node.name for node in halved_nodes(self._model, precision, kept)}
        initializers = self._model.graph.initializer
        self._weights = {tensor.name: tensor for tensor in initializers if tensor.name in self._floats}
        self._tensors = _Tensors()
        self._nodes: list[onnx.NodeProto] = []
        self._constants = [tensor for tensor in initializers if tensor.name not in self._weights]

    def write(self) -> bytes:
        outputs = {value.name for value in self._model.graph.output}
        for node in self._model.graph.node:
            self._write(node, outputs)
        graph = self._model.graph
        del graph.node[:], graph.initializer[:], graph.value_info[:]
        graph.node.extend(self._nodes)
        graph.initializer.extend(self._constants)
        onnx.checker.check_model(self._model, full_check=True)
        return self._model.SerializeToString(deterministic=True)

    def _write(self, node: onnx.NodeProto, outputs: set[str]) -> None:
        low = node.name in self._halved
        wanted = self._low if low else TensorProto.FLOAT
        for place, name in enumerate(node.input):
            if name in self._floats and node.op_type != "Shape":
                node.input[place] = self._in_type(name, wanted)
        self._nodes.append(node)
        if not low:
            return
        for place, name in enumerate(node.output):
            if name not in self._floats:
                continue
            if self._simulated or name in outputs:
                node.output[place] = f"{name}/exact" if self._simulated else f"{name}/half"
                self._cast(node.output[place], name)
            else:
                self._tensors.half.add(name)

    def _cast(self, source: str, name: str) -> None:
        """Bring what a node gives back to float32 under its own name; simulated, it is rounded on the way."""
        if self._simulated:
            self._nodes.append(helper.make_node("Cast", [source], [f"{name}/half"], f"{name}/round", to=self._low))
            source = f"{name}/half"
        self._nodes.append(helper.make_node("Cast", [source], [name], f"{name}/widen", to=TensorProto.FLOAT))

    def _in_type(self, name: str, wanted: int) -> str:
        """The name under which a tensor is there in a type; written first, if need be."""
        if (name, wanted) in self._tensors.made:
            return self._tensors.made[name, wanted]
        made = self._weight_in_type(name, wanted) if name in self._weights else self._cast_to_type(name, wanted)
        self._tensors.made[name, wanted] = made
        return made

    def _weight_in_type(self, name: str, wanted: int) -> str:
        weight = self._weights[name]
        if wanted == TensorProto.FLOAT:
            self._constants.append(weight)
            return name
        made = f"{name}/{self._precision}"
        values = rounded(numpy_helper.to_array(weight), self._precision)
        if not self._simulated:
            halved = values.astype(np.float16 if self._precision == "fp16" else ml_dtypes.bfloat16)
            self._constants.append(helper.make_tensor(made, self._low, weight.dims, halved.tobytes(), raw=True))
        else:
            self._constants.append(numpy_helper.from_array(values, made))
        return made

    def _cast_to_type(self, name: str, wanted: int) -> str:
        has = self._low if name in self._tensors.half else TensorProto.FLOAT
        if has == wanted:
            return name
        made = f"{name}/{'wide' if wanted == TensorProto.FLOAT else self._precision}"
        if self._simulated:
            self._nodes.append(helper.make_node("Cast", [name], [f"{made}/half"], f"{made}/round", to=self._low))
            self._nodes.append(
                helper.make_node("Cast", [f"{made}/half"], [made], f"{made}/widen", to=TensorProto.FLOAT)
            )
        else:
            self._nodes.append(helper.make_node("Cast", [name], [made], f"{made}/cast", to=wanted))
        return made
