"""Equalized channels: the same function, with the spread of an activation's channels shared with the weights."""

import numpy as np
import onnx
import pytest
from cmdiad.calibration.ranges import activation_ranges, channel_limits
from cmdiad.export.precision.equalization import connected, equalized
from cmdiad.export.precision.int8 import int8_from_onnx, quantizable
from cmdiad.export.precision.output_error import output_error
from cmdiad.runtime.engines.session import OnnxSession
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
CHANNELS = 32


def uneven_graph() -> bytes:
    """Two products of one activation, and a third that shares a weight with the first; one channel is large."""
    weights = {name: RNG.normal(size=(CHANNELS, 8)).astype(np.float32) for name in ("first", "second")}
    # A channel that carries most of the values and little of the result.
    for weight in weights.values():
        weight[3] *= 0.01
    nodes = [
        helper.make_node("Relu", ["x"], ["raised"], "raise"),
        helper.make_node("MatMul", ["raised", "first"], ["a"], "a"),
        helper.make_node("MatMul", ["raised", "second"], ["b"], "b"),
        helper.make_node("MatMul", ["x", "first"], ["c"], "c"),
    ]
    graph = helper.make_graph(
        nodes,
        "uneven",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 200, CHANNELS])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 200, 8]) for name in "abc"],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


@pytest.fixture(scope="module")
def sample():
    x = RNG.normal(size=(1, 200, CHANNELS)).astype(np.float32)
    x[..., 3] *= 100
    return {"x": x}


def activations(model: bytes) -> set[str]:
    return {node.input[0] for node in quantizable(model)}


def int8_error(model: bytes, sample, exact) -> float:
    ranges = activation_ranges(model, activations(model), [sample], "minmax")
    quantized = int8_from_onnx(model, ranges, [node.name for node in quantizable(model)])
    return output_error(quantized, [sample], [exact])


def test_it_computes_the_same_and_costs_int8_far_less(sample):
    model = uneven_graph()
    other = equalized(model, channel_limits(model, activations(model), [sample]))
    onnx.checker.check_model(onnx.load_model_from_string(other), full_check=True)
    exact = OnnxSession(model).run(sample)
    assert output_error(other, [sample], [exact]) < 1e-6
    assert int8_error(other, sample, exact) < 0.2 * int8_error(model, sample, exact)


def test_channels_end_at_the_same_share_of_both_sides(sample):
    model = uneven_graph()
    other = equalized(model, channel_limits(model, activations(model), [sample]))
    limits = channel_limits(other, activations(other), [sample])
    initializers = onnx.load_model_from_string(other).graph.initializer
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in initializers}
    activation = np.max([limits[name] for name in activations(other)], axis=0)
    weight = np.max([np.abs(weights[name]).max(axis=1) for name in ("first/equal", "second/equal")], axis=0)
    np.testing.assert_allclose(activation, weight, rtol=1e-5)


def test_a_channel_that_is_always_zero_stays_finite(sample):
    model = uneven_graph()
    silent = {"x": np.where(np.arange(CHANNELS) == 5, np.float32(0), sample["x"])}
    other = equalized(model, channel_limits(model, activations(model), [silent]))
    assert output_error(other, [silent], [OnnxSession(model).run(silent)]) < 1e-6


def test_what_shares_an_activation_or_a_weight_shares_its_factors():
    groups = connected([("x", "v"), ("y", "w"), ("x", "w"), ("z", "u")])
    assert [tuple(sorted(side) for side in group) for group in groups] == [(["x", "y"], ["v", "w"]), (["z"], ["u"])]


def test_a_network_keeps_its_answers(exported_bundle):
    model = (exported_bundle / "hallucinator.onnx").read_bytes()
    dim = onnx.load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim[2].dim_value
    sample = {"features": RNG.normal(size=(1, 200, dim)).astype(np.float32)}
    other = equalized(model, channel_limits(model, activations(model), [sample]))
    assert output_error(other, [sample], [OnnxSession(model).run(sample)]) < 1e-5
