"""Sessions check what goes in and never fall back in silence."""

import numpy as np
import pytest
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import BundleError, EngineError

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def doubling():
    """y = x + x for x of shape (n, 3)."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", kind, ["n", 3])],
        [helper.make_tensor_value_info("y", kind, ["n", 3])],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


def test_runs(doubling):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(OnnxSession(doubling).run({"x": x})["y"], 2 * x)


def test_takes_arrays_that_are_not_contiguous(doubling):
    x = np.arange(12, dtype=np.float32).reshape(3, 4).T[:, ::-1]
    np.testing.assert_array_equal(OnnxSession(doubling).run({"x": x})["y"], 2 * x)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"z": np.zeros((1, 3), np.float32)}, r"takes \['x'\], got \['z'\]"),
        ({"x": np.zeros((1, 4), np.float32)}, r"takes \['n', 3\], got \[1, 4\]"),
        ({"x": np.zeros(3, np.float32)}, r"got \[3\]"),
    ],
)
def test_wrong_inputs_are_named(doubling, inputs, words):
    with pytest.raises(EngineError, match=words):
        OnnxSession(doubling).run(inputs)


@pytest.mark.parametrize("provider", ["tensorrt-rtx", "abacus"])
def test_a_provider_that_is_not_there_is_an_error(doubling, provider):
    with pytest.raises(EngineError, match=provider):
        OnnxSession(doubling, provider)


@pytest.mark.parametrize("model", [b"", b"no graph", b"\x08\x0a" * 20])
def test_what_is_no_graph_is_refused(model):
    with pytest.raises((BundleError, EngineError)):
        OnnxSession(model)


def test_threads_change_nothing_beyond_rounding(doubling):
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    one, two = (OnnxSession(doubling, threads=n).run({"x": x})["y"] for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-6)
