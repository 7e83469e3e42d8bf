"""Whether a TensorRT engine belongs to the bundle's graph, the installed TensorRT and this machine.

All of it is decided before the engine is deserialized: an engine is executable code. Every refusal names the
command that builds the right one.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from ..bundle.manifest import Manifest, Network, TensorRTEngine
from ..bundle.reading import Bundle
from ..errors import BundleError, EngineError
from .flavor import FLAVORS, flavor_of
from .machine import Machine

LINE_ROLE = "line"
_RTX = FLAVORS["tensorrt-rtx"]
_MAGIC = b"vtrt"
_HEADER = struct.Struct("<4sI2Q4B4sI")
_HEADER_WORDS = 2


@dataclass(frozen=True)
class EngineHeader:
    """What the first bytes of a TensorRT-RTX engine say.

    Attributes:
        size: of the whole engine, bytes.
        version: of the TensorRT-RTX that built it.
        targets: the compute capabilities it was built for.
    """

    size: int
    version: str
    targets: list[str]


def read_header(plan: bytes) -> EngineHeader | None:
    """Read the header of a TensorRT-RTX engine (not documented; as versions 1.7 write it); None if it is none."""
    if len(plan) < _HEADER.size:
        return None
    magic, _, words, size, *version, magic_again, mask = _HEADER.unpack_from(plan)
    if (magic, magic_again, words) != (_MAGIC, _MAGIC, _HEADER_WORDS):
        return None
    targets = [target for bit, target in enumerate(_RTX.targets) if mask >> bit & 1]
    return EngineHeader(size, ".".join(map(str, version)), targets)


def choose_engine(bundle: Bundle, role: str, flavor: str, machine: Machine) -> TensorRTEngine:
    """The bundle's engine of a network and flavor for this machine's GPU.

    Raises:
        EngineError: there is no GPU, the flavor does not run on it, or there is no engine for it.
    """
    target = require_gpu(machine, flavor)
    engines = [engine for engine in bundle.manifest.engines if engine.role == role and engine.flavor == flavor]
    fitting = [engine for engine in engines if target in engine.targets]
    if not fitting:
        built = ", ".join(sorted({target for engine in engines for target in engine.targets})) or "none"
        raise EngineError(
            f"{bundle.path}: no {flavor} engine of the {role} for {target} (there: {built}): "
            f"build it: {rebuild_command(bundle, flavor, target)}"
        )
    return fitting[0]


def check_engine(bundle: Bundle, engine: TensorRTEngine, plan: bytes, version: str, machine: Machine) -> None:
    """Refuse an engine that is not this bundle's, this TensorRT's or this machine's.

    Args:
        bundle: verified.
        engine: its entry in the manifest.
        plan: the bytes that are going to be deserialized.
        version: of the installed flavor.
        machine: this one.

    Raises:
        BundleError: the bytes are not what the bundle's digests say, or the graph is not the one it was built from.
        EngineError: it was built by another version, or for another device, driver or operating system.
    """
    target = require_gpu(machine, engine.flavor)
    command = rebuild_command(bundle, engine.flavor, target)
    if hashlib.sha256(plan).hexdigest() != bundle.manifest.files.get(engine.file):
        raise BundleError(f"{bundle.path}: {engine.file} was changed after it was written: get the bundle again")
    graph = bundle.manifest.files[graph_of(bundle, engine.role).file]
    if engine.graph_digest != graph:
        raise BundleError(
            f"{bundle.path}: {engine.file} was built from another graph than the bundle's {engine.role}: {command}"
        )
    for fits, built_for, here in (
        (version == engine.version, f"{engine.flavor} {engine.version}", version),
        (target in engine.targets, " ".join(engine.targets), target),
        (machine.platform == engine.platform, engine.platform, machine.platform),
        (
            machine.cuda_driver >= engine.cuda_driver,
            f"a driver for CUDA {_dotted(engine.cuda_driver)}",
            f"one for {_dotted(machine.cuda_driver)}",
        ),
    ):
        if not fits:
            raise EngineError(f"{bundle.path}: {engine.file} was built for {built_for}, this is {here}: {command}")
    if engine.flavor == "tensorrt-rtx":
        _check_header(bundle, engine, plan, command)


def check_validity(trt: Any, runtime: Any, engine: TensorRTEngine, plan: bytes, command: str) -> None:
    """The flavor's own opinion, where it has one (TensorRT-RTX): asked of the header alone, nothing is deserialized.

    Raises:
        EngineError: it says that the engine is not valid here.
    """
    if not hasattr(runtime, "get_engine_validity"):
        return
    validity, bits = runtime.get_engine_validity(plan[: runtime.engine_header_size])
    if validity == trt.EngineValidity.INVALID:
        reasons = [
            name.lower() for name, value in trt.EngineInvalidityDiagnostics.__members__.items() if bits & int(value)
        ]
        why = ", ".join(reasons) or "no reason given"
        raise EngineError(f"{engine.file}: TensorRT-RTX says that it cannot run here ({why}): {command}")


def require_gpu(machine: Machine, flavor: str) -> str:
    """The compute capability of the machine's first GPU.

    Raises:
        EngineError: there is no GPU, or the flavor does not run on it.
    """
    if machine.target is None:
        raise EngineError(
            f"no NVIDIA GPU with a driver was found to run a {flavor} engine on: install the driver, "
            "or choose --provider cpu"
        )
    flavor_of(flavor).require_served(machine.target)
    return machine.target


def rebuild_command(bundle: Bundle, flavor: str, target: str) -> str:
    """What a user types to get the right engine, in the precision that the GPU takes."""
    known = flavor_of(flavor)
    targets = f" --target {target}" if known.targets else ""
    reduced = " --precision fp16" if target in known.fp16_only and bundle.manifest.precision != "fp16" else ""
    return f"cmdiad export --bundle {bundle.path}{reduced} --engine {flavor}{targets}"


def engine_graphs(manifest: Manifest) -> dict[str, Network]:
    """The graphs that engines are built from, by role; the fused line graph is one of them."""
    line = {} if manifest.line_graph is None else {LINE_ROLE: manifest.line_graph}
    return {**manifest.built_networks(), **line}


def graph_of(bundle: Bundle, role: str) -> Network:
    """The graph that a role's engines are built from.

    Raises:
        BundleError: the bundle has no such network.
    """
    network = engine_graphs(bundle.manifest).get(role)
    if network is None:
        raise BundleError(f"{bundle.path}: there is no network {role!r}: export the bundle again")
    return network


def external_data(bundle: Bundle, network: Network) -> dict[str, bytes]:
    """The file beside a graph that holds its weights, by name, where they are too many for the graph's own file."""
    name = f"{network.file}.data"
    return {name: bundle.read(name)} if name in bundle.manifest.files else {}


def has_engine(bundle: Bundle, role: str, flavor: str, machine: Machine) -> bool:
    """Whether the bundle has an engine of a network for this machine's GPU, built from the graph it has now."""
    return any(
        engine.role == role
        and engine.flavor == flavor
        and machine.target in engine.targets
        and engine.graph_digest == bundle.manifest.files[graph_of(bundle, role).file]
        for engine in bundle.manifest.engines
    )


def _check_header(bundle: Bundle, engine: TensorRTEngine, plan: bytes, command: str) -> None:
    header = read_header(plan)
    if header is None or header.size != len(plan):
        raise EngineError(f"{bundle.path}: {engine.file} is not a complete TensorRT-RTX engine: {command}")
    if (header.version, header.targets) != (engine.version, engine.targets):
        raise EngineError(
            f"{bundle.path}: {engine.file} says of itself {header.version} for {' '.join(header.targets)}, "
            f"the manifest {engine.version} for {' '.join(engine.targets)}: {command}"
        )


def _dotted(cuda_version: int) -> str:
    return f"{cuda_version // 1000}.{cuda_version % 1000 // 10}"
