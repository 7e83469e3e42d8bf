"""An ONNX graph becomes a TensorRT engine, by one builder for both flavors.

TensorRT-RTX builds for chosen compute capabilities on any machine, without a GPU; standard TensorRT builds for the
GPU it runs on. The precision is in the graph: neither flavor changes it, except TF32, which is off unless requested.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...runtime.bundle.manifest import Network, Profile
from ...runtime.engines.flavor import Flavor, collecting_logger, import_flavor
from ...runtime.engines.machine import Machine
from ...runtime.errors import EngineError, UsageError

MAX_PATCHES = 3136
# Patches of a typical part: 40 % of all (ALGORITHM: the others carry no points).
_TYPICAL_PATCHES = 1254
# Durations and memory differ from build to build; without them the same build gives the same log.
_UNSTEADY = re.compile(r"\[MemUsage|\b(took|in) [0-9.e+-]+ ?(ms|seconds)")


@dataclass(frozen=True)
class Batch:
    """How many scans an engine takes at a time: at least, best, and at most."""

    min: int = 1
    opt: int = 1
    max: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.min <= self.opt <= self.max:
            raise UsageError(f"--batch {self.min},{self.opt},{self.max}: give 1 <= smallest <= best <= largest")


@dataclass(frozen=True)
class EngineSettings:
    """How an engine is built.

    Attributes:
        targets: compute capabilities of one engine (TensorRT-RTX); empty: the GPU of this machine.
        batch: sizes of the optimization profile.
        workspace_bytes: limit of the builder's scratch memory; None: the flavor's own.
        tf32: let fp32 products be rounded to TF32.
        strip: leave the weights out; they are taken from the graph when the engine is loaded.
        timing_cache: an earlier build's measurements (standard TensorRT); None: none are kept.
    """

    targets: tuple[str, ...] = ()
    batch: Batch = field(default_factory=Batch)
    workspace_bytes: int | None = None
    tf32: bool = False
    strip: bool = False
    timing_cache: bytes | None = None


@dataclass(frozen=True)
class EngineGraph:
    """A graph to build an engine from.

    Attributes:
        network: its entry in the manifest.
        model: the ONNX file.
        external: the file with its weights by name, where they are not in `model`.
    """

    network: Network
    model: bytes
    external: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class BuiltEngine:
    """What a build gives.

    Attributes:
        plan: the raw engine.
        version: of the flavor.
        profiles: by input.
        log: what the builder said, a line each, without durations.
        timing_cache: the measurements to hand to the next build; None where none are kept.
    """

    plan: bytes
    version: str
    profiles: dict[str, Profile]
    log: str
    timing_cache: bytes | None


def engine_from_onnx(
    graph: EngineGraph, name: str, flavor: Flavor, settings: EngineSettings, machine: Machine
) -> BuiltEngine:
    """Build an engine.

    Args:
        graph: what to build it from.
        name: what the engine calls itself.
        flavor: tensorrt or tensorrt-rtx.
        settings: see `EngineSettings`.
        machine: this one.

    Raises:
        UsageError: the flavor has no such target or option.
        EngineError: the flavor is not installed, or the builder refuses the graph; the text has its own words.
    """
    trt = import_flavor(flavor)
    check_settings(trt, flavor, settings, machine)
    if settings.strip and graph.external:
        raise UsageError(f"--strip-weights: {name} has its weights in a file of their own, which cannot be put back")
    logger = collecting_logger(trt)
    builder = trt.Builder(logger)
    # Strong typing is what newer versions know alone; TensorRT 10 must be asked for it.
    definition = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(definition, logger)
    if not _parse(parser, graph):
        raise EngineError(f"{name}: TensorRT cannot read the graph: {_parser_errors(parser) or logger.errors()}")
    definition.name = name
    config = builder.create_builder_config()
    profiles = network_profiles(graph.network, settings.batch)
    profile = _profile(builder, profiles)
    _require(config.add_optimization_profile(profile) >= 0, name, "refuses the shapes", logger)
    _configure(trt, config, name, settings, logger)
    plan = builder.build_serialized_network(definition, config)
    _require(plan is not None, name, "cannot build it", logger, _advice(flavor, settings))
    cache = None if settings.timing_cache is None else bytes(config.get_timing_cache().serialize())
    return BuiltEngine(bytes(plan), trt.__version__, profiles, _log(logger), cache)


def check_settings(trt: Any, flavor: Flavor, settings: EngineSettings, machine: Machine) -> None:
    """Refuse what a flavor or this machine cannot do, before any work.

    Raises:
        UsageError: says what.
        EngineError: a GPU is needed and there is none.
    """
    chooses_targets = hasattr(trt, "ComputeCapability")
    if settings.targets and not chooses_targets:
        raise UsageError(
            f"--target: {flavor.name} builds for the GPU it runs on: leave it out, or --engine tensorrt-rtx"
        )
    if chooses_targets and not settings.targets:
        raise UsageError(f"--engine {flavor.name} needs --target: one or more of {', '.join(flavor.targets)}")
    for target in settings.targets:
        if target.upper() not in trt.ComputeCapability.__members__ or not flavor.serves(target):
            raise UsageError(
                f"--target {target}: {flavor.name} builds for {', '.join(flavor.targets)}; "
                "other GPUs (Jetson Orin, Hopper) need --engine tensorrt on the device itself"
            )
    if chooses_targets and settings.timing_cache is not None:
        raise UsageError(f"--timing-cache: {flavor.name} times nothing while building: leave it out")
    if machine.target is None and chooses_targets and settings.strip:
        raise UsageError(f"--strip-weights: {flavor.name} cannot strip weights without a GPU, and none was found")
    if machine.target is None and not chooses_targets:
        raise EngineError(f"--engine {flavor.name} builds on the target GPU, and none was found: {flavor.install}")


def network_profiles(network: Network, batch: Batch) -> dict[str, Profile]:
    """The range of shapes of every input: its free axes are the batch and, in some networks, the number of patches."""
    sizes: Mapping[int | str, tuple[int, int, int]] = {
        "batch": (batch.min, batch.opt, batch.max),
        "patches": (1, _TYPICAL_PATCHES, MAX_PATCHES),
    }
    profiles = {}
    for tensor in network.inputs:
        ranges = [(axis, axis, axis) if isinstance(axis, int) else sizes[axis] for axis in tensor.shape]
        smallest, best, largest = ([bounds[place] for bounds in ranges] for place in range(3))
        profiles[tensor.name] = Profile(min=smallest, opt=best, max=largest)
    return profiles


def _profile(builder: Any, profiles: Mapping[str, Profile]) -> Any:
    profile = builder.create_optimization_profile()
    for name, shapes in profiles.items():
        profile.set_shape(name, shapes.min, shapes.opt, shapes.max)
    return profile


def _configure(trt: Any, config: Any, name: str, settings: EngineSettings, logger: Any) -> None:
    """Set targets, memory, rounding, stripping and timings on a builder configuration."""
    if settings.targets:
        config.num_compute_capabilities = len(settings.targets)
        for index, target in enumerate(settings.targets):
            capability = trt.ComputeCapability.__members__[target.upper()]
            _require(config.set_compute_capability(capability, index), name, f"refuses {target}", logger)
    if settings.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_bytes)
        _require(not logger.errors(), name, f"refuses {settings.workspace_bytes} bytes of workspace", logger)
    if not settings.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if settings.strip:
        config.set_flag(trt.BuilderFlag.STRIP_PLAN)
        config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
    if settings.timing_cache is not None:
        cache = config.create_timing_cache(settings.timing_cache)
        accepted = cache is not None and config.set_timing_cache(cache, False)
        _require(accepted, name, "refuses the timing cache, which is another GPU's or version's", logger)


def _require(succeeded: bool, name: str, what: str, logger: Any, more: Sequence[str] = ()) -> None:
    """TensorRT answers with false, null or -1 and tells its logger why: make it an error with those words."""
    if not succeeded:
        text = "; ".join(filter(None, (logger.errors(), *more))) or "it gives no reason"
        raise EngineError(f"{name}: TensorRT {what}: {text}")


def _parse(parser: Any, graph: EngineGraph) -> bool:
    """Read a graph; weights that are not in it are only read from a file beside it."""
    if not graph.external:
        return bool(parser.parse(graph.model))
    with tempfile.TemporaryDirectory() as folder:
        for file, content in {"graph.onnx": graph.model, **graph.external}.items():
            (Path(folder) / file).write_bytes(content)
        return bool(parser.parse_from_file(str(Path(folder) / "graph.onnx")))


def _parser_errors(parser: Any) -> str:
    """The parser's errors, each with its operator; the logger has the same in other words."""
    errors = (parser.get_error(index) for index in range(parser.num_errors))
    texts = (f"{error.node_operator()}: {_words(error.desc())}".removeprefix(": ") for error in errors)
    return "; ".join(dict.fromkeys(texts))


def _words(description: str) -> str:
    if "Plugin not found" in description:
        return (
            "is not an operator of ONNX (ONNX Runtime's own int8 is for its CPU provider: build from another precision)"
        )
    # The parser says no more of an operator that it does not know.
    return "is not supported" if description == "false" else description


def _advice(flavor: Flavor, settings: EngineSettings) -> list[str]:
    return [
        f"{flavor.name} takes fp16 graphs only on {target}: export with --precision fp16, or leave {target} out"
        for target in settings.targets
        if target in flavor.fp16_only
    ]


def _log(logger: Any) -> str:
    lines = (f"{severity}: {text}" for severity, text in logger.messages if not _UNSTEADY.search(text))
    return "".join(f"{line}\n" for line in lines)
