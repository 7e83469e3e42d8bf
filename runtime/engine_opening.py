"""The one door to a bundle's networks, and a window on what goes through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle import Bundle
from .engine import Arrays, Engine, OnnxEngine

Observer = Callable[[str, Arrays, Arrays], None]


def open_engine(bundle: Bundle, role: str, provider: str = "cpu", threads: int | None = None) -> Engine:
    """Make one network of a bundle ready to run.

    Args:
        bundle: verified.
        role: which of its networks.
        provider: an execution provider of ONNX Runtime (`engine.PROVIDERS`).
        threads: CPU threads inside an operator; None: all this process may use.

    Raises:
        EngineError: what was asked for is not available on this machine.
        BundleError: the network is missing or not valid.
    """
    return OnnxEngine(bundle.read(bundle.manifest.networks[role].file), provider, threads)


class ObservedEngine:
    """An engine that shows an observer what goes in and what comes out."""

    def __init__(self, role: str, engine: Engine, observer: Observer) -> None:
        self._role, self._engine, self._observer = role, engine, observer

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the engine, then call the observer with the role, the inputs and the outputs."""
        outputs = self._engine.run(inputs)
        self._observer(self._role, inputs, outputs)
        return outputs


class Recorder:
    """An observer that keeps every tensor of one inspection, named `role.tensor`, in order."""

    def __init__(self) -> None:
        self.tensors: dict[str, npt.NDArray[np.float32]] = {}

    def __call__(self, role: str, inputs: Arrays, outputs: Arrays) -> None:
        """Keep the tensors of one run."""
        for name, array in (*inputs.items(), *outputs.items()):
            self.tensors[f"{role}.{name}"] = np.array(array, np.float32)
