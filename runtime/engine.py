"""One small protocol for running a network, and its ONNX Runtime implementation.

A provider that was asked for and is not there is an error, never a silent fall-back to the CPU.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .errors import BundleError, EngineError

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
}
_INSTALL: Mapping[str, str] = {
    "cpu": "pip install 'cmdiad[cpu]'",
    "cuda": "pip uninstall onnxruntime, then pip install 'cmdiad[gpu]', and an NVIDIA driver for CUDA 13",
    "tensorrt": "pip install 'cmdiad[gpu]' and TensorRT 10 on the library path",
    "tensorrt-rtx": "pip install 'cmdiad[cpu]' onnxruntime-ep-nv-tensorrt-rtx, and an RTX GPU with its driver",
}
_ERROR_LEVEL = 3

Arrays = Mapping[str, npt.NDArray[Any]]


class Engine(Protocol):
    """A network that is ready to run on one device."""

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the network once: named arrays in, named arrays out."""
        ...


class OnnxEngine:
    """An ONNX graph in an ONNX Runtime session."""

    def __init__(self, model: bytes | Path, provider: str = "cpu", threads: int | None = None) -> None:
        """Open a session.

        Args:
            model: the graph's bytes, or its file where it has external data.
            provider: one of `PROVIDERS`.
            threads: CPU threads inside an operator; None: the processors this process may use.

        Raises:
            EngineError: ONNX Runtime or the provider is missing, or the provider refuses the graph.
            BundleError: the graph is not a valid ONNX file.
        """
        self._session = _open_session(model, provider, threads or _usable_cpus())
        self._inputs = {item.name: item.shape for item in self._session.get_inputs()}
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the graph; the inputs are checked against its declared names and ranks first."""
        if inputs.keys() != self._inputs.keys():
            raise EngineError(f"the network takes {sorted(self._inputs)}, got {sorted(inputs)}")
        for name, array in inputs.items():
            expected = self._inputs[name]
            fits = array.ndim == len(expected) and all(
                not isinstance(want, int) or want == got for want, got in zip(expected, array.shape, strict=True)
            )
            if not fits:
                raise EngineError(f"the network's input {name!r} takes {expected}, got {list(array.shape)}")
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _import_onnxruntime() -> Any:
    if importlib.util.find_spec("onnxruntime") is None:
        raise EngineError("ONNX Runtime is not installed: pip install 'cmdiad[cpu]' (or 'cmdiad[gpu]')")
    import onnxruntime

    return onnxruntime


def _open_session(model: bytes | Path, provider: str, threads: int) -> Any:
    if provider not in PROVIDERS:
        raise EngineError(f"unknown execution provider {provider!r}: choose one of {', '.join(PROVIDERS)}")
    ort = _import_onnxruntime()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERROR_LEVEL
    source = str(model) if isinstance(model, Path) else model
    try:
        if provider == "tensorrt-rtx":
            return _open_rtx_session(ort, source, options)
        if PROVIDERS[provider] not in ort.get_available_providers():
            raise _missing(provider)
        session = ort.InferenceSession(source, options, providers=[PROVIDERS[provider]])
    except (EngineError, BundleError):
        raise
    except Exception as cause:  # ONNX Runtime's errors share no public base class
        raise _session_error(provider, cause) from cause
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise _missing(provider)
    return session


def _open_rtx_session(ort: Any, source: str | bytes, options: Any) -> Any:
    """TensorRT-RTX comes as a plug-in package that is registered before use."""
    name = "onnxruntime_ep_nv_tensorrt_rtx"
    if importlib.util.find_spec(name) is None:
        raise _missing("tensorrt-rtx")
    plugin = importlib.import_module(name)
    ep_name = plugin.get_ep_name()
    if all(device.ep_name != ep_name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(ep_name, plugin.get_library_path())
    devices = [device for device in ort.get_ep_devices() if device.ep_name == ep_name]
    if not devices:
        raise _missing("tensorrt-rtx")
    options.add_provider_for_devices(devices, {})
    return ort.InferenceSession(source, options)


def _missing(provider: str) -> EngineError:
    return EngineError(
        f"execution provider {provider!r} is not available on this machine: {_INSTALL[provider]}; "
        "or choose --provider cpu"
    )


def _session_error(provider: str, cause: Exception) -> Exception:
    text = " ".join(str(cause).split())[:300]
    if type(cause).__name__ in ("InvalidProtobuf", "InvalidGraph", "NoSuchFile"):
        return BundleError(f"the network is not a valid ONNX graph ({text}): export the bundle again")
    return EngineError(f"execution provider {provider!r} cannot run the network: {text}; {_INSTALL[provider]}")
