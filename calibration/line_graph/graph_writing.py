"""Writing ONNX graphs by hand: nodes and constants one by one, other graphs inlined; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...runtime.errors import BundleError

IR_VERSION = 10
# A protobuf file cannot hold 2 GiB; above this size the weights lie in a file of their own.
EXTERNAL_BYTES = 1 << 30


class GraphWriter:
    """A graph while it is written; every method that adds something returns the name of the new tensor.

    Example:
        >>> graph = GraphWriter()
        >>> graph.op("Mul", "x", graph.constant(2.0), name="doubled")
        'doubled'
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.opsets: dict[str, int] = {}
        self._count = 0

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add an operator with one output, called `name` or by a number."""
        self._count += 1
        output = name or f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=f"node_{output}", **attributes))
        return output

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32, name: str | None = None) -> str:
        """Add a constant; float32 unless said otherwise."""
        self._count += 1
        name = name or f"constant_{self._count}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def highest(self, values: str, count: int) -> tuple[str, str]:
        """The `count` highest of values (..., C), highest first, and their columns, int64: (..., count) each."""
        best, columns = f"topk_{self._count}/values", f"topk_{self._count}/columns"
        inputs = [values, self.constant([count], np.int64)]
        self.nodes.append(helper.make_node("TopK", inputs, [best, columns], f"node_{columns}", axis=-1))
        return best, columns

    def rows_at(self, rows: str, index: str) -> str:
        """Of every part its own rows (B, N, D), by their index (B, n) int64: (B, n, D)."""
        return self.op("GatherND", rows, self.op("Unsqueeze", index, self.constant([2], np.int64)), batch_dims=1)

    def inline(self, model: bytes, prefix: str, inputs: Mapping[str, str]) -> list[str]:
        """Add all of another graph, its names behind `prefix/`, and connect its inputs.

        Args:
            model: an ONNX file without external data or subgraphs.
            prefix: what its tensors' and nodes' names begin with here.
            inputs: for each of its inputs the tensor here.

        Returns:
            The names of its outputs.

        Raises:
            BundleError: it has other inputs, or another version of an operator set than what was inlined before.
        """
        proto = onnx.load_model_from_string(model)
        opsets = operator_sets(proto)
        expected = {value.name for value in proto.graph.input}
        merged = {**opsets, **self.opsets}
        if expected != set(inputs) or merged != {**self.opsets, **opsets}:
            raise BundleError(
                f"the {prefix} takes {sorted(expected)} with operator sets {opsets}, which does not fit the line graph "
                f"({sorted(inputs)}, {self.opsets}): export the bundle again"
            )
        self.opsets = merged

        def renamed(name: str) -> str:
            return inputs.get(name, f"{prefix}/{name}" if name else "")

        for node in proto.graph.node:
            node.name = f"{prefix}/{node.name}"
            node.input[:] = [renamed(name) for name in node.input]
            node.output[:] = [renamed(name) for name in node.output]
            self.nodes.append(node)
        for tensor in proto.graph.initializer:
            tensor.name = renamed(tensor.name)
            self.constants.append(tensor)
        return [renamed(value.name) for value in proto.graph.output]

    def model(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The finished graph."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, initializer=self.constants)
        opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(self.opsets.items())]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="cmdiad")


def operator_sets(model: onnx.ModelProto) -> dict[str, int]:
    """The version of the standard's operators (domain ""), and of every other domain that a node of the graph is of."""
    used = {_domain(node.domain) for node in model.graph.node} | {""}
    versions = {_domain(opset.domain): opset.version for opset in model.opset_import}
    return {domain: versions[domain] for domain in sorted(used)}


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def encode_model(model: onnx.ModelProto, file: str, external_bytes: int = EXTERNAL_BYTES) -> dict[str, bytes]:
    """A graph as files: one, or two where its constants exceed `external_bytes`: `file` and `file`.data.

    Raises:
        onnx.checker.ValidationError: the graph is not valid.
    """
    sizes = {tensor.name: len(tensor.raw_data) for tensor in model.graph.initializer}
    if sum(sizes.values()) <= external_bytes:
        onnx.checker.check_model(model, full_check=True)
        return {file: model.SerializeToString(deterministic=True)}
    data = bytearray()
    for tensor in model.graph.initializer:
        content = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        entries = {"location": f"{file}.data", "offset": str(len(data)), "length": str(len(content))}
        tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=text) for key, text in entries.items())
        # Aligned, so that ONNX Runtime can map it.
        data += content + bytes(-len(content) % 4096)
    return {file: model.SerializeToString(deterministic=True), f"{file}.data": bytes(data)}
