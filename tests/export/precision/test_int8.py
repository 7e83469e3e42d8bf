"""Explicit int8: symmetric, per channel, only where it belongs, with ranges that were measured."""

import numpy as np
import onnx
import pytest
from cmdiad.calibration.ranges import Histogram, activation_ranges
from cmdiad.export.precision.int8 import choose_layers, int8_from_onnx, quantizable
from cmdiad.export.precision.output_error import output_error
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import UsageError

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model(exported_bundle):
    return (exported_bundle / "hallucinator.onnx").read_bytes()


@pytest.fixture(scope="module")
def sample(model):
    dim = onnx.load_model_from_string(model).graph.input[0].type.tensor_type.shape.dim[2].dim_value
    return {"features": RNG.normal(size=(1, 200, dim)).astype(np.float32)}


def test_ranges_by_each_calibrator():
    values = np.concatenate([RNG.normal(size=100_000), [40.0]]).astype(np.float32)
    histogram = Histogram()
    for part in np.split(values[:-1], 4):
        histogram.add(part)
    histogram.add(values[-1:])
    assert histogram.limit("minmax") == pytest.approx(1.15 * 40)  # defective parts go beyond normal ones
    assert np.quantile(np.abs(values), 0.9999) == pytest.approx(histogram.limit("percentile"), abs=0.1)
    assert 3 < histogram.limit("mse") < 40
    assert histogram.counts.sum() == len(values)


def test_a_tensor_of_zeros_has_no_range():
    histogram = Histogram()
    histogram.add(np.zeros(10, np.float32))
    assert histogram.limit("percentile") == 0


def test_products_are_quantized_symmetrically_by_channel(model, sample):
    nodes = quantizable(model)
    ranges = activation_ranges(model, {node.input[0] for node in nodes}, [sample], "minmax")
    quantized = onnx.load_model_from_string(int8_from_onnx(model, ranges, [node.name for node in nodes]))
    kinds = [node.op_type for node in quantized.graph.node]
    assert kinds.count("QuantizeLinear") == len({node.input[0] for node in nodes})
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    assert all(not array.any() for name, array in constants.items() if name.endswith("int8_zero"))
    for node in nodes:
        codes, scales = constants[f"{node.input[1]}/int8"], constants[f"{node.input[1]}/int8_scale"]
        assert codes.dtype == np.int8 and scales.shape == (codes.shape[1],)
        assert (np.abs(codes).max(axis=0) == 127).all()
        assert node.input[1] not in constants
    exact = OnnxSession(model).run(sample)
    assert output_error(quantized.SerializeToString(), [sample], [exact]) < 0.1


def test_products_of_activations_stay(exported_bundle):
    model = (exported_bundle / "extractor.onnx").read_bytes()
    constants = {tensor.name for tensor in onnx.load_model_from_string(model).graph.initializer}
    chosen = quantizable(model)
    products = [node for node in onnx.load_model_from_string(model).graph.node if node.op_type == "MatMul"]
    assert 0 < len(chosen) < len(products)
    assert all(node.input[1] in constants for node in chosen)


def test_the_costly_layer_is_left_out(model, sample):
    """A range that is far too small for one layer makes it the one that is left out."""
    nodes = quantizable(model)
    ranges = activation_ranges(model, {node.input[0] for node in nodes}, [sample], "minmax")
    names = [node.name for node in nodes]
    good = {node.name: ranges[node.input[0]] for node in nodes}
    ranges[nodes[1].input[0]] = 1e-3 * good[nodes[1].name]
    chosen = choose_layers(model, ranges, [sample])
    assert nodes[1].name not in chosen or len(names) < 4
    assert set(chosen) <= set(names)


def test_an_unknown_calibrator_is_refused(model, sample):
    with pytest.raises(UsageError, match="percentile"):
        activation_ranges(model, ["features"], [sample], "guess")


def test_products_that_share_a_weight_stay_or_go_together(exported_bundle):
    """The slices of a group encoder are one layer."""
    model = (exported_bundle / "extractor.onnx").read_bytes()
    shapes = {value.name: value.type.tensor_type.shape for value in onnx.load_model_from_string(model).graph.input}
    sample = {
        name: RNG.normal(size=[axis.dim_value or 1 for axis in shape.dim]).astype(np.float32)
        for name, shape in shapes.items()
    }
    nodes = quantizable(model)
    ranges = activation_ranges(model, {node.input[0] for node in nodes}, [sample], "minmax")
    for activation in {node.input[0] for node in nodes if node.input[1] == nodes[0].input[1]}:
        ranges[activation] *= 1e-3
    chosen = set(choose_layers(model, ranges, [sample]))
    left_out = {node.input[1] for node in nodes if node.name not in chosen}
    assert left_out
    assert left_out.isdisjoint(node.input[1] for node in nodes if node.name in chosen)
