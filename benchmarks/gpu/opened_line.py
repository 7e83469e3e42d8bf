"""What several measures use of a built line: bundles and scans are read once, and line graphs opened once."""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path

from cmdiad.benchmarks.gpu.full_line import PRECISIONS, prepared_scans
from cmdiad.benchmarks.shared.workbench import held_out_scans
from cmdiad.runtime.bundle.reading import Bundle, open_bundle
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.line_graph import LineGraph, open_line_graph
from cmdiad.runtime.preparation.prepared_part import PreparedPart

STREAM_BATCH = 8


class OpenedLine:
    """A folder by `build_line`, and the provider that runs it.

    Attributes:
        folder: of the line.
        provider: what runs networks and line graph.
    """

    def __init__(self, folder: Path, provider: str) -> None:
        """Nothing is read yet."""
        self.folder, self.provider = folder, provider
        self.bundle = cache(self._bundle)
        self.line_graph = cache(self._line_graph)
        self.inspector = cache(self._inspector)

    @cached_property
    def scans(self) -> list[Path]:
        """Held-out scans' files."""
        return held_out_scans(self.folder)

    @cached_property
    def parts(self) -> list[PreparedPart]:
        """The same, prepared."""
        return prepared_scans(self.bundle(PRECISIONS[0]), self.scans)

    def _bundle(self, precision: str) -> Bundle:
        """A precision's bundle, verified."""
        return open_bundle(self.folder / precision)

    def _line_graph(self, precision: str, cuda_graph: bool) -> LineGraph:
        """A precision's line graph, with CUDA graphs or without."""
        return open_line_graph(self.bundle(precision), self.provider, cuda_graph=cuda_graph)

    def _inspector(self, precision: str) -> Inspector:
        """A precision's inspector as the line runs it, which takes single parts and batches."""
        return Inspector(self.bundle(precision), self.provider, graph="line", batch=STREAM_BATCH, allow_any_size=True)
