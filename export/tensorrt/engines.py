"""Add TensorRT engines to a bundle: the raw plan, its description, and the builder's log, beside each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from ...runtime.bundle.manifest import Manifest, Network, TensorRTEngine
from ...runtime.bundle.reading import Bundle
from ...runtime.bundle.writing import Content, rewrite_bundle
from ...runtime.engines.flavor import Flavor, flavor_of
from ...runtime.engines.machine import Machine, this_machine
from ...runtime.engines.plan_check import engine_graphs, external_data
from ...runtime.errors import UsageError
from ...runtime.files.atomic import atomic_write_bytes
from ...runtime.files.json_encoding import encode_json_file, encode_text
from .builder import BuiltEngine, EngineGraph, EngineSettings
from .process import build_apart

FOLDER = "engines"


@dataclass(frozen=True)
class EngineRequest:
    """Which engines to build.

    Attributes:
        flavor: tensorrt or tensorrt-rtx.
        targets: the compute capabilities of every engine: one engine of each network for each entry. Empty: one
            engine of each network for the GPU of this machine.
        settings: all else; its own targets are replaced.
        timing_cache: the file that keeps standard TensorRT's measurements between builds.
    """

    flavor: str
    targets: Sequence[tuple[str, ...]] = ()
    settings: EngineSettings = field(default_factory=EngineSettings)
    timing_cache: Path | None = None


def parse_targets(given: Sequence[str]) -> list[tuple[str, ...]]:
    """`--target` as typed: every different use is one engine, commas put several compute capabilities into it.

    Raises:
        UsageError: an entry is empty or no compute capability such as sm86.

    Example:
        >>> parse_targets(["sm89,sm86", "sm120"])
        [('sm86', 'sm89'), ('sm120',)]
    """
    parsed = []
    for entry in given:
        names = [name.strip().lower() for name in entry.split(",")]
        wrong = [name for name in names if not re.fullmatch(r"sm\d{2,3}", name)]
        if wrong:
            raise UsageError(f"--target {entry}: {wrong[0]!r} is not a compute capability: write it as in sm86,sm89")
        parsed.append(tuple(sorted(set(names), key=lambda name: int(name[2:]))))
    return list(dict.fromkeys(parsed))


def add_engines(
    bundle: Bundle, out: Path, request: EngineRequest, progress: Callable[[str], None] = lambda stage: None
) -> Manifest:
    """Build engines of a bundle's networks and write the bundle with them, in place or to another path.

    An engine of the same network, flavor, targets and precision is replaced. Nothing is written where one cannot be
    built.

    Args:
        bundle: exported, calibrated or not.
        out: where to; may be where it came from.
        request: which engines.
        progress: called with the name of each engine before it is built.

    Raises:
        UsageError: the flavor has no such target or option.
        EngineError: the flavor is not installed, or its builder refuses a graph; the text has its own words.
    """
    flavor, machine = flavor_of(request.flavor), this_machine()
    settings = replace(request.settings, timing_cache=_read_cache(request.timing_cache))
    entries: list[TensorRTEngine] = []
    files: dict[str, Content] = {}
    for targets in request.targets or [()]:
        for role, network in engine_graphs(bundle.manifest).items():
            stem = engine_stem(role, flavor, targets or (machine.target or "gpu",), bundle.manifest.precision)
            progress(stem)
            settings = replace(settings, targets=targets)
            graph = EngineGraph(network, bundle.read(network.file), external_data(bundle, network))
            built = build_apart(graph, stem, flavor, settings, machine)
            settings = replace(settings, timing_cache=built.timing_cache)
            entry = _describe(bundle, role, network, stem, flavor, settings, built, machine)
            entries.append(entry)
            files |= _files(entry, built)
    if request.timing_cache is not None and settings.timing_cache is not None:
        atomic_write_bytes(request.timing_cache, settings.timing_cache)
    replaced = {entry.file for entry in entries}
    kept = [entry for entry in bundle.manifest.engines if entry.file not in replaced]
    return rewrite_bundle(bundle, out, msgspec.structs.replace(bundle.manifest, engines=[*kept, *entries]), files)


def engine_stem(role: str, flavor: Flavor, targets: Sequence[str], precision: str) -> str:
    """An engine's file name without its ending, such as extractor-tensorrt-rtx-sm80_sm86-fp16."""
    return f"{role}-{flavor.name}-{'_'.join(targets)}-{precision}"


def _describe(
    bundle: Bundle,
    role: str,
    network: Network,
    stem: str,
    flavor: Flavor,
    settings: EngineSettings,
    built: BuiltEngine,
    machine: Machine,
) -> TensorRTEngine:
    return TensorRTEngine(
        file=f"{FOLDER}/{stem}.engine",
        role=role,
        flavor=flavor.name,
        version=built.version,
        targets=list(settings.targets) or [machine.target or ""],
        platform=machine.platform,
        precision=bundle.manifest.precision,
        graph_digest=bundle.manifest.files[network.file],
        profiles=built.profiles,
        workspace_bytes=settings.workspace_bytes,
        tf32=settings.tf32,
        stripped=settings.strip,
        cuda_driver=0 if settings.targets else machine.cuda_driver,
        log=f"{FOLDER}/{stem}.log",
    )


def _files(entry: TensorRTEngine, built: BuiltEngine) -> dict[str, Content]:
    return {
        entry.file: built.plan,
        entry.file.removesuffix(".engine") + ".json": encode_json_file(entry, order="sorted"),
        entry.log: encode_text(built.log),
    }


def _read_cache(path: Path | None) -> bytes | None:
    """An earlier build's measurements; none yet is an empty cache."""
    if path is None:
        return None
    return path.read_bytes() if path.is_file() else b""
