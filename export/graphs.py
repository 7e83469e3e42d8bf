"""Torch networks become ONNX graphs: the same bytes every time, with nothing of this machine in them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ..runtime.bundle import manifest as manifest_format
from ..runtime.errors import ParityError
from .group_encoder import for_export

OPSET = 20
_DTYPES = {int(onnx.TensorProto.FLOAT): "float32", int(onnx.TensorProto.FLOAT16): "float16"}


@dataclass(frozen=True)
class GraphSpec:
    """A network's inputs and output by name, declared once for export, checking and the runtime.

    Attributes:
        inputs: example tensors by name, in the order of the network's arguments.
        dynamic: for each input its free axes, by name.
        output: the output's name.
    """

    inputs: Mapping[str, Tensor]
    dynamic: Mapping[str, Mapping[int, str]]
    output: str


def onnx_from_module(network: nn.Module, spec: GraphSpec) -> bytes:
    """Export a network in eval mode, batch normalization folded, and simplify the graph.

    Returns:
        A checked ONNX model, opset 20.

    Raises:
        ParityError: the exporter produced an invalid graph.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode(), _out_of_place(network):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            for_export(network).eval(),
            tuple(spec.inputs.values()),
            input_names=list(spec.inputs),
            output_names=[spec.output],
            dynamic_shapes=_dynamic_shapes(spec),
            opset_version=OPSET,
            dynamo=True,
            optimize=True,  # by onnxscript: constants folded, shared parts found, what is not used removed
            verbose=False,
        )
    assert program is not None
    model = _without_origin(program.model_proto)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as cause:
        raise ParityError(f"the exported graph with output {spec.output!r} is not valid: {cause}") from cause
    encoded: bytes = model.SerializeToString(deterministic=True)
    return encoded


def exported_program(network: nn.Module, spec: GraphSpec) -> torch.export.ExportedProgram:
    """The program that the exporter translates; its nodes have the names of the graph's tensors."""
    with torch.inference_mode(), _out_of_place(network):
        return torch.export.export(
            for_export(network).eval(), tuple(spec.inputs.values()), dynamic_shapes=_dynamic_shapes(spec)
        )


@contextmanager
def _out_of_place(network: nn.Module) -> Iterator[None]:
    """Activations that overwrite their input leave it alone for a while: the same graph, for which torch takes less.

    It takes each of them apart where shapes are dynamic, 70 ms for a ReLU6, before it puts ONNX's own operator there.
    """
    overwriting = [module for module in network.modules() if getattr(module, "inplace", False)]
    try:
        for module in overwriting:
            setattr(module, "inplace", False)  # noqa: B010
        yield
    finally:
        for module in overwriting:
            setattr(module, "inplace", True)  # noqa: B010


def _dynamic_shapes(spec: GraphSpec) -> tuple[dict[int, Any], ...]:
    dims = {
        name: torch.export.Dim(name, min=1, max=1 << 20) for axes in spec.dynamic.values() for name in axes.values()
    }
    return tuple({axis: dims[name] for axis, name in spec.dynamic[item].items()} for item in spec.inputs)


def describe_network(model: bytes, file: str, architecture: str) -> manifest_format.Network:
    """A graph's entry in the manifest, read from the graph itself."""
    graph = onnx.load_model_from_string(model).graph
    return manifest_format.Network(
        file=file,
        architecture=architecture,
        parameters=sum(int(torch.Size(tensor.dims).numel()) for tensor in graph.initializer),
        inputs=[_tensor(value) for value in graph.input],
        outputs=[_tensor(value) for value in graph.output],
    )


def _tensor(value: onnx.ValueInfoProto) -> manifest_format.Tensor:
    kind = value.type.tensor_type
    shape: list[int | str] = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    return manifest_format.Tensor(name=value.name, shape=shape, dtype=_DTYPES[kind.elem_type])


def _without_origin(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes: stack traces name files of the machine that exported."""
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    del clean.metadata_props[:]
    clean.doc_string = ""
    graph = clean.graph
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    return clean
