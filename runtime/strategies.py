"""Two ways from a prepared part to its score and map: network by network, or the fused line graph.

Both give the same answers. A strategy does what it can ahead, on the reading thread (`ready`), and the rest for one
part or a batch (`answer`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args

import numpy as np
import numpy.typing as npt

from .bundle.reading import Bundle
from .choices import Graph
from .engines.opening import Observer
from .errors import EngineError, UsageError
from .line.line_part import LinePart
from .line_graph import open_line_graph, prefers_line_graph
from .patches.features import FeatureExtractor
from .preparation.prepared_part import PreparedPart
from .timing import StageTimes
from .verdict.decision import Decision

Work = TypeVar("Work")


@dataclass(frozen=True)
class Answer:
    """What is computed for one part, before anything is concluded from it.

    Attributes:
        score: the anomaly score; larger is more anomalous.
        map: (224, 224) float32, the anomaly map at the networks' resolution.
        searched_again: searches that the line graph could not prove, and that were repeated in NumPy.
    """

    score: float
    map: npt.NDArray[np.float32]
    searched_again: int = 0


class Strategy(Protocol[Work]):
    """How a bundle computes.

    Attributes:
        batch: how many parts it takes together, at most.
    """

    batch: int

    def ready(self, prepared: PreparedPart, times: StageTimes) -> Work:
        """What can be done ahead for one part.

        Raises:
            ScanError: too few points are left for a group.
        """
        ...

    def answer(self, works: Sequence[Work], times: Sequence[StageTimes]) -> list[Answer]:
        """Scores and maps, in order; the time is booked to each part.

        Raises:
            EngineError: a network cannot be run.
        """
        ...

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of every network while the block runs."""
        ...

    def close(self) -> None:
        """End the threads that it holds."""
        ...


class ByNetworks:
    """Each network by itself, the banks searched in NumPy: one part at a time."""

    batch = 1

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, cuda_graph: bool | None) -> None:
        """Open the networks and the banks; the arguments are those of `Inspector.load`."""
        self._decision = Decision.load(bundle, threads)
        self._features = FeatureExtractor(bundle, provider, threads, cuda_graph)

    def ready(self, prepared: PreparedPart, times: StageTimes) -> PreparedPart:
        """See `Strategy`."""
        return self._features.group(prepared, times)

    def answer(self, works: Sequence[PreparedPart], times: Sequence[StageTimes]) -> list[Answer]:
        """See `Strategy`."""
        return [self._answer_one(prepared, own) for prepared, own in zip(works, times, strict=True)]

    def _answer_one(self, prepared: PreparedPart, times: StageTimes) -> Answer:
        features = self._features.extract(prepared, times)
        with times.stage("search"):
            matches = self._decision.match(features)
        with times.stage("score"):
            return Answer(*self._decision.decide(features.foreground, matches))

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """See `Strategy`."""
        return self._features.observed(observer)

    def close(self) -> None:
        """See `Strategy`."""
        self._decision.close()


class ByLineGraph:
    """The fused graph, which takes several parts at a time, in numbers that come again and again: `batch_sizes`."""

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, cuda_graph: bool | None, batch: int) -> None:
        """Open the graph; the arguments are those of `Inspector.load`."""
        self.batch = batch
        self._line = open_line_graph(bundle, provider, threads, cuda_graph)

    def ready(self, prepared: PreparedPart, times: StageTimes) -> LinePart:
        """See `Strategy`."""
        return self._line.ready(prepared, times)

    def answer(self, works: Sequence[LinePart], times: Sequence[StageTimes]) -> list[Answer]:
        """See `Strategy`."""
        answers: list[Answer] = []
        for size in batch_sizes(len(works), self.batch):
            together = slice(len(answers), len(answers) + size)
            answers += self._together(works[together], times[together])
        return answers

    def _together(self, works: Sequence[LinePart], times: Sequence[StageTimes]) -> list[Answer]:
        shared = StageTimes()
        answers = self._line.run_batch(works, shared)
        for own in times:
            own.add_share(shared, len(works))
        return [Answer(answer.score, answer.map, answer.searched_again) for answer in answers]

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """See `Strategy`."""
        return self._line.observed(observer)

    def close(self) -> None:
        """See `Strategy`: the graph's threads are ONNX Runtime's, and end with it."""


def batch_sizes(n_parts: int, batch: int) -> list[int]:
    """How parts are split: into whole batches, and the rest by powers of two.

    A GPU plans anew for every number of parts that it has not met, so there are few.

    Example:
        >>> batch_sizes(23, 8), batch_sizes(5, 6)
        ([8, 8, 4, 2, 1], [4, 1])
    """
    whole, rest = divmod(n_parts, batch)
    powers = [1 << bit for bit in reversed(range(rest.bit_length())) if rest & 1 << bit]
    return [batch] * whole + powers


def choose_strategy(
    bundle: Bundle, provider: str, threads: int | None, cuda_graph: bool | None, graph: Graph, batch: int
) -> Strategy[Any]:
    """Open what `graph` asks for; the arguments are those of `Inspector.load`.

    Raises:
        UsageError: there is no such graph, or the batch is not a positive number.
        EngineError: the provider is not available, or takes one part at a time where more are asked for.
        BundleError: the bundle has no line graph, or a file of it is not valid.
    """
    if graph not in get_args(Graph):
        raise UsageError(f"graph {graph!r}: choose one of {', '.join(get_args(Graph))}")
    if batch < 1:
        raise UsageError(f"batch {batch}: must be at least 1")
    if graph == "line" or (graph == "auto" and prefers_line_graph(bundle, provider)):
        return ByLineGraph(bundle, provider, threads, cuda_graph, batch)
    if batch > 1:
        raise EngineError(
            f"batch {batch}: only the line graph takes several parts at a time, and this runs network by "
            "network: give --graph line"
        )
    return ByNetworks(bundle, provider, threads, cuda_graph)
