"""TensorRT-RTX engines of a bundle's networks: bytes and processor seconds by target, built without a GPU.

    python benchmarks/studies/engines.py BUNDLE... [--targets sm80,sm86,sm89,sm120] [--fp16] [--table]

Builds every graph of a bundle for every target by itself and for all of them in one engine, and prints one JSON line
an engine, or a Markdown table. `--fp16` has ONNX Runtime's converter make fp16 graphs of fp32 ones first (inputs and
outputs stay float32). `--precisions` builds one matrix product in every number format, and says which targets take it
and what the others answer.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator

import numpy as np
import onnx
from cmdiad.benchmarks.shared.tables import markdown_table
from cmdiad.export.tensorrt.builder import EngineGraph, EngineSettings, engine_from_onnx
from cmdiad.runtime.bundle.manifest import Network, Tensor
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.flavor import FLAVORS
from cmdiad.runtime.engines.machine import this_machine
from cmdiad.runtime.engines.onnxruntime_import import import_onnxruntime
from cmdiad.runtime.engines.plan_check import engine_graphs, external_data
from cmdiad.runtime.errors import EngineError
from cmdiad.runtime.threads import usable_processors
from onnx import NodeProto, TensorProto, helper, numpy_helper

FLAVOR = FLAVORS["tensorrt-rtx"]


def measure(graph: EngineGraph, targets: tuple[str, ...]) -> dict[str, object]:
    """Build once: bytes and this process's processor seconds, or the builder's words."""
    begin = time.process_time()
    try:
        built = engine_from_onnx(graph, "engine", FLAVOR, EngineSettings(targets), this_machine())
    except EngineError as error:
        return {"error": str(error)}
    return {"bytes": len(built.plan), "cpu_seconds": round(time.process_time() - begin, 2), "version": built.version}


def measure_bundle(path: str, targets: list[str], fp16: bool) -> Iterator[dict[str, object]]:
    """Every network of a bundle for every target, and for all of them."""
    bundle = open_bundle(path)
    for role, network in engine_graphs(bundle.manifest).items():
        graph = EngineGraph(network, bundle.read(network.file), external_data(bundle, network))
        if fp16:
            graph = EngineGraph(network, halved(graph.model))
        for chosen in [*((target,) for target in targets), tuple(targets)]:
            yield {
                "measure": "tensorrt-rtx engine",
                "network": f"{role} ({network.architecture})",
                "precision": "fp16" if fp16 else bundle.manifest.precision,
                "graph_bytes": len(graph.model) + sum(map(len, graph.external.values())),
                "targets": "+".join(chosen),
                **measure(graph, chosen),
            }


def halved(model: bytes) -> bytes:
    """An fp32 graph in fp16, with float32 inputs and outputs."""
    import_onnxruntime()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    converted = convert_float_to_float16(onnx.load_model_from_string(model), keep_io_types=True)
    return converted.SerializeToString()


def formats() -> Iterator[tuple[str, bytes]]:
    """One matrix product (batch, 5, 64) x (64, 64) in every number format."""
    for name, kind in (("fp32", TensorProto.FLOAT), ("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)):
        yield name, product(kind)
    for name, kind, zero in (
        ("int8 QDQ, symmetric", TensorProto.INT8, 0),
        ("int8 QDQ, zero point 3", TensorProto.INT8, 3),
        ("uint8 QDQ, zero point 128", TensorProto.UINT8, 128),
        ("fp8 (e4m3) QDQ", TensorProto.FLOAT8E4M3FN, 0),
    ):
        yield name, quantized_product(kind, zero)
    yield "int8, scale found at run time (dynamic)", dynamic_product()


def product(kind: int, nodes: list[NodeProto] | None = None, weights: tuple[TensorProto, ...] = ()) -> bytes:
    """y = x @ w, or the given nodes from x to y."""
    values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    x, y = (helper.make_tensor_value_info(name, kind, ["batch", 5, 64]) for name in "xy")
    weight = helper.make_tensor("w", kind, values.shape, values.ravel().tolist())
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
    graph = helper.make_graph(nodes, "product", [x], [y], [weight, *weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


def quantized_product(kind: int, zero: int) -> bytes:
    """Both factors through QuantizeLinear and DequantizeLinear."""
    scale = numpy_helper.from_array(np.array(0.05, np.float32), "scale")
    nodes = []
    for name in "xw":
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"]))
    nodes.append(helper.make_node("MatMul", ["x_d", "w_d"], ["y"]))
    return product(TensorProto.FLOAT, nodes, (scale, helper.make_tensor("zero", kind, [], [zero])))


def dynamic_product() -> bytes:
    """What ONNX Runtime runs fast on the CPU."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_q", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["x_q", "w_q", "zero"], ["integers"]),
        helper.make_node("Cast", ["integers"], ["y"], to=TensorProto.FLOAT),
    ]
    return product(TensorProto.FLOAT, nodes, (helper.make_tensor("w_q", TensorProto.INT8, [64, 64], [1] * 64 * 64),))


def measure_formats(targets: list[str]) -> Iterator[dict[str, object]]:
    """Which targets take which format, and what the others answer."""
    tensor = Tensor(name="x", shape=["batch", 5, 64], dtype="float32")
    network = Network(file="", architecture="", parameters=0, inputs=[tensor], outputs=[tensor])
    for name, model in formats():
        answers = {target: measure(EngineGraph(network, model), (target,)) for target in targets}
        taken = [target for target, answer in answers.items() if "error" not in answer]
        errors = {str(answer["error"]) for answer in answers.values() if "error" in answer}
        yield {"measure": "number format", "format": name, "builds": " ".join(taken), "else": "; ".join(sorted(errors))}


def print_table(rows: list[dict[str, object]]) -> None:
    """A Markdown table: a line a network, size and processor seconds by target."""
    columns = list(dict.fromkeys(str(row["targets"]) for row in rows))
    heads = [column if "+" not in column else "all in one" for column in columns]
    table = []
    for network, precision in dict.fromkeys((row["network"], row["precision"]) for row in rows):
        mine = {row["targets"]: row for row in rows if (row["network"], row["precision"]) == (network, precision)}
        size = int(str(next(iter(mine.values()))["graph_bytes"])) / 1e6
        table.append([network, precision, f"{size:.1f} MB", *(cell(mine[column]) for column in columns)])
    print(markdown_table(["network", "precision", "graph", *heads], table))


def cell(row: dict[str, object]) -> str:
    """Size and seconds, or a dash where it does not build."""
    return "does not build" if "error" in row else f"{int(str(row['bytes'])) / 1e6:.1f} MB, {row['cpu_seconds']} s"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundles", nargs="*")
    parser.add_argument("--targets", default="sm80,sm86,sm89,sm120")
    parser.add_argument("--fp16", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--precisions", action="store_true")
    options = parser.parse_args()
    if options.precisions:
        for row in measure_formats(list(FLAVORS["tensorrt-rtx"].targets)):
            print(json.dumps(row), flush=True)
    targets = options.targets.split(",")
    rows = [row for path in options.bundles for row in measure_bundle(path, targets, options.fp16)]
    if options.table:
        print_table(rows)
    else:
        for row in rows:
            print(json.dumps(row))
    host = {
        "machine": platform.processor() or platform.machine(),
        "processors": usable_processors(),
        "gpus": [gpu.name for gpu in this_machine().gpus],
    }
    print(json.dumps(host))


if __name__ == "__main__":
    main()
