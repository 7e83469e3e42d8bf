"""Running the fused line graph: one network that takes groups and gives the verdict's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .bundle import Bundle
from .devices import this_machine
from .engine import Engine
from .engine_check import LINE_ROLE, has_engine
from .engine_opening import ENGINE_PROVIDERS, ObservedEngine, Observer, open_engine
from .engine_providers import PROVIDERS
from .errors import BundleError
from .features import network_input
from .grouping import Grouping, group_points
from .image import network_image
from .manifest import Manifest, Tensor
from .pooling import N_PATCHES, SIZE, foreground_patches, pooling_matrix
from .preparation.part import PreparedPart
from .preprocessing import PreparedScan
from .timing import StageTimes

LINE = f"{LINE_ROLE}.onnx"
DATA = f"{LINE}.data"  # its weights, where they are too large for one file

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class LineAnswer:
    """What the line graph says of one part.

    Attributes:
        score: the part's score.
        map: (224, 224) float32.
        outputs: all of the graph's outputs, without the batch axis.
    """

    score: float
    map: npt.NDArray[np.float32]
    outputs: Arrays


def line_inputs(manifest: Manifest) -> list[Tensor]:
    """The line graph's inputs by route: what the sensors of the line give, grouped."""
    route, main = manifest.route, manifest.main
    inputs: list[Tensor] = []
    if main == "pc" or route == "dual":
        n, m = manifest.grouping.n_groups, manifest.grouping.group_size
        inputs.append(Tensor(name="groups", shape=["batch", n, m, 3], dtype="float32"))
        inputs.append(Tensor(name="centers", shape=["batch", n, 3], dtype="float32"))
        inputs.append(Tensor(name="pooling", shape=["batch", N_PATCHES, n], dtype="float32"))
    if main == "rgb" or route == "dual":
        inputs.append(Tensor(name="image", shape=["batch", 3, SIZE, SIZE], dtype="float32"))
    if route == "i2f" and main == "pc":
        inputs.append(Tensor(name="input", shape=["batch", 3, SIZE, SIZE], dtype="float32"))
    if main == "rgb" and route != "dual":
        inputs.append(Tensor(name="foreground", shape=["batch", N_PATCHES], dtype="bool"))
    return inputs


class LineGraph:
    """A bundle's line graph on an engine."""

    def __init__(self, manifest: Manifest, engine: Engine) -> None:
        """Args: the bundle's manifest, and the graph, opened."""
        self._grouping, self._engine = manifest.grouping, engine
        self._inputs = [each.name for each in line_inputs(manifest)]

    def run(self, prepared: PreparedPart, times: StageTimes) -> LineAnswer:
        """Score and map of one prepared part.

        Raises:
            ScanError: too few points are left for a group.
        """
        with times.stage("group"):
            inputs = self.inputs(prepared)
        (answer,) = self.run_batch([inputs], times)
        return answer

    def run_batch(self, parts: Sequence[Arrays], times: StageTimes) -> list[LineAnswer]:
        """Scores and maps of parts that go through the graph together.

        Args:
            parts: of each what `inputs` gives.
            times: where the time of the batch is booked.

        Raises:
            EngineError: the engine does not take so many parts at a time.
        """
        with times.stage("line"):
            together = {name: np.concatenate([each[name] for each in parts]) for name in self._inputs}
            outputs = self._engine.run(together)
        by_part = [{name: array[number] for name, array in outputs.items()} for number in range(len(parts))]
        return [LineAnswer(float(each["score"]), each["map"], each) for each in by_part]

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Show an observer what goes into and comes out of the graph while the block runs."""
        engine = self._engine
        self._engine = ObservedEngine(LINE_ROLE, engine, observer)
        try:
            yield
        finally:
            self._engine = engine

    def inputs(self, prepared: PreparedPart) -> Arrays:
        """The graph's inputs for a batch of one.

        Raises:
            ScanError: too few points are left for a group.
        """
        arrays: Arrays = {}
        if "groups" in self._inputs:
            assert prepared.scan is not None
            arrays |= point_inputs(prepared.scan, self._grouping)
        if "image" in self._inputs:
            assert prepared.image is not None
            arrays["image"] = network_image(prepared.image)
        if "input" in self._inputs:
            arrays["input"] = network_input(prepared, "pc")
        if "foreground" in self._inputs:
            arrays["foreground"] = foreground_patches(prepared.valid)
        return {name: array[None] for name, array in arrays.items()}


def point_inputs(scan: PreparedScan, grouping: Grouping) -> Arrays:
    """Groups (G, M, 3), centers (G, 3) and the dense pooling matrix (3136, G), float32.

    Raises:
        ScanError: too few points are left for a group.
    """
    pixels = np.flatnonzero(scan.valid)
    points = scan.points.reshape(-1, 3)[pixels]
    groups = group_points(points, grouping)
    pooling = pooling_matrix(points, pixels, groups.centers).toarray()
    return {"groups": groups.groups, "centers": groups.centers, "pooling": pooling}


def prefers_line_graph(bundle: Bundle, provider: str) -> bool:
    """Whether to run the line graph unasked: on a GPU, where the bundle has the graph or an engine of it."""
    if bundle.manifest.line_graph is None:
        return False
    if provider in ENGINE_PROVIDERS:
        return has_engine(bundle, LINE_ROLE, ENGINE_PROVIDERS[provider], this_machine())
    return provider in PROVIDERS and provider != "cpu"


def open_line_graph(
    bundle: Bundle, provider: str = "cpu", threads: int | None = None, cuda_graph: bool = False
) -> LineGraph:
    """Open a bundle's line graph.

    Raises:
        BundleError: it has none.
        EngineError: the provider is not available or refuses the graph.
    """
    if bundle.manifest.line_graph is None:
        raise BundleError(f"{bundle.path}: has no line graph: run `cmdiad calibrate SCANS --line-graph`")
    return LineGraph(bundle.manifest, open_engine(bundle, LINE_ROLE, provider, threads, cuda_graph))
