"""A scan in, an inspection out: the line's whole computation behind one call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .bundle import Bundle, find_bundle, open_bundle, require_calibration
from .decision import Decision
from .engine_opening import Observer
from .errors import EngineError, naming_scan
from .features import FeatureExtractor
from .line_graph import Arrays, LineGraph, open_line_graph, prefers_line_graph
from .preparation.part import PreparedPart, prepare_part
from .preprocessing import map_to_input
from .sensor.part import Part, modalities, read_part
from .timing import Span, StageTimes

Graph = Literal["auto", "networks", "line"]


@dataclass(frozen=True)
class Inspection:
    """The verdict on one part.

    Attributes:
        score: the raw anomaly score; larger is more anomalous.
        threshold: the score above which a part is called defective.
        is_defect: score > threshold.
        map: (H, W) float32, the anomaly map in the input scan's own pixels.
        pixel_threshold: the map value above which a pixel is marked.
        points: (H, W, 3) float32, metres, the scan as read; None for an image alone.
        valid: (H, W) bool, the pixels that were inspected as part.
        seconds: time by stage.
        spans: every run of a stage, for a profile.
    """

    score: float
    threshold: float
    is_defect: bool
    map: npt.NDArray[np.float32]
    pixel_threshold: float
    points: npt.NDArray[np.float32] | None
    valid: npt.NDArray[np.bool_]
    seconds: dict[str, float]
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True)
class ReadyPart:
    """A part that is read, preprocessed and grouped: all that can be done while the networks run for another.

    Attributes:
        part: as read.
        prepared: at the networks' resolution.
        times: of the stages so far.
        line_inputs: what the line graph takes of it; nothing where network by network runs.
    """

    part: Part
    prepared: PreparedPart
    times: StageTimes
    line_inputs: Arrays = field(default_factory=dict)


class Inspector:
    """A calibrated bundle, loaded once and called for every part."""

    def __init__(
        self,
        bundle: Bundle,
        provider: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
        cuda_graph: bool = False,
        graph: Graph = "auto",
        batch: int = 1,
    ) -> None:
        """Open the engines and banks of a verified bundle; the arguments are those of `load`.

        Raises:
            BundleError: the bundle is not calibrated, or by an earlier version.
            EngineError: the provider is not available, or takes one part at a time where more are asked for.
        """
        calibration = require_calibration(bundle)
        self.bundle = bundle
        self._measured = modalities(bundle.manifest)
        self.threshold = calibration.threshold.value if threshold is None else threshold
        self.pixel_threshold = calibration.pixel_threshold.value
        self.batch = batch
        self._line: LineGraph | None = None
        if graph == "line" or (graph == "auto" and prefers_line_graph(bundle, provider)):
            self._line = open_line_graph(bundle, provider, threads, cuda_graph)
        else:
            if batch > 1:
                raise EngineError(
                    f"batch {batch}: only the line graph takes several parts at a time, and this runs network by "
                    "network: give --graph line"
                )
            self._decision = Decision.load(bundle)
            self._features = FeatureExtractor(bundle, provider, threads, cuda_graph)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
        cuda_graph: bool = False,
        graph: Graph = "auto",
        batch: int = 1,
    ) -> Inspector:
        """Open and verify a bundle.

        Args:
            path: a bundle folder or .cmdiad file; None: $CMDIAD_BUNDLE, else ./bundle.
            provider: what runs the networks: an execution provider of ONNX Runtime (cpu, cuda, tensorrt,
                tensorrt-rtx), or the bundle's own engines (tensorrt-engine, tensorrt-rtx-engine).
            threads: CPU threads of the networks; None: all this process may use.
            threshold: overrides the calibrated threshold.
            cuda_graph: capture networks of fixed shape as CUDA graphs.
            graph: networks: each network by itself, the bank search in NumPy. line: the fused line graph. auto: the
                line graph where there is one, except on the CPU, where the search in NumPy is faster.
            batch: how many parts go through the line graph together where as many wait; a GPU may gain from it.

        Raises:
            BundleError: there is no bundle, or it is changed, incomplete or not calibrated.
            EngineError: the provider is not available, or takes one part at a time where more are asked for.
        """
        return cls(open_bundle(find_bundle(path)), provider, threads, threshold, cuda_graph, graph, batch)

    def __call__(self, path: str | Path) -> Inspection:
        """Read and inspect one scan file (an image file where the bundle's main modality is RGB).

        Raises:
            ScanError: the file cannot be read or holds nothing to inspect.
        """
        ready = self.read(path)
        with naming_scan(Path(path)):
            return self.finish(ready)

    def read(self, path: str | Path) -> ReadyPart:
        """Everything before the networks, for one file.

        Raises:
            ScanError: the file cannot be read or holds nothing to inspect.
        """
        times = StageTimes()
        with naming_scan(Path(path)):
            with times.stage("read"):
                part = read_part(Path(path), self._measured, self.bundle.manifest.preprocessing)
            return self._ready(part, times)

    def inspect(self, part: Part) -> Inspection:
        """Inspect a part that is already in memory.

        Raises:
            ScanError: nothing of the part is left after preprocessing, or too few points.
        """
        return self.finish(self._ready(part, StageTimes()))

    def _ready(self, part: Part, times: StageTimes) -> ReadyPart:
        with times.stage("preprocess"):
            prepared = prepare_part(part, self._measured, self.bundle.manifest.preprocessing)
        if self._line is None:
            return ReadyPart(part, self._features.group(prepared, times), times)
        with times.stage("group"):
            return ReadyPart(part, prepared, times, self._line.inputs(prepared))

    def finish(self, ready: ReadyPart) -> Inspection:
        """The networks, the search and the decision for a part that is ready for them."""
        (inspection,) = self.finish_batch([ready])
        return inspection

    def finish_batch(self, parts: Sequence[ReadyPart]) -> list[Inspection]:
        """The same for several parts: a whole batch goes through the line graph together, any other number one by one.

        Raises:
            EngineError: the engine does not take so many parts at a time.
        """
        line = self._line
        if line is None:
            return [self._by_networks(each) for each in parts]
        together = [parts] if len(parts) == self.batch else [[each] for each in parts]
        return [inspection for some in together for inspection in self._by_line(line, some)]

    def _by_networks(self, ready: ReadyPart) -> Inspection:
        features = self._features.extract(ready.prepared, ready.times)
        with ready.times.stage("search"):
            matches = self._decision.match(features)
        with ready.times.stage("score"):
            score, map_224 = self._decision.decide(features.foreground, matches)
        return self._inspection(ready, score, map_224)

    def _by_line(self, line: LineGraph, parts: Sequence[ReadyPart]) -> list[Inspection]:
        times = StageTimes()
        answers = line.run_batch([each.line_inputs for each in parts], times)
        for each in parts:
            each.times.add_share(times, len(parts))
        return [self._inspection(each, found.score, found.map) for each, found in zip(parts, answers, strict=True)]

    def _inspection(self, ready: ReadyPart, score: float, map_224: npt.NDArray[np.float32]) -> Inspection:
        part, prepared, times = ready.part, ready.prepared, ready.times
        with times.stage("score"):
            map_hw = map_to_input(map_224, prepared.frame, of_image=prepared.scan is None)
        return Inspection(
            score=score,
            threshold=self.threshold,
            is_defect=score > self.threshold,
            map=map_hw,
            pixel_threshold=self.pixel_threshold,
            points=part.points,
            valid=prepared.kept,
            seconds=times.seconds,
            spans=tuple(times.spans),
        )

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of every network, or the line graph, while the block runs."""
        return self._line.observed(observer) if self._line is not None else self._features.observed(observer)
