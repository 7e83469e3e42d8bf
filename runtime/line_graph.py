"""Running the fused line graph: one network that takes groups and gives the verdict's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from .bundle.manifest import Manifest
from .bundle.reading import Bundle
from .engines.machine import this_machine
from .engines.opening import ENGINE_PROVIDERS, ObservedSession, Observer, open_session
from .engines.plan_check import LINE_ROLE, has_engine
from .engines.providers import PROVIDERS
from .engines.session import Session
from .errors import BundleError
from .patches.features import network_input
from .patches.grouped import GroupedPart, Grouper, group_on_cpu, group_part
from .patches.pooling import foreground_patches
from .patches.routes import route_of
from .preparation.prepared_part import PreparedPart
from .sensor.image import network_image
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


class LineGraph:
    """A bundle's line graph in a session."""

    def __init__(self, manifest: Manifest, session: Session, grouper: Grouper = group_on_cpu) -> None:
        """Take a graph that is ready to run.

        Args:
            manifest: the bundle's.
            session: the line graph's.
            grouper: what groups points.
        """
        self._grouping, self._session, self._grouper = manifest.grouping, session, grouper
        route = route_of(manifest.route, manifest.main)
        self._inputs = [tensor.name for tensor in route.line_inputs(manifest.grouping)]

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
            EngineError: the session does not take so many parts at a time.
        """
        with times.stage("line"):
            together = {name: np.concatenate([part[name] for part in parts]) for name in self._inputs}
            outputs = self._session.run(together)
        by_part = [{name: array[number] for name, array in outputs.items()} for number in range(len(parts))]
        return [LineAnswer(float(answer["score"]), answer["map"], answer) for answer in by_part]

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Show an observer what goes into and comes out of the graph while the block runs."""
        session = self._session
        self._session = ObservedSession(LINE_ROLE, session, observer)
        try:
            yield
        finally:
            self._session = session

    def inputs(self, prepared: PreparedPart) -> Arrays:
        """The graph's inputs for a batch of one.

        Raises:
            ScanError: too few points are left for a group.
        """
        arrays: Arrays = {}
        if "groups" in self._inputs:
            arrays |= self._point_inputs(prepared)
        if "image" in self._inputs:
            assert prepared.image is not None
            arrays["image"] = network_image(prepared.image)
        if "input" in self._inputs:
            arrays["input"] = network_input(prepared, "pc")
        if "foreground" in self._inputs:
            arrays["foreground"] = foreground_patches(prepared.valid)
        return {name: array[None] for name, array in arrays.items()}

    def _point_inputs(self, prepared: PreparedPart) -> Arrays:
        if isinstance(prepared, GroupedPart):
            grouped = prepared.grouped
        else:
            assert prepared.scan is not None
            grouped = group_part(prepared.scan, self._grouping, self._grouper)
        return {"groups": grouped.groups, "centers": grouped.centers, "pooling": grouped.dense_pooling()}


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
        raise BundleError(
            f"{bundle.path}: has no line graph: run `cmdiad calibrate SCANS --line-graph`, "
            "or leave out --graph line where calibration says that there can be none"
        )
    session = open_session(bundle, LINE_ROLE, provider, threads, cuda_graph)
    return LineGraph(bundle.manifest, session, partial(group_on_cpu, threads=threads))
