"""Sessions check what goes in and never fall back in silence."""

import threading

import numpy as np
import onnxruntime
import pytest
from cmdiad.runtime.engines import providers as providers_module
from cmdiad.runtime.engines.providers import load_libraries
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import BundleError, EngineError, UsageError

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


@pytest.mark.parametrize(("provider", "error"), [("tensorrt-rtx", EngineError), ("abacus", UsageError)])
def test_a_provider_that_is_not_there_is_an_error(doubling, provider, error):
    with pytest.raises(error, match=provider):
        OnnxSession(doubling, provider)


@pytest.mark.parametrize("model", [b"", b"no graph", b"\x08\x0a" * 20])
def test_what_is_no_graph_is_refused(model):
    with pytest.raises((BundleError, EngineError)):
        OnnxSession(model)


def test_threads_change_nothing_beyond_rounding(doubling):
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    one, two = (OnnxSession(doubling, threads=n).run({"x": x})["y"] for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-6)


GPU_WHEEL = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


class WithoutTensorRT(onnxruntime.InferenceSession):
    """ONNX Runtime's own session where the GPU's wheel is installed and TensorRT is not."""

    def _create_inference_session(self, providers, *arguments):
        if any(name == GPU_WHEEL[0] for name, _ in providers or []):
            raise RuntimeError("RegisterTensorRTPluginsAsCustomOps\n Please install TensorRT libraries")
        super()._create_inference_session(providers, *arguments)


def test_a_provider_that_fails_to_load_is_one_error_and_nothing_is_printed(doubling, monkeypatch, capfd):
    monkeypatch.setattr(onnxruntime, "InferenceSession", WithoutTensorRT)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_WHEEL)
    with pytest.raises(EngineError, match=r"'tensorrt'.*Please install TensorRT libraries") as refusal:
        OnnxSession(doubling, "tensorrt")
    assert "\n" not in str(refusal.value) and capfd.readouterr().out == ""


def test_no_run_falls_back_to_the_cpu(doubling):
    """ONNX Runtime would print so to standard output, and go on."""
    assert OnnxSession(doubling)._session._enable_fallback is False


class SilentSession:
    """A session of ONNX Runtime that runs on the CPU whatever it was asked for, and does not say so."""

    def __init__(self, *arguments, **options):
        pass

    def get_providers(self):
        return ["CPUExecutionProvider"]


def test_what_is_printed_while_libraries_load_is_in_the_error(doubling, monkeypatch, capfd):
    monkeypatch.setattr(onnxruntime, "InferenceSession", SilentSession)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: GPU_WHEEL)
    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: print("Failed to load libcublasLt.so.13:\n no such file"), raising=False
    )
    with pytest.raises(EngineError, match=r"'cuda' is not available.*Failed to load libcublasLt\.so\.13: no such file"):
        OnnxSession(doubling, "cuda")
    assert capfd.readouterr().out == ""


def test_what_other_threads_print_meanwhile_is_printed(monkeypatch, capsys):
    def loading():
        print("mine")
        other = threading.Thread(target=print, args=["theirs"])
        other.start()
        other.join()

    monkeypatch.setattr(onnxruntime, "preload_dlls", loading, raising=False)
    assert load_libraries(onnxruntime) == "mine"
    assert capsys.readouterr().out == "theirs\n"


def test_libraries_of_nvidia_are_loaded_for_its_providers_alone(doubling, monkeypatch):
    monkeypatch.setattr("cmdiad.runtime.engines.session.load_libraries", lambda ort: pytest.fail("loaded"))
    OnnxSession(doubling).run({"x": np.ones((1, 3), np.float32)})
    other = providers_module.Provider("npu", "CPUExecutionProvider", "an NPU", "pip install npu")
    monkeypatch.setitem(providers_module.PROVIDERS, "npu", other)
    OnnxSession(doubling, "npu").run({"x": np.ones((1, 3), np.float32)})
