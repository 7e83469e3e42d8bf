"""One way to run a bundle, and all the ways that a user's lists stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, get_args

import msgspec

from ...choices import Graph, Written
from ...engines.opening import ENGINE_PROVIDERS
from ...errors import UsageError

AXES = ("bundle", "provider", "precision", "graph", "batch", "threads", "coreset")
ONNXRUNTIME = "onnxruntime"


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured in one fresh process.

    Attributes:
        bundle: its path, as the user gave it.
        precision: of its networks, from its manifest.
        provider: what runs the networks (`engines.opening`).
        graph: networks, the fused line graph, or auto (`Inspector`).
        batch: parts in one call of the networks, at most.
        threads: CPU threads; None: all this process may use.
        coreset: share of the patches in the banks; None: as calibrated.
        cuda_graph: capture networks of few shapes as CUDA graphs; None: where the provider can.
        heatmaps: of which parts heat map and raw map are written.
    """

    bundle: str
    precision: str
    provider: str = "cpu"
    graph: Graph = "auto"
    batch: int = 1
    threads: int | None = None
    coreset: float | None = None
    cuda_graph: bool | None = None
    heatmaps: Written = "none"


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A combination that was not measured, and why."""

    configuration: Configuration
    reason: str


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """The lists of a user; an empty one stands for the default alone."""

    provider: Sequence[str] = ()
    engine: Sequence[str] = ()
    precision: Sequence[str] = ()
    graph: Sequence[str] = ()
    batch: Sequence[int] = ()
    threads: Sequence[int] = ()
    coreset: Sequence[float] = ()
    cuda_graph: bool | None = None
    heatmaps: Written = "all"


def combinations(bundles: dict[str, str], choices: Choices) -> tuple[list[Configuration], list[Skipped]]:
    """Every combination, and those that no bundle can give.

    Args:
        bundles: path -> precision of its networks. A bundle is calibrated in the precision that it runs in, so
            each precision is a bundle of its own.
        choices: the lists.
    """
    axes: dict[str, Sequence[Any]] = {
        "provider": providers(choices),
        "graph": graphs(choices),
        "batch": choices.batch or [1],
        "threads": choices.threads or [None],
        "coreset": choices.coreset or [None],
    }
    combined = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    held = [(path, precision) for path, precision in bundles.items() if precision in (choices.precision or [precision])]
    missing = [precision for precision in dict.fromkeys(choices.precision) if precision not in bundles.values()]
    first = next(iter(bundles))
    configurations = [_configuration(path, own, values, choices) for (path, own), values in product(held, combined)]
    skipped = [
        Skipped(
            configuration=_configuration(first, precision, values, choices),
            reason=f"no bundle given is {precision}: `cmdiad export --precision {precision}`, calibrate, add --bundle",
        )
        for precision, values in product(missing, combined)
    ]
    return configurations, skipped


def providers(choices: Choices) -> list[str]:
    """What runs the networks: ONNX Runtime's providers, and the bundle's serialized engines of the flavors asked for.

    Raises:
        UsageError: an unknown engine.
    """
    flavors: dict[str, str] = {flavor: provider for provider, flavor in ENGINE_PROVIDERS.items()}
    chosen: list[str] = []
    for engine in choices.engine or [ONNXRUNTIME]:
        if engine != ONNXRUNTIME and engine not in flavors:
            raise UsageError(f"--engine {engine}: choose from {', '.join([ONNXRUNTIME, *flavors])}")
        chosen += (choices.provider or ["cpu"]) if engine == ONNXRUNTIME else [flavors[engine]]
    return list(dict.fromkeys(chosen))


def graphs(choices: Choices) -> list[str]:
    """Which graphs run the networks.

    Raises:
        UsageError: there is no such choice.
    """
    for graph in choices.graph:
        if graph not in get_args(Graph):
            raise UsageError(f"--graph {graph}: choose from {', '.join(get_args(Graph))}")
    return list(choices.graph or ["auto"])


def _configuration(bundle: str, precision: str, values: dict[str, Any], choices: Choices) -> Configuration:
    same: dict[str, Any] = {"cuda_graph": choices.cuda_graph, "heatmaps": choices.heatmaps}
    return Configuration(bundle=bundle, precision=precision, **same, **values)


def labels(configurations: Sequence[Configuration]) -> list[str]:
    """A short name of each: provider and precision, and whatever else differs among them."""
    differing = [
        axis
        for axis in AXES
        if axis in ("provider", "precision") or len({getattr(c, axis) for c in configurations}) > 1
    ]
    return [
        " ".join(_phrase(axis, getattr(configuration, axis)) for axis in differing) for configuration in configurations
    ]


def _phrase(axis: str, value: Any) -> str:
    if axis in ("provider", "precision", "bundle"):
        return str(value)
    if axis == "graph":
        return f"graph {value}"
    if value is None:
        return {"threads": "all threads", "coreset": "whole bank"}[axis]
    if axis == "threads":
        return f"{value} thread{'s' if value > 1 else ''}"
    return f"{axis} {value:g}"


def parse_list(text: str | None, option: str, kind: type[str] | type[int] | type[float]) -> list[Any]:
    """The values of a comma-separated list, each once.

    Raises:
        UsageError: a value is not of the kind, not positive, or not finite.

    Example:
        >>> parse_list("1, 2,2", "--threads", int)
        [1, 2]
    """
    if text is None:
        return []
    try:
        values = [kind(item.strip()) for item in text.split(",")]
    except ValueError as cause:
        raise UsageError(f"{option} {text}: give numbers separated by commas, such as 1,2") from cause
    if any(value == "" if isinstance(value, str) else not 0 < value < math.inf for value in values):
        raise UsageError(f"{option} {text}: every value must be given, and positive")
    return list(dict.fromkeys(values))
