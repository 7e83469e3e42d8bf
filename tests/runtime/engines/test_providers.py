"""GPU providers: options, proof that the GPU does the work, and IO binding (here with the CPU as the device)."""

from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from cmdiad.runtime.acceptance.probe import PROBE
from cmdiad.runtime.bench.measuring.nvidia import open_nvidia
from cmdiad.runtime.engines.iobinding import BoundSession
from cmdiad.runtime.engines.opening import ENGINE_PROVIDERS, hardware_of, runs_on_device
from cmdiad.runtime.engines.providers import (
    CPU,
    NVIDIA_GPU,
    PROVIDERS,
    RECORD_PLACEMENT,
    Provider,
    heavy_operators_on_cpu,
    load_libraries,
    missing,
    provider_list,
    provider_options,
    refuse_fall_back,
)
from cmdiad.runtime.errors import EngineError, UsageError
from cmdiad.runtime.line_graph import prefers_line_graph

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def session():
    """y = a @ b for a (n, 3), b (3, 2), in a session that records where its operators run."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"]), helper.make_node("Shape", ["y"], ["shape"])],
        "product",
        [helper.make_tensor_value_info("a", kind, ["n", 3]), helper.make_tensor_value_info("b", kind, [3, 2])],
        [
            helper.make_tensor_value_info("y", kind, ["n", 2]),
            helper.make_tensor_value_info("shape", onnx.TensorProto.INT64, [2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(RECORD_PLACEMENT, "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_bound_runs_give_what_plain_runs_give_and_keep_no_results_together(session):
    bound = BoundSession(onnxruntime, session, "cpu", cuda_graph=False)
    rng = np.random.default_rng(0)
    answers = []
    for n in (1, 4, 1, 4):
        feed = {"a": rng.normal(size=(n, 3)).astype(np.float32), "b": rng.normal(size=(3, 2)).astype(np.float32)}
        answers.append((feed, bound.run(feed)))
    for feed, answer in answers:
        np.testing.assert_allclose(answer["y"], feed["a"] @ feed["b"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(answer["shape"], answer["y"].shape)
    assert len(bound._bound) == 2


def test_the_order_of_the_inputs_does_not_matter(session):
    bound = BoundSession(onnxruntime, session, "cpu", cuda_graph=False)
    a, b = np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)
    one, two = bound.run({"a": a, "b": b}), bound.run({"b": b, "a": a})
    np.testing.assert_array_equal(one["y"], two["y"])
    assert len(bound._bound) == 1


def test_heavy_operators_on_the_cpu_are_seen_and_cheap_ones_passed_over(session):
    assert heavy_operators_on_cpu(session) == {"MatMul"}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt", "tensorrt-rtx"])
def test_a_session_that_fell_back_as_a_whole_is_refused(session, provider):
    with pytest.raises(EngineError, match=f"{provider}.*not available"):
        refuse_fall_back(session, PROVIDERS[provider])


def test_a_session_that_leaves_products_to_the_cpu_is_refused(session):
    half = SimpleNamespace(
        get_providers=lambda: [PROVIDERS["cuda"].runtime_name, PROVIDERS["cpu"].runtime_name],
        get_provider_graph_assignment_info=session.get_provider_graph_assignment_info,
    )
    with pytest.raises(EngineError, match="MatMul"):
        refuse_fall_back(half, PROVIDERS["cuda"])


def test_the_cpu_may_be_the_cpu(session):
    refuse_fall_back(session, PROVIDERS["cpu"])


def test_options():
    assert provider_list(PROVIDERS["cpu"], False) == [("CPUExecutionProvider", {})]
    assert provider_list(PROVIDERS["cuda"], True) == [
        ("CUDAExecutionProvider", {"use_tf32": "0", "enable_cuda_graph": "1"})
    ]
    names = [name for name, _ in provider_list(PROVIDERS["tensorrt"], False)]
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert provider_options(PROVIDERS["tensorrt"], True) == {"trt_cuda_graph_enable": "1"}
    with pytest.raises(EngineError, match="GPU provider"):
        provider_options(PROVIDERS["cpu"], True)


def test_every_provider_says_what_it_runs_on():
    everything = [*PROVIDERS, *ENGINE_PROVIDERS]
    assert [name for name in everything if not runs_on_device(name)] == ["cpu"]
    assert {hardware_of(name) for name in everything if runs_on_device(name)} == {NVIDIA_GPU}
    with pytest.raises(UsageError, match="abacus"):
        runs_on_device("abacus")


@pytest.mark.parametrize(("hardware", "preferred"), [(CPU, False), ("Intel GPU", True)])
def test_a_row_of_the_table_is_all_that_another_vendor_needs(monkeypatch, hardware, preferred):
    """Another provider of the CPU prefers no line graph; another vendor's GPU has no figures from NVIDIA's driver."""
    monkeypatch.setitem(
        PROVIDERS, "openvino", Provider("openvino", "OpenVINOExecutionProvider", hardware, "pip install")
    )
    bundle = SimpleNamespace(manifest=SimpleNamespace(line_graph="line.onnx"))
    assert prefers_line_graph(bundle, "openvino") is preferred
    assert open_nvidia("openvino") == (None, None)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_missing_can_be_installed(provider):
    assert "pip install" in str(missing(PROVIDERS[provider]))


def test_loading_libraries_prints_nothing(capfd):
    load_libraries(onnxruntime)
    assert capfd.readouterr().out == ""


def test_the_probe_is_one_product():
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    x, y = (helper.make_tensor_value_info(name, kind, [2, 2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "x"], ["y"])], "probe", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert onnx.load_model_from_string(PROBE) == model
