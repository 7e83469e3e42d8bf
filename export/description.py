"""What a bundle, an ONNX file or an engine is, read from the thing itself; TensorRT is not needed."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, shape_inference

from ..calibration.parity import read_report
from ..runtime.acceptance.doctor import examine
from ..runtime.bundle.reading import Bundle, open_bundle
from ..runtime.engines.machine import this_machine
from ..runtime.engines.plan_check import read_header
from ..runtime.errors import UsageError
from ..runtime.files.json_encoding import decode_json
from ..runtime.patches.pooling import N_PATCHES

# What a free axis counts as when multiplications are counted; any other counts as one.
_AXES = {"patches": N_PATCHES}
_PRODUCTS = ("MatMul", "Gemm", "Conv")


def describe(path: Path) -> dict[str, Any]:
    """A bundle (folder or .cmdiad), an ONNX file or an engine, as plain values.

    Raises:
        UsageError: it is none of these.
        BundleError: it is a bundle and damaged.
    """
    if not path.exists():
        raise UsageError(f"{path}: there is nothing here to inspect")
    if path.is_dir() or path.suffix == ".cmdiad":
        return describe_bundle(open_bundle(path))
    raw = path.read_bytes()
    if read_header(raw) is not None or path.suffix in (".engine", ".plan"):
        return {"kind": "engine", "path": str(path), **describe_engine(raw), **_beside(path)}
    try:
        model = onnx.load(str(path), format="protobuf")
        onnx.checker.check_model(str(path))
    except (DecodeError, onnx.checker.ValidationError, ValueError) as cause:
        raise UsageError(f"{path}: is not a bundle, ONNX file or engine ({cause})") from cause
    return {"kind": "onnx", "path": str(path), "sha256": hashlib.sha256(raw).hexdigest(), **describe_graph(model)}


def describe_bundle(bundle: Bundle) -> dict[str, Any]:
    """A bundle: its manifest, its graphs, what was compared, and what of it runs on this machine."""
    manifest = bundle.manifest
    networks = (manifest.networks, manifest.engine_networks, manifest.cpu_networks)
    graphs = {network.file: network for by_role in networks for network in by_role.values()}
    report = read_report(bundle)
    return {
        "kind": "bundle",
        "path": str(bundle.path),
        "digest": manifest.digest,
        "signature": bundle.signature_in_words(),
        "product": manifest.product,
        "route": manifest.route,
        "main": manifest.main,
        "precision": manifest.precision,
        "sensor": msgspec.to_builtins(manifest.sensor),
        "preprocessing": msgspec.to_builtins(manifest.preprocessing),
        "graphs": {
            file: {
                "architecture": network.architecture,
                "kept_fp32": network.kept_fp32,
                "sha256": manifest.files[file],
                **describe_graph(onnx.load_model_from_string(bundle.read(file))),
            }
            for file, network in graphs.items()
        },
        "line_graph": None if manifest.line_graph is None else msgspec.to_builtins(manifest.line_graph),
        "banks": msgspec.to_builtins(manifest.banks),
        "engines": [msgspec.to_builtins(engine) for engine in manifest.engines],
        "calibration": None if manifest.calibration is None else msgspec.to_builtins(manifest.calibration),
        "metrics": manifest.metrics,
        "parity": {"passed": report.passed, "accepted": report.accepted, "checks": report.as_text().splitlines()},
        "files": {
            name: {"sha256": digest, "bytes": bundle.store.size(name)} for name, digest in manifest.files.items()
        },
        "this_machine": [
            {"topic": finding.topic, "name": finding.name, "runs": finding.ok, "detail": finding.detail}
            for finding in examine(bundle).findings
        ],
    }


def describe_graph(model: onnx.ModelProto) -> dict[str, Any]:
    """An ONNX graph: its tensors, operators by the type they compute in, parameters, bytes and multiplications."""
    graph = shape_inference.infer_shapes(_one_scan(model)).graph
    types = _element_types(graph)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    layers: dict[str, Counter[str]] = {}
    for node in graph.node:
        kinds = [types[name] for name in node.output if name in types]
        layers.setdefault(kinds[0] if kinds else "untyped", Counter())[node.op_type] += 1
    return {
        "opset": next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")),
        "inputs": [_tensor(value) for value in model.graph.input],
        "outputs": [_tensor(value) for value in model.graph.output],
        "parameters": sum(math.prod(tensor.dims) for tensor in initializers.values()),
        "weight_bytes": sum(_bytes(tensor) for tensor in initializers.values()),
        "macs": macs(graph),
        "operators_by_precision": {kind: dict(sorted(counts.items())) for kind, counts in sorted(layers.items())},
    }


def macs(graph: onnx.GraphProto) -> int:
    """Multiply-accumulates of one scan, of matrix products and convolutions; shapes must have been inferred."""
    shapes = {value.name: _shape(value) for value in (*graph.input, *graph.value_info, *graph.output)}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    total = 0
    for node in graph.node:
        if node.op_type not in _PRODUCTS or not all(
            all(shapes.get(name, [0])) for name in (node.input[1], node.output[0])
        ):
            continue
        output, weight = shapes[node.output[0]], shapes[node.input[1]]
        if node.op_type == "Conv":
            total += math.prod(output) * math.prod(weight[1:])
        elif node.op_type == "Gemm":
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            total += math.prod(output) * weight[1 if transposed else 0]
        else:
            total += math.prod(output) * weight[-2 if len(weight) > 1 else 0]
    return total


def _one_scan(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose free axes are those of one scan, so that all shapes can be inferred."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = _AXES.get(axis.dim_param, 1)
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return fixed


def describe_engine(raw: bytes) -> dict[str, Any]:
    """An engine by its header, and whether this machine's GPU is among those that it was built for."""
    machine, header = this_machine(), read_header(raw)
    digest = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw), "gpu": machine.target}
    if header is None:
        return {"flavor": "tensorrt, or damaged", "runs_here": None, **digest}
    complete = header.size == len(raw)
    return {
        "flavor": "tensorrt-rtx",
        "version": header.version,
        "targets": header.targets,
        "complete": complete,
        "runs_here": complete and machine.target in header.targets,
        **digest,
    }


def _beside(path: Path) -> dict[str, Any]:
    """What export wrote beside an engine: profiles, precision, the graph's digest."""
    file = path.with_suffix(".json")
    if not file.is_file():
        return {}
    try:
        return {"built_as": decode_json(file.read_bytes(), dict)}
    except msgspec.MsgspecError as cause:
        raise UsageError(f"{file}: is not the description of an engine ({cause})") from cause


def _element_types(graph: onnx.GraphProto) -> Mapping[str, str]:
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower() for value in values}


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    axes = value.type.tensor_type.shape.dim
    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return {"name": value.name, "type": kind, "shape": [axis.dim_param or axis.dim_value for axis in axes]}


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value for axis in axes]


def _bytes(tensor: onnx.TensorProto) -> int:
    return math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
