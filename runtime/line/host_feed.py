"""Parts go into the line graph from the host's memory: any session, with the points grouped on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..bundle.parameters import Grouping
from ..engines.opening import ObservedSession, Observer
from ..engines.plan_check import LINE_ROLE
from ..engines.session import Session
from ..patches.grouped import GroupedPart, Grouper, group_on_cpu
from ..preparation.prepared_part import PreparedPart
from .line_part import Arrays, BatchLayout, LinePart, line_part

GraphOutputs = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LineRun:
    """One run of the graph, until the next one begins.

    Attributes:
        outputs: those that were asked for, (B, ...) each; others may be among them.
        bring: gives further ones by their names.
    """

    outputs: GraphOutputs
    bring: Callable[[Sequence[str]], GraphOutputs]


class LineFeed(Protocol):
    """How parts get into a line graph, and its answers out."""

    def ready(self, prepared: PreparedPart) -> LinePart:
        """What can be done ahead for one part.

        Raises:
            ScanError: too few points are left for a group.
        """
        ...

    def run(
        self, parts: Sequence[LinePart], layout: BatchLayout, outputs: Sequence[str]
    ) -> AbstractContextManager[LineRun]:
        """Run the graph; threads take turns where they must.

        Args:
            parts: a batch.
            layout: where their patches lie.
            outputs: which of the graph's outputs are wanted.

        Raises:
            EngineError: the graph cannot be run.
        """
        ...

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of the graph while the block runs."""
        ...


class HostFeed:
    """The `LineFeed` of a session that takes and gives arrays."""

    def __init__(
        self, inputs: Sequence[str], grouping: Grouping, session: Session, grouper: Grouper = group_on_cpu
    ) -> None:
        """Take a graph that is ready to run.

        Args:
            inputs: the graph's, by name.
            grouping: G and M.
            session: the graph's.
            grouper: what groups points.
        """
        self._inputs, self._grouping, self._session, self._grouper = inputs, grouping, session, grouper

    def ready(self, prepared: PreparedPart) -> LinePart:
        """See `LineFeed`."""
        part = line_part(prepared, self._inputs)
        if part.points is None or part.pixels is None:
            return part
        if isinstance(prepared, GroupedPart):
            return replace(part, grouped=prepared.grouped)
        return replace(part, grouped=self._grouper(part.points, part.pixels, self._grouping))

    @contextmanager
    def run(self, parts: Sequence[LinePart], layout: BatchLayout, outputs: Sequence[str]) -> Iterator[LineRun]:
        """See `LineFeed`: all outputs come, and threads need not wait for each other."""
        given = self._session.run(batch_arrays(parts, layout))
        yield LineRun(given, lambda names: given)

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """See `LineFeed`."""
        session = self._session
        self._session = ObservedSession(LINE_ROLE, session, observer)
        try:
            yield
        finally:
            self._session = session


def batch_arrays(parts: Sequence[LinePart], layout: BatchLayout) -> Arrays:
    """The graph's inputs for grouped parts, by name."""
    arrays: dict[str, npt.NDArray[Any]] = {"patches": layout.patches, "places": layout.places}
    for name in parts[0].sensed:
        arrays[name] = np.stack([part.sensed[name] for part in parts])
    grouped = [part.grouped for part in parts if part.grouped is not None]
    if grouped:
        arrays["groups"] = np.stack([groups.groups for groups in grouped])
        arrays["centers"] = np.stack([groups.centers for groups in grouped])
        pooling = np.zeros((*layout.patches.shape, len(grouped[0].centers)), np.float32)
        for number, (part, groups) in enumerate(zip(parts, grouped, strict=True)):
            pooling[number, : len(part.patches)] = groups.dense_pooling(part.patches)
        arrays["pooling"] = pooling
    return arrays
