"""Operations are counted from graphs and real shapes, and a roofline estimate is their quotient."""

import numpy as np
import pytest
from cmdiad.runtime.bench.estimate import LABEL, estimate, estimate_bundle, estimate_lines
from cmdiad.runtime.bench.measuring.costs import network_bytes, network_flop
from cmdiad.runtime.bench.measuring.gpus import PUBLISHED_PEAKS, find_peaks, peaks_of
from cmdiad.runtime.bench.measuring.onnx_file import read_graph
from cmdiad.runtime.bench.measuring.report import Work
from cmdiad.runtime.bench.measuring.roofline import measure_work, measured_roof, search_flop
from cmdiad.runtime.errors import BundleError, UsageError
from cmdiad.runtime.inspector import Inspector

onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def model(nodes, weights, inputs, outputs):
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()]
    values = [
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *values, initializer=initializers)
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def ones(*shape):
    return np.ones(shape, np.float32)


def test_a_product_with_weights_counts_two_operations_a_term():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "a"), helper.make_node("Gelu", ["h"], ["y"], "b")]
    encoded = model(nodes, {"w": ones(7, 5)}, {"x": ["n", 3, 7]}, {"y": ["n", 3, 5]})
    assert network_flop(encoded, {"x": ones(2, 3, 7)}) == 2 * (2 * 3) * 7 * 5
    assert network_flop(encoded, {"x": ones(4, 3, 7)}) == 2 * (4 * 3) * 7 * 5


def test_a_product_whose_left_side_is_the_weight():
    encoded = model(
        [helper.make_node("MatMul", ["w", "x"], ["y"], "a")], {"w": ones(4, 7)}, {"x": [7, 5]}, {"y": [4, 5]}
    )
    assert network_flop(encoded, {"x": ones(7, 5)}) == 2 * 4 * 7 * 5


def test_a_product_of_two_inputs():
    encoded = model(
        [helper.make_node("MatMul", ["q", "k"], ["y"], "a")], {}, {"q": [2, 6, 3], "k": [2, 3, 6]}, {"y": [2, 6, 6]}
    )
    assert network_flop(encoded, {"q": ones(2, 6, 3), "k": ones(2, 3, 6)}) == 2 * 2 * 6 * 6 * 3


def test_a_grouped_convolution():
    node = helper.make_node("Conv", ["x", "w"], ["y"], "c", group=2, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    encoded = model([node], {"w": ones(8, 2, 3, 3)}, {"x": [1, 4, 10, 10]}, {"y": [1, 8, 10, 10]})
    assert network_flop(encoded, {"x": ones(1, 4, 10, 10)}) == 2 * (8 * 10 * 10) * (2 * 3 * 3)


def test_the_file_gives_nodes_and_weight_shapes():
    encoded = model(
        [helper.make_node("Gemm", ["x", "w"], ["y"], "gemm_7")], {"w": ones(300, 2)}, {"x": ["n", 300]}, {"y": ["n", 2]}
    )
    graph = read_graph(encoded)
    assert graph.weights == {"w": [300, 2]}
    assert [(node.name, node.op, node.inputs) for node in graph.nodes] == [("gemm_7", "Gemm", ["x", "w"])]


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x3a\x7f\x00", b"plain text, not a graph"])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(BundleError, match="ONNX"):
        read_graph(data)


def test_bytes_are_weights_inputs_and_outputs():
    assert network_bytes(b"x" * 100, {"a": ones(2, 3)}, {"b": ones(5)}) == 100 + 4 * 6 + 4 * 5


def test_the_roof_of_this_machine_is_positive_and_says_how_it_is_known():
    roof = measured_roof(1)
    assert roof.flop_hz > 1e8 and roof.bytes_hz > 1e8 and "measured here" in roof.source


def test_the_embedded_networks_work_is_that_of_their_layers(calibrated_bundle, synth_data):
    inspector = Inspector.load(calibrated_bundle)
    scan = synth_data / "gland" / "test" / "good" / "xyz" / "000.tiff"
    tensors = {}
    with inspector.observed(lambda role, inputs, outputs: tensors.update({role: (inputs, outputs)})):
        inspector(scan)
    work = {each.name: each for each in measure_work(inspector, scan, {"extract": 0.1})}
    assert work.keys() == {"extract", "hallucinate", "search"} and work["extract"].seconds == 0.1
    inputs, outputs = tensors["hallucinator"]
    rows, dim = inputs["features"].shape[1:]
    hidden, wide = int(2.5 * dim), outputs["hallucination"].shape[2]
    assert work["hallucinate"].flop == 2 * rows * (dim * hidden + hidden * hidden + hidden * wide)
    banks = inspector.bundle.manifest.banks.values()
    assert work["search"].flop == sum(search_flop(rows, bank.n_rows, bank.dim) for bank in banks)


def test_an_estimate_is_the_larger_of_two_quotients():
    (device,) = peaks_of("RTX A6000")
    computing, moving = (
        Work(name="extract", flop=77.4e12, bytes=1, seconds=0),
        Work(name="search", flop=1, bytes=768e9, seconds=0),
    )
    found = estimate([computing, moving], "fp32", [device])
    assert [(each.bound_by, each.seconds) for each in found] == [
        ("operations", pytest.approx(1)),
        ("memory", pytest.approx(1)),
    ]
    assert estimate([computing], "fp16", [device])[0].seconds == pytest.approx(0.5)


def test_every_line_of_an_estimate_that_holds_a_time_says_that_it_is_one(calibrated_bundle):
    work, found = estimate_bundle(calibrated_bundle, [], "sm86")
    lines = estimate_lines(found, work)
    assert len({each.device for each in found}) == 4 and all(each.kind == LABEL for each in found)
    assert all(line.startswith("ESTIMATE") for line in lines if " at least " in line and "ms" in line)


def test_a_device_without_published_peaks_is_refused():
    with pytest.raises(UsageError, match="sm86"):
        peaks_of("sm42")
    assert find_peaks("NVIDIA L4").target == "sm89" and find_peaks("Voodoo 2") is None


def test_peaks_are_ordered_as_precisions_are():
    for device in PUBLISHED_PEAKS:
        assert device.fp32 <= (device.tf32 or device.fp32) <= device.fp16 <= device.int8
        assert device.source and device.target.startswith("sm")
