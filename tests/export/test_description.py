"""`cmdiad inspect` says of a bundle, a graph and an engine what is in them."""

import struct

import numpy as np
import onnx
import pytest
from cmdiad.export.description import describe, describe_graph
from cmdiad.runtime.errors import UsageError
from onnx import helper, numpy_helper


def test_a_bundle_is_described_from_its_own_files(calibrated_bundle):
    description = describe(calibrated_bundle)
    assert [description[key] for key in ("kind", "route", "main", "precision")] == ["bundle", "f2f", "pc", "fp32"]
    graph = description["graphs"]["hallucinator.onnx"]
    assert graph["macs"] > 3136 * graph["parameters"] * 0.9
    assert set(graph["operators_by_precision"]) == {"float"}
    assert description["files"]["line.onnx"]["bytes"] == (calibrated_bundle / "line.onnx").stat().st_size
    assert description["parity"]["passed"] and any("line graph" in line for line in description["parity"]["checks"])
    assert any(finding["name"] == "cpu" and finding["runs"] for finding in description["this_machine"])


def test_multiplications_are_counted():
    """A product over 5 patches of 8 by 4 values, and a 3x3 convolution of 2 to 6 channels on 10x10 pixels."""
    value = helper.make_tensor_value_info
    weights = [
        numpy_helper.from_array(np.zeros((8, 4), np.float32), "w"),
        numpy_helper.from_array(np.zeros((6, 2, 3, 3), np.float32), "k"),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("Conv", ["i", "k"], ["o"], "convolution", pads=[1, 1, 1, 1]),
    ]
    inputs = [value("x", 1, ["batch", 5, 8]), value("i", 1, ["batch", 2, 10, 10])]
    outputs = [value("y", 1, ["batch", 5, 4]), value("o", 1, ["batch", 6, 10, 10])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, weights))
    description = describe_graph(model)
    assert description["macs"] == 5 * 8 * 4 + 100 * 6 * 2 * 9
    assert description["parameters"] == 32 + 108 and description["weight_bytes"] == 4 * 140
    assert description["inputs"][0] == {"name": "x", "type": "float", "shape": ["batch", 5, 8]}


def test_an_onnx_file_is_described(calibrated_bundle, tmp_path):
    description = describe(calibrated_bundle / "extractor.onnx")
    assert description["kind"] == "onnx" and description["opset"] == 20 and len(description["sha256"]) == 64
    with pytest.raises(UsageError, match="not a bundle, ONNX file or engine"):
        (tmp_path / "x.onnx").write_bytes(b"\x00\x01nonsense")
        describe(tmp_path / "x.onnx")
    for name in ("run.json", "x.onnxtxt", "x.textproto"):
        (tmp_path / name).write_text('{"route": "f2f"}')
        with pytest.raises(UsageError, match="not a bundle, ONNX file or engine"):
            describe(tmp_path / name)
    with pytest.raises(UsageError, match="nothing here"):
        describe(tmp_path / "missing")


def test_an_engine_is_read_without_tensorrt(tmp_path):
    size = 256
    raw = struct.pack("<4sI2Q4B4sI", b"vtrt", 0, 2, size, 1, 7, 1, 116, b"vtrt", 0b1100).ljust(size, b"\0")
    (tmp_path / "e.engine").write_bytes(raw)
    (tmp_path / "e.json").write_text('{"precision": "fp16"}')
    description = describe(tmp_path / "e.engine")
    assert [description[key] for key in ("version", "targets", "complete")] == ["1.7.1.116", ["sm86", "sm89"], True]
    assert description["built_as"] == {"precision": "fp16"}
    (tmp_path / "e.engine").write_bytes(raw[:-1])
    assert not describe(tmp_path / "e.engine")["complete"] and not describe(tmp_path / "e.engine")["runs_here"]


def test_the_description_names_every_type(exported_bundle):
    from cmdiad.export.precision.casting import convert

    model = convert((exported_bundle / "hallucinator.onnx").read_bytes(), "fp16", [])
    description = describe_graph(onnx.load_model_from_string(model))
    assert description["operators_by_precision"]["float16"]["MatMul"] == 3
