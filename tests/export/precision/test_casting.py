"""Half-precision graphs are typed as asked, compute what they should, and their simulation rounds as they do."""

import numpy as np
import onnx
import pytest
from cmdiad.export.precision.casting import convert, halved_nodes, kept_by_type, rounded, simulate
from cmdiad.export.precision.kept_operators import geometry, measure_kept, out_of_range
from cmdiad.runtime.engines.session import OnnxSession
from onnx import TensorProto, helper, numpy_helper


def small_graph(gain=1.0):
    """y = gain LayerNorm(relu(x W)) + 1; the square of what the product gives is what leaves half precision."""
    weight = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    constants = {
        "w": weight,
        "gain": np.float32(gain),
        "scale": np.ones(8, np.float32),
        "bias": np.zeros(8, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Relu", ["product"], ["relu"], "relu"),
        helper.make_node("Mul", ["relu", "gain"], ["large"], "large"),
        helper.make_node("Mul", ["large", "large"], ["square"], "square"),
        helper.make_node("Sqrt", ["square"], ["root"], "root"),
        helper.make_node("LayerNormalization", ["root", "scale", "bias"], ["y"], "norm"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, ["n", 8])],
        [value("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


X = {"x": np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)}


def types_of(model):
    proto = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model))
    return {value.name: value.type.tensor_type.elem_type for value in proto.graph.value_info}


@pytest.mark.parametrize(("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_only_what_is_kept_stays_in_float32(precision, kind):
    model = convert(small_graph(), precision, ["norm"])
    types = types_of(model)
    assert types["product"] == types["square"] == kind and types["root/wide"] == TensorProto.FLOAT
    proto = onnx.load_model_from_string(model)
    assert proto.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert kept_by_type(small_graph(), precision, ["norm"]) == {"LayerNormalization": 1}
    weights = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    assert weights[f"w/{precision}"] == kind and weights["scale"] == TensorProto.FLOAT


def test_fp16_is_as_near_as_half_precision_allows():
    exact = OnnxSession(small_graph()).run(X)["y"]
    found = OnnxSession(convert(small_graph(), "fp16", [])).run(X)["y"]
    assert 0 < np.abs(found - exact).max() < 1e-2


def test_the_simulation_rounds_every_tensor():
    """Checked against the same steps in NumPy, each rounded by hand."""

    def half(values):
        return values.astype(np.float16).astype(np.float32)

    weight = numpy_helper.to_array(onnx.load_model_from_string(small_graph()).graph.initializer[0])
    relu = np.maximum(half(half(X["x"]) @ half(weight)), 0)
    large = half(relu * np.float32(half(np.array([3.3], np.float32))[0]))
    root = half(np.sqrt(half(large * large)))
    normed = (root - root.mean(1, keepdims=True)) / np.sqrt(root.var(1, keepdims=True) + 1e-5)
    found = OnnxSession(simulate(small_graph(3.3), "fp16", [])).run(X)["y"]
    np.testing.assert_allclose(found, half(normed), atol=2e-3)
    kept = OnnxSession(
        simulate(small_graph(3.3), "fp16", [n.name for n in onnx.load_model_from_string(small_graph()).graph.node])
    )
    np.testing.assert_array_equal(kept.run(X)["y"], OnnxSession(small_graph(3.3)).run(X)["y"])


def test_bfloat16_has_eight_bits():
    values = np.array([1.0, 1.00390625, 3.14159, 1e38], np.float32)
    np.testing.assert_allclose(rounded(values, "bf16"), values, rtol=2**-8)
    assert rounded(values, "bf16")[1] in (1.0, 1.0078125)


def test_what_leaves_the_range_is_found_and_kept():
    model = small_graph(gain=400.0)
    assert not np.isfinite(OnnxSession(simulate(model, "fp16", [])).run(X)["y"]).all()
    near = out_of_range(model, "fp16", [X])
    assert {"square", "root"} <= set(near) and "product" not in near
    kept = measure_kept(model, "fp16", [X])
    assert set(near) <= set(kept)
    found = OnnxSession(simulate(model, "fp16", kept)).run(X)["y"]
    np.testing.assert_allclose(found, OnnxSession(model).run(X)["y"], atol=1e-2)


def test_integers_and_shapes_are_left_alone(exported_bundle):
    model = (exported_bundle / "extractor.onnx").read_bytes()
    converted = onnx.load_model_from_string(convert(model, "fp16", []))
    assert [value.name for value in converted.graph.output] == ["tokens"]
    assert len(halved_nodes(onnx.load_model_from_string(model), "fp16", [])) > 50
    assert len(converted.SerializeToString()) < 0.6 * len(model)


def test_geometry_is_what_comes_before_the_first_weight():
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "weight")
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["squared"], name="square"),
        helper.make_node("MatMul", ["squared", "weight"], ["layer"], name="product"),
        helper.make_node("Mul", ["layer", "squared"], ["y"], name="after"),
    ]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    assert geometry(helper.make_model(graph)) == {"square"}
