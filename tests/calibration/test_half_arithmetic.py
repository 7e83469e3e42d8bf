"""Half precision on a CPU: exact where it is asked for, rounded at every tensor as a device rounds."""

import numpy as np
import onnx
import pytest
from cmdiad.calibration.half_arithmetic import exact_graph, rounding_graph
from cmdiad.export.precision.casting import convert, simulate
from cmdiad.runtime.engines.session import OnnxSession
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
X = {"x": RNG.normal(size=(5, 16)).astype(np.float32)}
WEIGHT = RNG.normal(size=(16, 8)).astype(np.float32)


def graph():
    """y = gelu(x W) + 0.1."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"], "product"),
        helper.make_node("Gelu", ["product"], ["active"], "active"),
        helper.make_node("Constant", [], ["tenth"], "tenth", value_float=0.1),
        helper.make_node("Add", ["active", "tenth"], ["y"], "sum"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in (("x", 16), ("y", 8)))
    made = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(WEIGHT, "w")])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def run(model):
    return OnnxSession(model).run(X)["y"]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_graph_of_half_precision_rounds_as_the_gate_s_simulation_of_it_does(precision):
    rounded = run(rounding_graph(convert(graph(), precision, [])))
    np.testing.assert_array_equal(rounded, run(simulate(graph(), precision, [])))
    assert np.abs(rounded - run(graph())).max() > 1e-4


def test_casts_stay_where_onnx_runtime_optimizes():
    """Every product is one that half precision holds."""
    model = onnx.load_model_from_string(rounding_graph(convert(graph(), "fp16", [])))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("product", TensorProto.FLOAT, ["n", 8]))
    product = OnnxSession(model.SerializeToString()).run(X)["product"]
    np.testing.assert_array_equal(product, product.astype(np.float16).astype(np.float32))
    halves = X["x"].astype(np.float16).astype(np.float64), WEIGHT.astype(np.float16).astype(np.float64)
    assert np.abs(product - halves[0] @ halves[1]).max() > 1e-4


def test_exact_is_float32_with_the_graph_s_own_weights():
    exact = run(exact_graph(convert(graph(), "fp16", ["sum"])))
    halved = onnx.load_model_from_string(graph())
    halved.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT.astype(np.float16).astype(np.float32), "w"))
    np.testing.assert_allclose(exact, run(halved.SerializeToString()), atol=2e-7)


def test_what_is_float32_is_left_as_it_is():
    assert exact_graph(graph()) == rounding_graph(graph()) == graph()
