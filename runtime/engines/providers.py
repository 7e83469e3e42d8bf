"""ONNX Runtime's execution providers: their options, what to install, and proof that the GPU does the work.

Not run on a GPU yet: `cmdiad-rt selftest --provider NAME` is the proof, on a machine that has one.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import EngineError


@dataclass(frozen=True)
class Provider:
    """One of ONNX Runtime's execution providers.

    Attributes:
        name: as `--provider` takes it.
        runtime_name: as ONNX Runtime calls it.
        install: what to do where it is missing.
        options: its own, always given.
        cuda_graph_option: its option that captures a network as one CUDA graph; None: it has none.
        rest: the name of the provider that takes the operators it leaves; None: it gets no such help.
        device: in whose memory networks of fixed shapes keep inputs and outputs; None: they are copied at every run.
        plugin: the package that brings it, where it is a plug-in that is registered before use.
    """

    name: str
    runtime_name: str
    install: str
    options: Mapping[str, str] = field(default_factory=dict)
    cuda_graph_option: str | None = None
    rest: str | None = None
    device: str | None = None
    plugin: str | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether it is the one that is always there, and that ONNX Runtime falls back to."""
        return self.runtime_name == "CPUExecutionProvider"


# TF32 is off: results are compared with those of other devices.
_TABLE = (
    Provider("cpu", "CPUExecutionProvider", "pip install 'cmdiad[cpu]'"),
    Provider(
        "cuda",
        "CUDAExecutionProvider",
        "pip uninstall onnxruntime, then pip install 'cmdiad[gpu]', and an NVIDIA driver for CUDA 13",
        options={"use_tf32": "0"},
        cuda_graph_option="enable_cuda_graph",
        device="cuda",
    ),
    Provider(
        "tensorrt",
        "TensorrtExecutionProvider",
        "pip install 'cmdiad[gpu]' and TensorRT 10 on the library path",
        cuda_graph_option="trt_cuda_graph_enable",
        rest="cuda",
        device="cuda",
    ),
    Provider(
        "tensorrt-rtx",
        "NvTensorRTRTXExecutionProvider",
        "pip install 'cmdiad[cpu]' onnxruntime-ep-nv-tensorrt-rtx, and an RTX GPU with its driver",
        cuda_graph_option="enable_cuda_graph",
        plugin="onnxruntime-ep-nv-tensorrt-rtx",
    ),
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _TABLE}

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
# Shapes and indices may be computed on the CPU; of these none may.
_HEAVY_OPERATORS = {"MatMul", "Gemm", "FusedMatMul", "Conv", "Softmax", "LayerNormalization", "Gelu"}


def provider_list(provider: Provider, cuda_graph: bool) -> list[tuple[str, dict[str, str]]]:
    """What to give ONNX Runtime: the provider with its options, and who takes what it leaves.

    Raises:
        EngineError: CUDA graphs were asked for and it has none.

    Example:
        >>> provider_list(PROVIDERS["tensorrt"], cuda_graph=False)
        [('TensorrtExecutionProvider', {}), ('CUDAExecutionProvider', {'use_tf32': '0'})]
    """
    listed = [(provider.runtime_name, provider_options(provider, cuda_graph))]
    return listed if provider.rest is None else [*listed, *provider_list(PROVIDERS[provider.rest], cuda_graph=False)]


def provider_options(provider: Provider, cuda_graph: bool) -> dict[str, str]:
    """A provider's own options.

    Raises:
        EngineError: CUDA graphs were asked for and it has none.
    """
    if not cuda_graph:
        return {**provider.options}
    if provider.cuda_graph_option is None:
        able = ", ".join(other.name for other in _TABLE if other.cuda_graph_option is not None)
        raise EngineError(f"--cuda-graph needs a GPU provider ({able}), not {provider.name}")
    return {**provider.options, provider.cuda_graph_option: "1"}


def add_provider(ort: Any, options: Any, provider: Provider, cuda_graph: bool) -> list[tuple[str, dict[str, str]]]:
    """Make a provider ready for a session that is going to be opened.

    Args:
        ort: ONNX Runtime.
        options: the session's, to which a plug-in is added.
        provider: which one.
        cuda_graph: capture the network as one CUDA graph.

    Returns:
        What to give the session as its providers; empty where the options say it.

    Raises:
        EngineError: it is not installed, finds no GPU, or has no CUDA graphs.
    """
    if provider.plugin is not None:
        _add_plugin(ort, options, provider, provider.plugin.replace("-", "_"), cuda_graph)
        return []
    if provider.runtime_name not in ort.get_available_providers():
        raise missing(provider)
    if not provider.is_cpu:
        load_libraries(ort)
    return provider_list(provider, cuda_graph)


def _add_plugin(ort: Any, options: Any, provider: Provider, module: str, cuda_graph: bool) -> None:
    if importlib.util.find_spec(module) is None:
        raise missing(provider)
    plugin = importlib.import_module(module)
    name = plugin.get_ep_name()
    if all(device.ep_name != name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(name, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == name]
    if not devices:
        raise missing(provider)
    options.add_provider_for_devices(devices, provider_options(provider, cuda_graph))


def load_libraries(ort: Any) -> None:
    """Load CUDA and cuDNN from their Python packages, where those are; it prints what is missing, which says little."""
    if hasattr(ort, "preload_dlls"):  # since ONNX Runtime 1.21
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def refuse_fall_back(session: Any, provider: Provider) -> None:
    """ONNX Runtime replaces a provider that does not load by the CPU, and gives single operators to it: refuse both.

    Raises:
        EngineError: the session is not the provider's, or heavy operators are the CPU's.
    """
    if provider.is_cpu:
        return
    if session.get_providers()[0] != provider.runtime_name:
        raise missing(provider)
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before ONNX Runtime 1.24
        return
    on_cpu = heavy_operators_on_cpu(session)
    if on_cpu:
        raise EngineError(
            f"execution provider {provider.name!r} leaves operators to the CPU ({', '.join(sorted(on_cpu))}): "
            f"update the driver and ONNX Runtime ({provider.install}), or choose --provider cpu"
        )


def heavy_operators_on_cpu(session: Any) -> set[str]:
    """The kinds of operators that should be on the GPU and are on the CPU."""
    return {
        node.op_type
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name == PROVIDERS["cpu"].runtime_name
        for node in part.get_nodes()
        if node.op_type in _HEAVY_OPERATORS
    }


def missing(provider: Provider) -> EngineError:
    """What to say where a provider is not there."""
    return EngineError(
        f"execution provider {provider.name!r} is not available on this machine: {provider.install}; "
        "or choose --provider cpu"
    )
