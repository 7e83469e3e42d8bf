"""A session of ONNX Runtime whose inputs and outputs lie on a device, where kernels write and read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import EngineError
from .device import Buffer, Device
from .iobinding import CUDA_GRAPH, NOT_CAPTURED

# The stream is waited for when the answers are fetched, not when the graph is queued.
_DO_NOT_WAIT = "disable_synchronize_execution_providers"


@dataclass(frozen=True)
class DeviceTensor:
    """A tensor on a device.

    Attributes:
        buffer: where it begins; may be longer.
        shape: in elements.
        dtype: of these.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def allocate(cls, device: Device, shape: tuple[int, ...], dtype: str) -> DeviceTensor:
        """Memory for a tensor.

        Raises:
            EngineError: the device has not as much.
        """
        kind = np.dtype(dtype)
        return cls(device.allocate(int(np.prod(shape)) * kind.itemsize), shape, kind)


@dataclass(eq=False)
class BoundRun:
    """A session with its inputs and outputs at fixed places.

    Attributes:
        binding: ONNX Runtime's.
        places: of the inputs and outputs, by name.
        graph: the number of its CUDA graph, where the session captures any.
        runs: how often it was run.
    """

    binding: Any
    places: dict[str, int]
    graph: int
    runs: int = field(default=0)


class DeviceSession:
    """Runs a graph on a device's memory, on the device's own stream where the provider takes one."""

    def __init__(self, ort: Any, session: Any, device: Device, shares_stream: bool, cuda_graph: bool) -> None:
        """Take an open session.

        Args:
            ort: ONNX Runtime.
            session: opened by it.
            device: in whose memory inputs and outputs lie.
            shares_stream: whether it was opened on the device's stream; else each waits for the other.
            cuda_graph: capture a CUDA graph for each set of places.
        """
        self._ort, self._session, self._device = ort, session, device
        self._shares_stream, self._cuda_graph, self._graphs = shares_stream, cuda_graph, 0

    def bind(self, inputs: Mapping[str, DeviceTensor], outputs: Mapping[str, DeviceTensor]) -> BoundRun:
        """Fix the places of all inputs and outputs.

        Raises:
            EngineError: a tensor does not fit the graph.
        """
        binding = self._call(self._session.io_binding)
        for bind, tensors in ((binding.bind_input, inputs), (binding.bind_output, outputs)):
            for name, tensor in tensors.items():
                place = self._device.name, 0, tensor.dtype.type, list(tensor.shape), tensor.buffer.pointer
                self._call(bind, name, *place)
        self._graphs += 1
        places = {name: tensor.buffer.pointer for name, tensor in {**inputs, **outputs}.items()}
        return BoundRun(binding, places, self._graphs)

    def run(self, bound: BoundRun) -> None:
        """Queue the graph on what the inputs hold by then; the first time it is run without being captured.

        Raises:
            EngineError: the device cannot run it, out of memory for instance.
        """
        options = self._ort.RunOptions()
        if self._cuda_graph:
            options.add_run_config_entry(CUDA_GRAPH, str(bound.graph) if bound.runs else NOT_CAPTURED)
        if self._shares_stream:
            options.add_run_config_entry(_DO_NOT_WAIT, "1")
        else:
            self._device.synchronize()
        self._call(self._session.run_with_iobinding, bound.binding, options)
        bound.runs += 1

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as cause:  # ONNX Runtime's errors share no public base class
            raise EngineError(
                f"ONNX Runtime cannot run the line graph on the device: {' '.join(str(cause).split())[:300]}: choose a "
                "smaller --batch if memory is full, or --provider cpu"
            ) from cause
