"""IO binding: a session's inputs and outputs at fixed places on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = Mapping[str, npt.NDArray[Any]]
NOT_CAPTURED = "-1"
CUDA_GRAPH = "gpu_graph_id"  # the option of a run that says which of a session's graphs it is


@dataclass(frozen=True)
class _Bound:
    """Inputs and outputs of one set of shapes, at fixed places on the device."""

    binding: Any
    inputs: dict[str, Any]
    run_options: Any


class BoundSession:
    """Runs a session by IO binding: its inputs and outputs stay where they are on the device, run after run.

    For networks of fixed shapes; every new set of shapes gets places of its own, and with CUDA graphs a graph.
    """

    def __init__(self, ort: Any, session: Any, device: str, cuda_graph: bool) -> None:
        """Take an open session of ONNX Runtime.

        Args:
            ort: ONNX Runtime.
            session: opened by it.
            device: where inputs and outputs stay, as ONNX Runtime calls it: cuda or cpu.
            cuda_graph: capture a CUDA graph for each set of shapes.
        """
        self._ort, self._session, self._device, self._cuda_graph = ort, session, device, cuda_graph
        self._outputs = [output.name for output in session.get_outputs()]
        self._bound: dict[frozenset[tuple[str, tuple[int, ...]]], _Bound] = {}

    def run(self, feed: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the session: named contiguous arrays in, named arrays out."""
        shapes = frozenset((name, array.shape) for name, array in feed.items())
        if shapes not in self._bound:
            self._bound[shapes] = self._bind(feed)
        bound = self._bound[shapes]
        for name, array in feed.items():
            bound.inputs[name].update_inplace(array)
        self._session.run_with_iobinding(bound.binding, bound.run_options)
        copies = bound.binding.copy_outputs_to_cpu()
        return {name: np.array(copy) for name, copy in zip(self._outputs, copies, strict=True)}

    def _bind(self, feed: Arrays) -> _Bound:
        """Run once to learn the outputs' shapes, and keep the places where they were put."""
        place = self._ort.OrtValue.ortvalue_from_shape_and_type
        inputs = {name: place(array.shape, array.dtype, self._device, 0) for name, array in feed.items()}
        binding = self._session.io_binding()
        for name, value in inputs.items():
            value.update_inplace(feed[name])
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            binding.bind_output(name, self._device, 0)
        self._session.run_with_iobinding(binding, self._run_options(NOT_CAPTURED))
        outputs = binding.get_outputs()
        binding.clear_binding_outputs()
        for name, value in zip(self._outputs, outputs, strict=True):
            binding.bind_ortvalue_output(name, value)
        return _Bound(binding, inputs, self._run_options(str(len(self._bound))))

    def _run_options(self, graph: str) -> Any:
        options = self._ort.RunOptions()
        if self._cuda_graph:
            options.add_run_config_entry(CUDA_GRAPH, graph)
        return options
