"""Running the fused line graph: one network that takes groups and gives the verdict's numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle.manifest import Manifest
from .bundle.reading import Bundle
from .engines.machine import this_machine
from .engines.opening import ENGINE_PROVIDERS, Observer, open_device_session, open_session, runs_on_device
from .engines.plan_check import LINE_ROLE, has_engine
from .engines.providers import PROVIDERS
from .engines.session import Session
from .engines.shared_device import shared_device
from .errors import BundleError
from .line.device_feed import DeviceFeed
from .line.host_feed import HostFeed, LineFeed
from .line.line_part import LinePart, batch_layout
from .patches.grouped import Grouper, group_on_cpu
from .patches.pooling import N_PATCHES
from .patches.routes import Route, route_of
from .preparation.prepared_part import PreparedPart
from .timing import StageTimes
from .verdict.decision import Decision
from .verdict.searched_again import OUT_OF_BOUND, GraphMatch, decide_again, settled_matches

LINE = f"{LINE_ROLE}.onnx"
DATA = f"{LINE}.data"  # its weights, where they are too large for one file

Outputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LineAnswer:
    """What the line graph says of one part.

    Attributes:
        score: the part's score.
        map: (224, 224) float32.
        searched_again: how many searches of a patch in a bank the graph could not prove, and NumPy repeated.
    """

    score: float
    map: npt.NDArray[np.float32]
    searched_again: int = 0


class LineGraph:
    """A bundle's line graph, and the banks for what it cannot prove."""

    def __init__(self, route: Route, feed: LineFeed, decision: Decision) -> None:
        """Take a graph that is ready to run; see `on_host`."""
        self._route, self._feed, self._decision = route, feed, decision
        self._warned = False

    @classmethod
    def on_host(
        cls, manifest: Manifest, session: Session, decision: Decision, grouper: Grouper = group_on_cpu
    ) -> LineGraph:
        """A graph that takes and gives arrays.

        Args:
            manifest: the bundle's.
            session: the line graph's.
            decision: the bundle's banks and fusion.
            grouper: what groups points.
        """
        route = route_of(manifest.route, manifest.main)
        inputs = [tensor.name for tensor in route.line_inputs(manifest.grouping)]
        return cls(route, HostFeed(inputs, manifest.grouping, session, grouper), decision)

    def ready(self, prepared: PreparedPart, times: StageTimes) -> LinePart:
        """What can be done ahead for one part.

        Raises:
            ScanError: too few points are left for a group.
        """
        with times.stage("group"):
            return self._feed.ready(prepared)

    def run(self, prepared: PreparedPart, times: StageTimes) -> LineAnswer:
        """Score and map of one prepared part.

        Raises:
            ScanError: too few points are left for a group.
        """
        (answer,) = self.run_batch([self.ready(prepared, times)], times)
        return answer

    def outputs(self, prepared: PreparedPart) -> Outputs:
        """All that the graph itself says of one prepared part, without the batch axis; nothing is searched again."""
        return self._outputs(self._feed.ready(prepared))

    def settled_outputs(self, prepared: PreparedPart) -> Outputs:
        """The same as on the line: score, map and distances, after searching again what was not proven.

        A graph whose screen's bound does not hold is left as it is, so that whoever compares it sees that.
        """
        part = self._feed.ready(prepared)
        outputs = self._outputs(part)
        marks = [outputs[f"again_{role}"] for role in self._route.banks]
        if not any(mark.any() for mark in marks) or any((mark == OUT_OF_BOUND).any() for mark in marks):
            return outputs
        as_batch = {name: value[None] for name, value in outputs.items()}
        marked = [self._match(part, as_batch, 0, role) for role in self._route.banks]
        foreground = np.zeros(N_PATCHES, np.bool_)
        foreground[part.patches] = True
        matches = settled_matches(self._decision, marked)
        score, map_224 = self._decision.decide(foreground, matches)
        settled: Outputs = {**outputs, "score": np.array(score), "map": map_224}
        for role, match in zip(self._route.banks, matches, strict=True):
            distance = np.zeros(N_PATCHES, np.float32)
            distance[part.patches] = match.distances
            settled[f"distance_{role}"] = distance.reshape(outputs[f"distance_{role}"].shape)
        return settled

    def run_batch(self, parts: Sequence[LinePart], times: StageTimes) -> list[LineAnswer]:
        """Scores and maps of parts that go through the graph together.

        Args:
            parts: of each what `ready` gives.
            times: where the time of the batch is booked.

        Raises:
            EngineError: the session does not take so many parts at a time.
        """
        marks = [f"again_{role}" for role in self._route.banks]
        with times.stage("line"), self._feed.run(parts, batch_layout(parts), ["score", "map", *marks]) as run:
            outputs = run.outputs
            doubtful = any(outputs[name].any() for name in marks)
            if doubtful:
                needed = [f"{name}_{role}" for role in self._route.banks for name in _PER_BANK]
                outputs = {**outputs, **run.bring(needed)}
        if not doubtful:
            return [
                LineAnswer(float(score), map_224)
                for score, map_224 in zip(outputs["score"], outputs["map"], strict=True)
            ]
        with times.stage("search"):
            self._warn_out_of_bound(any((outputs[name] == OUT_OF_BOUND).any() for name in marks))
            return [self._settled(part, outputs, number) for number, part in enumerate(parts)]

    def _outputs(self, part: LinePart) -> Outputs:
        names = ["score", "map", *(f"{name}_{role}" for role in self._route.banks for name in _PER_BANK)]
        with self._feed.run([part], batch_layout([part]), names) as run:
            return {name: run.outputs[name][0] for name in names}

    def _settled(self, part: LinePart, outputs: Outputs, number: int) -> LineAnswer:
        """The answer on one part of a batch, with what the graph could not prove searched again."""
        matches = [self._match(part, outputs, number, role) for role in self._route.banks]
        count = sum(len(match.searched_again) for match in matches)
        if not count:
            return LineAnswer(float(outputs["score"][number]), outputs["map"][number])
        foreground = np.zeros(N_PATCHES, np.bool_)
        foreground[part.patches] = True
        return LineAnswer(*decide_again(self._decision, foreground, matches), count)

    def _match(self, part: LinePart, outputs: Outputs, number: int, role: str) -> GraphMatch:
        rows = slice(len(part.patches))
        return GraphMatch(
            queries=outputs[f"queries_{role}"][number, rows],
            distance=outputs[f"distance_{role}"][number].ravel()[part.patches],
            index=outputs[f"index_{role}"][number, part.patches],
            again=outputs[f"again_{role}"][number, rows],
        )

    def _warn_out_of_bound(self, happened: bool) -> None:
        """Said once: verdicts stay right, since all patches of such a part are searched again, but it is slow."""
        if happened and not self._warned:
            self._warned = True
            warnings.warn(
                "this device computes half-precision products outside their error bound, and such parts are searched "
                "again on the CPU: run `cmdiad-rt selftest`, and give --graph networks if this persists",
                stacklevel=3,
            )

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of the graph while the block runs."""
        return self._feed.observed(observer)


_PER_BANK = ("score", "distance", "index", "again", "queries")


def prefers_line_graph(bundle: Bundle, provider: str) -> bool:
    """Whether to run the line graph unasked: on a device, where the bundle has the graph or an engine of it."""
    if bundle.manifest.line_graph is None:
        return False
    if provider in ENGINE_PROVIDERS:
        return has_engine(bundle, LINE_ROLE, ENGINE_PROVIDERS[provider], this_machine())
    return provider in PROVIDERS and runs_on_device(provider)


def open_line_graph(
    bundle: Bundle, provider: str = "cpu", threads: int | None = None, cuda_graph: bool | None = None
) -> LineGraph:
    """Open a bundle's line graph.

    Raises:
        BundleError: it has none.
        EngineError: the provider is not available or refuses the graph.
    """
    manifest = bundle.manifest
    if manifest.line_graph is None:
        raise BundleError(
            f"{bundle.path}: has no line graph: run `cmdiad calibrate SCANS --line-graph`, "
            "or leave out --graph line if calibration says that there can be none"
        )
    expected = route_of(manifest.route, manifest.main).line_inputs(manifest.grouping)
    if manifest.line_graph.inputs != expected:
        raise BundleError(
            f"{bundle.path}: its line graph is of an earlier version: run `cmdiad calibrate SCANS --line-graph` again, "
            "or give --graph networks"
        )
    decision, device = Decision.load(bundle, threads), shared_device(provider)
    if device is not None:
        on_device = open_device_session(bundle, LINE_ROLE, PROVIDERS[provider], device, threads, cuda_graph)
        feed = DeviceFeed(manifest.line_graph, manifest.grouping, on_device, device)
        return LineGraph(route_of(manifest.route, manifest.main), feed, decision)
    session = open_session(bundle, LINE_ROLE, provider, threads, cuda_graph)
    return LineGraph.on_host(manifest, session, decision, partial(group_on_cpu, threads=threads))
