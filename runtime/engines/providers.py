"""ONNX Runtime's execution providers: their options, what to install, and proof that the GPU does the work.

Of the providers for GPUs, `cuda` has run on one (an H200), the others have not yet:
`cmdiad-rt selftest --provider NAME` is the proof.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..errors import EngineError
from .gpu_wheel import gpu_remedy

CPU = "CPU"
NVIDIA_GPU = "NVIDIA GPU"


@dataclass(frozen=True)
class Provider:
    """One of ONNX Runtime's execution providers.

    Attributes:
        name: as `--provider` takes it.
        runtime_name: as ONNX Runtime calls it.
        hardware: what its networks run on: `CPU`, `NVIDIA_GPU`, or another vendor's device by name.
        install: what to do where it is missing; None: it is of ONNX Runtime's wheel for NVIDIA GPUs, see `gpu_remedy`.
        needs_too: what it needs besides that wheel.
        options: its own, always given.
        cuda_graph_option: its option that captures a network as one CUDA graph; None: it has none.
        rest: the name of the provider that takes the operators it leaves; None: it gets no such help.
        stream_option: its option that takes the handle of the stream to run on; None: it always has its own.
        device: in whose memory networks of fixed shapes keep inputs and outputs; None: they are copied at every run.
        plugin: the package that brings it, where it is a plug-in that is registered before use.
    """

    name: str
    runtime_name: str
    hardware: str
    install: str | None
    needs_too: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    cuda_graph_option: str | None = None
    stream_option: str | None = None
    rest: str | None = None
    device: str | None = None
    plugin: str | None = None

    @property
    def is_cpu(self) -> bool:
        """Whether it is the one that is always there, and that ONNX Runtime falls back to."""
        return self.runtime_name == "CPUExecutionProvider"

    @property
    def captures_unasked(self) -> bool:
        """Whether networks are captured as CUDA graphs where nobody says otherwise: inputs then lie at fixed places."""
        return self.cuda_graph_option is not None and self.device is not None

    def remedy(self) -> str:
        """What to do where it is missing on this machine."""
        return gpu_remedy() + self.needs_too if self.install is None else self.install


# TF32 is off: results are compared with those of other devices.
_TABLE = (
    Provider("cpu", "CPUExecutionProvider", CPU, "pip install 'cmdiad[cpu]'"),
    Provider(
        "cuda",
        "CUDAExecutionProvider",
        NVIDIA_GPU,
        None,
        options={"use_tf32": "0"},
        cuda_graph_option="enable_cuda_graph",
        stream_option="user_compute_stream",
        device="cuda",
    ),
    Provider(
        "tensorrt",
        "TensorrtExecutionProvider",
        NVIDIA_GPU,
        None,
        needs_too=", and put TensorRT 10 on the library path",
        cuda_graph_option="trt_cuda_graph_enable",
        stream_option="user_compute_stream",
        rest="cuda",
        device="cuda",
    ),
    Provider(
        "tensorrt-rtx",
        "NvTensorRTRTXExecutionProvider",
        NVIDIA_GPU,
        "pip install 'cmdiad[cpu]' onnxruntime-ep-nv-tensorrt-rtx, and an RTX GPU with its driver",
        cuda_graph_option="enable_cuda_graph",
        plugin="onnxruntime-ep-nv-tensorrt-rtx",
    ),
)
PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _TABLE}

RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
# Shapes and indices may be computed on the CPU; of these none may.
_HEAVY_OPERATORS = {"MatMul", "Gemm", "FusedMatMul", "Conv", "Softmax", "LayerNormalization", "Gelu"}


def provider_list(provider: Provider, cuda_graph: bool, stream: int | None = None) -> list[tuple[str, dict[str, str]]]:
    """What to give ONNX Runtime: the provider with its options, and who takes what it leaves.

    Raises:
        EngineError: CUDA graphs were asked for and it has none.

    Example:
        >>> provider_list(PROVIDERS["tensorrt"], cuda_graph=False)
        [('TensorrtExecutionProvider', {}), ('CUDAExecutionProvider', {'use_tf32': '0'})]
    """
    listed = [(provider.runtime_name, provider_options(provider, cuda_graph, stream))]
    if provider.rest is None:
        return listed
    return [*listed, *provider_list(PROVIDERS[provider.rest], cuda_graph=False, stream=stream)]


def provider_options(provider: Provider, cuda_graph: bool, stream: int | None = None) -> dict[str, str]:
    """A provider's own options.

    Args:
        provider: which one.
        cuda_graph: capture the network as one CUDA graph.
        stream: the handle of the stream to run on, if it takes one; None: its own.

    Raises:
        EngineError: CUDA graphs were asked for and it has none.
    """
    options = {**provider.options}
    if stream is not None and provider.stream_option is not None:
        options[provider.stream_option] = str(stream)
    if not cuda_graph:
        return options
    if provider.cuda_graph_option is None:
        able = ", ".join(other.name for other in _TABLE if other.cuda_graph_option is not None)
        raise EngineError(f"--cuda-graph needs a GPU provider ({able}), not {provider.name}")
    return {**options, provider.cuda_graph_option: "1"}


def add_provider(
    ort: Any, options: Any, provider: Provider, cuda_graph: bool, stream: int | None = None
) -> list[tuple[str, dict[str, str]]]:
    """Make a provider ready for a session that is going to be opened.

    Args:
        ort: ONNX Runtime.
        options: the session's, to which a plug-in is added.
        provider: which one.
        cuda_graph: capture the network as one CUDA graph.
        stream: the handle of the stream to run on, if it takes one; None: its own.

    Returns:
        What to give the session as its providers; empty where the options say it.

    Raises:
        EngineError: it is not installed, finds no GPU, or has no CUDA graphs.
    """
    require_installed(ort, provider)
    if provider.plugin is not None:
        _add_plugin(ort, options, provider, _module(provider.plugin), cuda_graph)
        return []
    return provider_list(provider, cuda_graph, stream)


def require_installed(ort: Any, provider: Provider) -> None:
    """Refuse a provider that ONNX Runtime was built without, or whose plug-in is not here; nothing is loaded.

    Raises:
        EngineError: says what to install.
    """
    if provider.plugin is None:
        installed = provider.runtime_name in ort.get_available_providers()
    else:
        installed = importlib.util.find_spec(_module(provider.plugin)) is not None
    if not installed:
        raise missing(provider)


def _module(package: str) -> str:
    return package.replace("-", "_")


def _add_plugin(ort: Any, options: Any, provider: Provider, module: str, cuda_graph: bool) -> None:
    plugin = importlib.import_module(module)
    name = plugin.get_ep_name()
    if all(device.ep_name != name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(name, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == name]
    if not devices:
        raise missing(provider)
    options.add_provider_for_devices(devices, provider_options(provider, cuda_graph))


def load_libraries(ort: Any) -> str:
    """Load CUDA and cuDNN from their Python packages, where those are; what it prints is returned, in one line."""
    if not hasattr(ort, "preload_dlls"):  # since ONNX Runtime 1.21
        return ""
    with _printed_by_this_thread() as printed:
        ort.preload_dlls()
    return " ".join(printed.getvalue().split())


class _OneThread(io.TextIOBase):
    """Catches what one thread prints; what the others print goes where it went."""

    def __init__(self, caught: io.StringIO, others: Any) -> None:
        self._thread, self._caught, self._others = threading.get_ident(), caught, others

    def write(self, text: str) -> int:
        mine = threading.get_ident() == self._thread
        return int((self._caught if mine else self._others).write(text))


_PRINTING = threading.Lock()


@contextmanager
def _printed_by_this_thread() -> Iterator[io.StringIO]:
    """Catch what this thread prints; of several threads that ask for it, one at a time."""
    caught = io.StringIO()
    with _PRINTING:
        before = sys.stdout
        sys.stdout = _OneThread(caught, before)
        try:
            yield caught
        finally:
            sys.stdout = before


def refuse_fall_back(session: Any, provider: Provider, why: Callable[[], str] = str) -> None:
    """ONNX Runtime replaces a provider that does not load by the CPU, and gives single operators to it: refuse both.

    Args:
        session: open.
        provider: what it was asked for.
        why: tells why the provider does not load; empty if nobody knows.

    Raises:
        EngineError: the session is not the provider's, or heavy operators are the CPU's.
    """
    if provider.is_cpu:
        return
    if session.get_providers()[0] != provider.runtime_name:
        raise missing(provider, why())
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before ONNX Runtime 1.24
        return
    on_cpu = heavy_operators_on_cpu(session)
    if on_cpu:
        raise EngineError(
            f"execution provider {provider.name!r} leaves operators to the CPU ({', '.join(sorted(on_cpu))}): "
            "update the driver and ONNX Runtime, or choose --provider cpu"
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


def missing(provider: Provider, why: str = "") -> EngineError:
    """What to say where a provider is not there, with the reason where it is known."""
    reason = f" ({why[:300]})" if why else ""
    return EngineError(
        f"execution provider {provider.name!r} is not available on this machine{reason}: {provider.remedy()}; "
        "or choose --provider cpu"
    )
