"""ONNX Runtime's execution providers: their options, what to install, and proof that the GPU does the work.

Not run on a GPU yet: `cmdiad-rt selftest --provider NAME` is the proof, on a machine that has one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from ..errors import EngineError

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
}
INSTALL: Mapping[str, str] = {
    "cpu": "pip install 'cmdiad[cpu]'",
    "cuda": "pip uninstall onnxruntime, then pip install 'cmdiad[gpu]', and an NVIDIA driver for CUDA 13",
    "tensorrt": "pip install 'cmdiad[gpu]' and TensorRT 10 on the library path",
    "tensorrt-rtx": "pip install 'cmdiad[cpu]' onnxruntime-ep-nv-tensorrt-rtx, and an RTX GPU with its driver",
}
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
_CUDA_GRAPH_OPTION = {
    "cuda": "enable_cuda_graph",
    "tensorrt": "trt_cuda_graph_enable",
    "tensorrt-rtx": "enable_cuda_graph",
}
_RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
# Shapes and indices may be computed on the CPU; of these none may.
_HEAVY_OPERATORS = {"MatMul", "Gemm", "FusedMatMul", "Conv", "Softmax", "LayerNormalization", "Gelu"}
_NOT_CAPTURED = "-1"

Arrays = Mapping[str, npt.NDArray[Any]]


def provider_list(provider: str, cuda_graph: bool) -> list[tuple[str, dict[str, str]]]:
    """What to give ONNX Runtime: the provider with its options, and who takes what it leaves.

    TF32 is off: results are compared with those of other devices.
    """
    options = provider_options(provider, cuda_graph)
    if provider == "tensorrt":
        return [(PROVIDERS[provider], options), (PROVIDERS["cuda"], {"use_tf32": "0"})]
    return [(PROVIDERS[provider], options)]


def provider_options(provider: str, cuda_graph: bool) -> dict[str, str]:
    """A provider's own options.

    Raises:
        EngineError: CUDA graphs were asked for on the CPU.
    """
    options = {"use_tf32": "0"} if provider == "cuda" else {}
    if not cuda_graph:
        return options
    if provider not in _CUDA_GRAPH_OPTION:
        raise EngineError(f"--cuda-graph needs a GPU provider ({', '.join(_CUDA_GRAPH_OPTION)}), not {provider}")
    return {**options, _CUDA_GRAPH_OPTION[provider]: "1"}


def add_rtx_plugin(ort: Any, options: Any, cuda_graph: bool) -> None:
    """TensorRT-RTX comes as a plug-in package that is registered before use.

    Raises:
        EngineError: the package is not installed, or it finds no GPU.
    """
    if importlib.util.find_spec(_RTX_PLUGIN) is None:
        raise missing("tensorrt-rtx")
    plugin = importlib.import_module(_RTX_PLUGIN)
    name = plugin.get_ep_name()
    if all(device.ep_name != name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(name, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == name]
    if not devices:
        raise missing("tensorrt-rtx")
    options.add_provider_for_devices(devices, provider_options("tensorrt-rtx", cuda_graph))


def load_libraries(ort: Any) -> None:
    """Load CUDA and cuDNN from their Python packages, where those are; it prints what is missing, which says little."""
    if hasattr(ort, "preload_dlls"):  # since ONNX Runtime 1.21
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def refuse_fall_back(session: Any, provider: str) -> None:
    """ONNX Runtime replaces a provider that does not load by the CPU, and gives single operators to it: refuse both.

    Raises:
        EngineError: the session is not the provider's, or heavy operators are the CPU's.
    """
    if provider == "cpu":
        return
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise missing(provider)
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before ONNX Runtime 1.24
        return
    on_cpu = heavy_operators_on_cpu(session)
    if on_cpu:
        raise EngineError(
            f"execution provider {provider!r} leaves operators to the CPU ({', '.join(sorted(on_cpu))}): "
            f"update the driver and ONNX Runtime ({INSTALL[provider]}), or choose --provider cpu"
        )


def heavy_operators_on_cpu(session: Any) -> set[str]:
    """The kinds of operators that should be on the GPU and are on the CPU."""
    return {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == PROVIDERS["cpu"]
        for node in part.get_nodes()
        if node.op_type in _HEAVY_OPERATORS
    }


def missing(provider: str) -> EngineError:
    """What to say where a provider is not there."""
    return EngineError(
        f"execution provider {provider!r} is not available on this machine: {INSTALL[provider]}; "
        "or choose --provider cpu"
    )
