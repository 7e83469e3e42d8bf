"""The one door to a bundle's networks, and a window on what goes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import FlavorName
from ..bundle.reading import Bundle
from .plan import open_tensorrt_engine
from .plan_check import LINE_ROLE, external_data, graph_of
from .providers import CPU, NVIDIA_GPU, PROVIDERS
from .session import Arrays, OnnxSession, Session, unknown_provider

Observer = Callable[[str, Arrays, Arrays], None]


# What `--provider` takes besides ONNX Runtime's execution providers: the bundle's serialized engines, by flavor.
ENGINE_PROVIDERS: Mapping[str, FlavorName] = {"tensorrt-engine": "tensorrt", "tensorrt-rtx-engine": "tensorrt-rtx"}


def hardware_of(provider: str) -> str:
    """What the networks run on under a provider or under the bundle's engines: `CPU`, `NVIDIA_GPU` or another device.

    Raises:
        EngineError: there is no such provider.
    """
    if provider in ENGINE_PROVIDERS:
        return NVIDIA_GPU
    if provider not in PROVIDERS:
        raise unknown_provider(provider, [*PROVIDERS, *ENGINE_PROVIDERS])
    return PROVIDERS[provider].hardware


def runs_on_device(provider: str) -> bool:
    """Whether networks run on a device beside the CPU under a provider or under the bundle's engines.

    Raises:
        EngineError: there is no such provider.
    """
    return hardware_of(provider) != CPU


def open_session(
    bundle: Bundle, role: str, provider: str = "cpu", threads: int | None = None, cuda_graph: bool = False
) -> Session:
    """Make one network of a bundle ready to run.

    Args:
        bundle: verified.
        role: which of its networks.
        provider: an execution provider of ONNX Runtime, or one of `ENGINE_PROVIDERS`.
        threads: CPU threads inside an operator; None: all this process may use.
        cuda_graph: capture networks whose only free axis is the batch as CUDA graphs.

    Raises:
        EngineError: what was asked for is not available on this machine.
        BundleError: the network is missing or not valid.

    Example:
        >>> session = open_session(open_bundle(path), "extractor")  # doctest: +SKIP
        >>> tokens = session.run({"groups": groups, "centers": centers})["tokens"]  # doctest: +SKIP
    """
    network = graph_of(bundle, role) if role == LINE_ROLE else bundle.manifest.run_networks(provider)[role]
    captured = cuda_graph and all(isinstance(axis, int) for tensor in network.inputs for axis in tensor.shape[1:])
    if provider in ENGINE_PROVIDERS:
        return open_tensorrt_engine(bundle, role, ENGINE_PROVIDERS[provider], captured)
    if provider not in PROVIDERS:
        raise unknown_provider(provider, [*PROVIDERS, *ENGINE_PROVIDERS])
    return OnnxSession(bundle.read(network.file), provider, threads, captured, external_data(bundle, network))


class ObservedSession:
    """A session that shows an observer what goes in and what comes out."""

    def __init__(self, role: str, session: Session, observer: Observer) -> None:
        self._role, self._session, self._observer = role, session, observer

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the network, then call the observer with the role, the inputs and the outputs."""
        outputs = self._session.run(inputs)
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
