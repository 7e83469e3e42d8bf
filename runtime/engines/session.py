"""One small protocol for running a network, and its ONNX Runtime implementation.

A provider that was asked for and is not there is an error, never a silent fall-back to the CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import BundleError, EngineError, UsageError
from ..threads import thread_count
from .gpu_wheel import why_not_loaded
from .iobinding import BoundSession
from .onnxruntime_import import import_onnxruntime
from .providers import NVIDIA_GPU, PROVIDERS, RECORD_PLACEMENT, Provider, add_provider, load_libraries, refuse_fall_back

_ERROR_LEVEL = 3

Arrays = Mapping[str, npt.NDArray[Any]]


class Session(Protocol):
    """A network that is ready to run on one device."""

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the network once: named arrays in, named arrays out."""
        ...


class OnnxSession:
    """An ONNX graph in an ONNX Runtime session."""

    def __init__(
        self,
        model: bytes | Path,
        provider: str = "cpu",
        threads: int | None = None,
        cuda_graph: bool = False,
        external: Mapping[str, bytes] | None = None,
        few_shapes: bool = False,
    ) -> None:
        """Open a session.

        Nothing is printed to standard output. What ONNX Runtime's C++ says of libraries that do not load goes to
        standard error, which belongs to the whole process: it cannot be caught without catching other threads' too.

        Args:
            model: the graph's bytes, or its file where it has external data.
            provider: one of `PROVIDERS`.
            threads: CPU threads inside an operator; None: the processors this process may use.
            cuda_graph: let a GPU provider capture the network as one CUDA graph for each set of shapes.
            external: the contents of its external data by file name, where the graph is given as bytes.
            few_shapes: inputs come in so few shapes that each may keep places of its own on a device.

        Raises:
            EngineError: ONNX Runtime or the provider is missing, or the provider refuses the graph.
            BundleError: the graph is not a valid ONNX file.
            UsageError: fewer than one thread, or there is no provider of this name.
        """
        count = thread_count(threads)
        if provider not in PROVIDERS:
            raise unknown_provider(provider, PROVIDERS)
        chosen = PROVIDERS[provider]
        self._session = open_onnxruntime(model, chosen, count, cuda_graph, external or {})
        self._inputs = {tensor.name: tensor.shape for tensor in self._session.get_inputs()}
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        self._bound: BoundSession | None = None
        if chosen.device is not None and (few_shapes or self._has_fixed_shapes()):
            self._bound = BoundSession(import_onnxruntime(), self._session, chosen.device, cuda_graph)

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the graph; the inputs are checked against its declared names and shapes first.

        Raises:
            EngineError: an input does not fit, or the device cannot run the graph, out of memory for instance.
        """
        self._check(inputs)
        feed = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        try:
            if self._bound is not None:
                return self._bound.run(feed)
            return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))
        except Exception as cause:  # ONNX Runtime's errors share no public base class
            raise EngineError(f"ONNX Runtime cannot run the network: {' '.join(str(cause).split())[:300]}") from cause

    def _check(self, inputs: Arrays) -> None:
        if inputs.keys() != self._inputs.keys():
            raise EngineError(f"the network takes {sorted(self._inputs)}, got {sorted(inputs)}")
        for name, array in inputs.items():
            expected = self._inputs[name]
            fits = array.ndim == len(expected) and all(
                not isinstance(want, int) or want == got for want, got in zip(expected, array.shape, strict=True)
            )
            if not fits:
                raise EngineError(f"the network's input {name!r} takes {expected}, got {list(array.shape)}")

    def _has_fixed_shapes(self) -> bool:
        """Whether no axis but the batch is free."""
        return all(isinstance(axis, int) for shape in self._inputs.values() for axis in shape[1:])


def unknown_provider(name: str, known: Iterable[str]) -> UsageError:
    """What to say where nothing of that name runs networks."""
    return UsageError(f"unknown execution provider {name!r}: choose one of {', '.join(known)}")


def open_onnxruntime(
    model: bytes | Path,
    provider: Provider,
    threads: int,
    cuda_graph: bool,
    external: Mapping[str, bytes],
    stream: int | None = None,
) -> Any:
    """A session of ONNX Runtime itself; arguments and errors are those of `OnnxSession`.

    Args:
        model, provider, threads, cuda_graph, external: see there.
        stream: the handle of the stream to run on, if the provider takes one; None: its own.
    """
    ort = import_onnxruntime()
    options = _session_options(ort, provider, threads, external)
    source = str(model) if isinstance(model, Path) else model
    try:
        listed = add_provider(ort, options, provider, cuda_graph, stream)
        printed = load_libraries(ort) if listed and provider.hardware == NVIDIA_GPU else ""
        # Else it prints that the provider fails and goes on on the CPU, when opened or at any later run.
        session = ort.InferenceSession(source, options, providers=listed or None, enable_fallback=0)
    except EngineError:
        raise
    except Exception as cause:  # ONNX Runtime's errors share no public base class
        raise _session_error(provider, cause, why_not_loaded(ort, provider.name)) from cause
    refuse_fall_back(session, provider, lambda: why_not_loaded(ort, provider.name) or printed)
    return session


def _session_options(ort: Any, provider: Provider, threads: int, external: Mapping[str, bytes]) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    # Between networks the processors belong to the search and to the next scan, not to threads that wait.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.inter_op_num_threads = 1
    # A plan of all buffers for every number of patches is kept for good; on a CPU it saves no time.
    options.enable_mem_pattern = not provider.is_cpu
    options.log_severity_level = _ERROR_LEVEL
    if not provider.is_cpu:
        options.add_session_config_entry(RECORD_PLACEMENT, "1")
    if external:
        sizes = [len(content) for content in external.values()]
        options.add_external_initializers_from_files_in_memory(list(external), list(external.values()), sizes)
    return options


def _session_error(provider: Provider, cause: Exception, not_loaded: str) -> Exception:
    text = not_loaded or " ".join(str(cause).split())[:300]
    if type(cause).__name__ in ("InvalidProtobuf", "InvalidGraph", "NoSuchFile"):
        return BundleError(f"the network is not a valid ONNX graph ({text}): export the bundle again")
    return EngineError(f"execution provider {provider.name!r} cannot run the network: {text}; {provider.remedy()}")
