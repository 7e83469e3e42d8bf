"""The one door to a bundle's networks, and a window on what goes through them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..bundle.manifest import Network
from ..bundle.parameters import FlavorName
from ..bundle.reading import Bundle
from ..errors import EngineError
from ..threads import thread_count
from .device import Device
from .device_session import DeviceSession
from .onnxruntime_import import import_onnxruntime
from .plan import open_tensorrt_engine
from .plan_check import LINE_ROLE, external_data, graph_of
from .providers import CPU, NVIDIA_GPU, PROVIDERS, Provider
from .session import Arrays, OnnxSession, Session, open_onnxruntime, unknown_provider

Observer = Callable[[str, Arrays, Arrays], None]
T = TypeVar("T")


# What `--provider` takes besides ONNX Runtime's execution providers: the bundle's serialized engines, by flavor.
ENGINE_PROVIDERS: Mapping[str, FlavorName] = {"tensorrt-engine": "tensorrt", "tensorrt-rtx-engine": "tensorrt-rtx"}


def hardware_of(provider: str) -> str:
    """What the networks run on under a provider or under the bundle's engines: `CPU`, `NVIDIA_GPU` or another device.

    Raises:
        UsageError: there is no such provider.
    """
    if provider in ENGINE_PROVIDERS:
        return NVIDIA_GPU
    if provider not in PROVIDERS:
        raise unknown_provider(provider, [*PROVIDERS, *ENGINE_PROVIDERS])
    return PROVIDERS[provider].hardware


def runs_on_device(provider: str) -> bool:
    """Whether networks run on a device beside the CPU under a provider or under the bundle's engines.

    Raises:
        UsageError: there is no such provider.
    """
    return hardware_of(provider) != CPU


def open_session(
    bundle: Bundle, role: str, provider: str = "cpu", threads: int | None = None, cuda_graph: bool | None = None
) -> Session:
    """Make one network of a bundle ready to run.

    Args:
        bundle: verified.
        role: which of its networks.
        provider: an execution provider of ONNX Runtime, or one of `ENGINE_PROVIDERS`.
        threads: CPU threads inside an operator; None: all this process may use.
        cuda_graph: capture networks of few shapes as CUDA graphs; None: where the provider keeps inputs at fixed places
            and takes the network so.

    Raises:
        EngineError: what was asked for is not available on this machine.
        BundleError: the network is missing or not valid.

    Example:
        >>> session = open_session(open_bundle(path), "extractor")  # doctest: +SKIP
        >>> tokens = session.run({"groups": groups, "centers": centers})["tokens"]  # doctest: +SKIP
    """
    network = _network(bundle, role, provider)
    few_shapes = role == LINE_ROLE or has_fixed_shapes(network)
    if provider in ENGINE_PROVIDERS:
        captured = bool(cuda_graph) and has_fixed_shapes(network)
        return open_tensorrt_engine(bundle, role, ENGINE_PROVIDERS[provider], captured)
    hardware_of(provider)
    model, external = bundle.read(network.file), external_data(bundle, network)
    return captured_if_possible(
        lambda captured: OnnxSession(model, provider, threads, captured, external, few_shapes),
        PROVIDERS[provider],
        cuda_graph if few_shapes else False,
    )


def open_device_session(
    bundle: Bundle, role: str, provider: Provider, device: Device, threads: int | None, cuda_graph: bool | None
) -> DeviceSession:
    """Make one network of a bundle ready to run in a device's memory; the arguments are those of `open_session`.

    Raises:
        EngineError: what was asked for is not available on this machine.
        BundleError: the network is missing or not valid.
    """
    network = _network(bundle, role, provider.name)
    model, external = bundle.read(network.file), external_data(bundle, network)
    shares_stream = provider.stream_option is not None

    def opened(captured: bool) -> DeviceSession:
        stream = device.stream if shares_stream else None
        session = open_onnxruntime(model, provider, thread_count(threads), captured, external, stream)
        return DeviceSession(import_onnxruntime(), session, device, shares_stream, captured)

    return captured_if_possible(opened, provider, cuda_graph)


def _network(bundle: Bundle, role: str, provider: str) -> Network:
    """What the manifest says of a network, or of the line graph."""
    return graph_of(bundle, role) if role == LINE_ROLE else bundle.manifest.run_networks(provider)[role]


def captured_if_possible(opened: Callable[[bool], T], provider: Provider, cuda_graph: bool | None) -> T:
    """Open a session with CUDA graphs or without; where nobody asked, without where it does not open with them.

    Args:
        opened: opens it, with or without.
        provider: its provider.
        cuda_graph: what was asked for; None: nothing.

    Raises:
        EngineError: it cannot be opened so.
    """
    if cuda_graph is not None:
        return opened(cuda_graph)
    if not provider.captures_unasked:
        return opened(False)
    try:
        return opened(True)
    except EngineError as refusal:
        session = opened(False)
        warnings.warn(f"a network is not captured as a CUDA graph, and runs slower: {refusal}", stacklevel=3)
        return session


def has_fixed_shapes(network: Network) -> bool:
    """Whether no axis of its inputs but the batch is free."""
    return all(isinstance(axis, int) for tensor in network.inputs for axis in tensor.shape[1:])


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
