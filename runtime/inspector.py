"""A scan in, an inspection out: the line's whole computation behind one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle.parameters import PartRange
from .bundle.reading import Bundle, find_bundle, open_bundle, require_calibration
from .bundle.signature import TrustedKeys, find_trusted
from .choices import Graph
from .engines.opening import Observer
from .errors import NotFiniteError, ScanError, UsageError, naming_scan
from .patches.routes import modalities
from .preparation.frame import map_to_input
from .preparation.part_range import outside
from .preparation.part_view import PartView
from .preparation.prepared_part import PreparedPart, prepare_part
from .sensor.origin import NEAR, Vector
from .sensor.part import Part, part_from_arrays, part_from_bytes, read_part
from .strategies import Answer, choose_strategy
from .threads import thread_count
from .timing import Span, StageTimes
from .verdict.heatmap import draw_heatmap
from .verdict.regions import DefectRegion, find_regions


@dataclass(frozen=True, eq=False)
class Inspection:
    """The verdict on one part.

    Attributes:
        product: what the bundle inspects.
        score: the raw anomaly score; larger is more anomalous.
        threshold: the score above which a part is called defective.
        is_defect: score > threshold.
        map: (H, W) float32, the anomaly map in the input scan's own pixels.
        pixel_threshold: the map value above which a pixel is marked.
        points: (H, W, 3) float32, metres, the scan as read, relative to `origin`; None for an image alone.
        rgb: (H, W, 3) uint8, the image as read; None without a camera.
        valid: (H, W) bool, the pixels that were inspected as part.
        view: how large the part is, where it lies (relative to `origin`), and how much of it was seen.
        origin: what was subtracted from the file's coordinates, metres: zero for scans within 16 m of their origin.
        seconds: time by stage.
        spans: each run of a stage, for a profile.
        searched_again: searches of a patch in a bank that the line graph could not prove, and that were repeated.
        notes: what of the scan's file was not inspected because no pixel of `points` holds it; a sentence each.
    """

    product: str
    score: float
    threshold: float
    is_defect: bool
    map: npt.NDArray[np.float32]
    pixel_threshold: float
    points: npt.NDArray[np.float32] | None
    rgb: npt.NDArray[np.uint8] | None
    valid: npt.NDArray[np.bool_]
    view: PartView
    seconds: dict[str, float]
    origin: Vector = NEAR
    spans: tuple[Span, ...] = ()
    searched_again: int = 0
    notes: tuple[str, ...] = ()

    @cached_property
    def regions(self) -> tuple[DefectRegion, ...]:
        """Where the map is above the pixel threshold, the highest peak first: `find_regions`, at the first use.

        A part may be defective by its score and have none, and good and have some: the two thresholds are two.
        """
        return find_regions(self.map, self.valid, self.pixel_threshold, self.points, self.origin)

    @property
    def regions_found(self) -> int:
        """How many regions the map has; `regions` describes at most 32 of them."""
        return self.regions[0].of if self.regions else 0

    def heatmap(self) -> npt.NDArray[np.uint8]:
        """The picture that `infer` writes: (H, W, 3) uint8, the anomalies over the scan, defects outlined."""
        return draw_heatmap(self.map, self.valid, self.pixel_threshold, self.points, self.rgb)

    def as_json(self) -> dict[str, Any]:
        """The verdict and what it is about, as `infer --json` has it."""
        return {
            "product": self.product,
            "score": self.score,
            "threshold": self.threshold,
            "is_defect": self.is_defect,
            "searched_again": self.searched_again,
            "regions_found": self.regions_found,
            "regions": [region.as_json() for region in self.regions],
            "notes": list(self.notes),
            **view_as_json(self.view, self.origin),
        }

    def with_times(self, times: StageTimes) -> Inspection:
        """The same, with further stages' time."""
        return replace(self, seconds={**self.seconds, **times.seconds}, spans=(*self.spans, *times.spans))


@dataclass(frozen=True)
class ReadyPart:
    """A part that is read, preprocessed and grouped: all that can be done while the networks run for another.

    Attributes:
        part: as read.
        prepared: at the networks' resolution.
        times: of the stages so far.
        work: what the inspector's strategy takes.
    """

    part: Part
    prepared: PreparedPart
    times: StageTimes
    work: Any


class Inspector:
    """A calibrated bundle, loaded once and called for each part.

    Attributes:
        bundle: what was loaded.
        threads: how many CPU threads it works with.
        side_by_side: whether each part has one of them, and a stream as many parts at a time.
        threshold: the score above which a part is called defective.
        pixel_threshold: the map value above which a pixel is marked.
    """

    def __init__(
        self,
        bundle: Bundle,
        provider: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
        cuda_graph: bool | None = None,
        graph: Graph = "auto",
        batch: int = 1,
        allow_any_size: bool = False,
        side_by_side: bool = False,
    ) -> None:
        """Open the networks and banks of a verified bundle; the arguments are those of `load`.

        Raises:
            BundleError: the bundle is not calibrated, or by an earlier version.
            EngineError: the provider is not available, or takes one part at a time where more are asked for.
            UsageError: the threshold is not a finite number, or an argument makes no sense.
        """
        calibration = require_calibration(bundle)
        if threshold is not None and not math.isfinite(threshold):
            raise UsageError(f"threshold {threshold}: give a finite number: no part is above it, or all are")
        self.bundle = bundle
        self._measured = modalities(bundle.manifest)
        self._expected, self._allow_any_size = calibration.part, allow_any_size
        self.threshold = calibration.threshold.value if threshold is None else threshold
        self.pixel_threshold = calibration.pixel_threshold.value
        self.threads = thread_count(threads)
        self.side_by_side = side_by_side and goes_side_by_side(provider, batch)
        a_part = 1 if self.side_by_side else self.threads
        self._strategy = choose_strategy(bundle, provider, a_part, cuda_graph, graph, batch)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        provider: str = "cpu",
        threads: int | None = None,
        threshold: float | None = None,
        cuda_graph: bool | None = None,
        graph: Graph = "auto",
        batch: int = 1,
        allow_any_size: bool = False,
        side_by_side: bool = False,
        trusted: TrustedKeys | None = None,
    ) -> Inspector:
        """Open and verify a bundle.

        Args:
            path: a bundle folder or .cmdiad file; None: $CMDIAD_BUNDLE, else ./bundle.
            provider: what runs the networks: an execution provider of ONNX Runtime (cpu, cuda, tensorrt,
                tensorrt-rtx), or the bundle's own engines (tensorrt-engine, tensorrt-rtx-engine).
            threads: of the networks, the search, the grouping, and a stream's workers; None: all this process may use.
            threshold: overrides the calibrated threshold.
            cuda_graph: capture networks of few shapes as CUDA graphs; None: where the provider can.
            graph: networks: each network by itself, the bank search in NumPy. line: the fused line graph. auto: the
                line graph where there is one, except on the CPU, where the search in NumPy is faster.
            batch: how many parts go through the line graph together where as many wait; a GPU may gain from it.
            allow_any_size: inspect what is not such a part as calibration saw, too; see `check_likeness`.
            side_by_side: for a stream on the CPU: as many parts at a time as threads, each on one; no batches then.
            trusted: whose signature the bundle must have; None: those of $CMDIAD_REQUIRE_SIGNATURE, if it is set.

        Raises:
            BundleError: there is no bundle, or it is changed, incomplete, not calibrated or not signed.
            EngineError: the provider is not available, or takes one part at a time where more are asked for.
            UsageError: the threshold is not a finite number, or an argument makes no sense.

        Example:
            >>> Inspector.load("bagel.cmdiad")("scan.tiff").is_defect  # doctest: +SKIP
            False
        """
        bundle = open_bundle(find_bundle(path), find_trusted() if trusted is None else trusted)
        return cls(bundle, provider, threads, threshold, cuda_graph, graph, batch, allow_any_size, side_by_side)

    @property
    def batch(self) -> int:
        """How many parts go through the networks together, at most."""
        return self._strategy.batch

    def __call__(self, path: str | Path) -> Inspection:
        """Read and inspect one scan file (an image file where the bundle's main modality is RGB).

        Raises:
            ScanError: the file cannot be read or holds nothing to inspect.
            NotFiniteError: the networks answer with what is not a number.
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

    def read_bytes(self, data: bytes, image: bytes | None = None) -> ReadyPart:
        """The same for what files hold; see `part_from_bytes`.

        Raises:
            ScanError: about the content alone: it cannot be read or holds nothing to inspect.
        """
        times = StageTimes()
        with times.stage("read"):
            part = part_from_bytes(data, self._measured, self.bundle.manifest.preprocessing, image)
        return self._ready(part, times)

    def read_arrays(self, points: npt.NDArray[Any], rgb: npt.NDArray[np.uint8] | None = None) -> ReadyPart:
        """The same for arrays, whose numbers are treated as those of the product's scan files.

        Raises:
            ScanError: they hold nothing to inspect.
        """
        times = StageTimes()
        with times.stage("read"):
            sensor = self.bundle.manifest.preprocessing
            part = part_from_arrays(points, rgb, sensor.metres_per_unit, sensor.geometry)
        return self._ready(part, times)

    def inspect(self, part: Part) -> Inspection:
        """Inspect a part that is already in memory; see `part_from_arrays`.

        Raises:
            ScanError: nothing of the part is left after preprocessing, or too few points.
            NotFiniteError: the networks answer with what is not a number.
            UsageError: it is not a `Part`.
        """
        if not isinstance(part, Part):
            raise UsageError(f"inspect takes a Part, not {type(part).__name__}: give part_from_arrays(points)")
        return self.finish(self._ready(part, StageTimes()))

    def _ready(self, part: Part, times: StageTimes) -> ReadyPart:
        with times.stage("preprocess"):
            prepared = prepare_part(part, self._measured, self.bundle.manifest.preprocessing, self._expected)
            if self._expected is not None and not self._allow_any_size:
                check_likeness(prepared.view, self._expected)
        return ReadyPart(part, prepared, times, self._strategy.ready(prepared, times))

    def finish(self, ready: ReadyPart) -> Inspection:
        """The networks, the search and the decision for a part that is ready for them."""
        (inspection,) = self.finish_batch([ready])
        return inspection

    def finish_batch(self, parts: Sequence[ReadyPart]) -> list[Inspection]:
        """The same for several parts.

        Raises:
            EngineError: a network cannot be run.
            NotFiniteError: it answers with what is not a number.
        """
        answers = self._strategy.answer([ready.work for ready in parts], [ready.times for ready in parts])
        return [self._conclude(ready, answer) for ready, answer in zip(parts, answers, strict=True)]

    def _conclude(self, ready: ReadyPart, answer: Answer) -> Inspection:
        check_finite(answer)
        part, prepared, times = ready.part, ready.prepared, ready.times
        with times.stage("score"):
            map_hw = map_to_input(answer.map, prepared.frame, of_image=prepared.scan is None)
        return Inspection(
            product=self.bundle.manifest.product,
            score=answer.score,
            threshold=self.threshold,
            is_defect=answer.score > self.threshold,
            map=map_hw,
            pixel_threshold=self.pixel_threshold,
            points=part.points,
            rgb=part.rgb,
            valid=prepared.kept,
            view=prepared.view,
            seconds=times.seconds,
            origin=part.origin,
            spans=tuple(times.spans),
            searched_again=answer.searched_again,
            notes=part.notes,
        )

    def close(self) -> None:
        """End the threads of the search; they also end with the inspector itself."""
        self._strategy.close()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of the networks while the block runs."""
        return self._strategy.observed(observer)


def goes_side_by_side(provider: str, batch: int) -> bool:
    """Whether parts can be inspected side by side: a batch is one call, and a GPU takes one after the other."""
    return provider == "cpu" and batch == 1


def check_finite(answer: Answer) -> None:
    """Refuse what no verdict can be made of: comparing it with a threshold would call the part good.

    Raises:
        NotFiniteError: the score or the map is not finite.
    """
    if not math.isfinite(answer.score):
        raise NotFiniteError(
            f"the networks answer with a score of {answer.score}, so there is no verdict: look for absurd "
            "coordinates in the scan, and run `cmdiad-rt selftest` to check this machine"
        )
    wrong = answer.map.size - int(np.count_nonzero(np.isfinite(answer.map)))
    if wrong:
        raise NotFiniteError(
            f"{wrong} of {answer.map.size} values of the anomaly map are not numbers, so there is no verdict: look for "
            "absurd coordinates in the scan, and run `cmdiad-rt selftest` to check this machine"
        )


def check_likeness(view: PartView, expected: PartRange) -> None:
    """Refuse what is not such a part as calibration saw, or was not seen: its verdict would mean nothing.

    Raises:
        ScanError: says in what it differs, with what calibration saw and what is allowed.
    """
    if reasons := outside(view, expected):
        raise ScanError(
            f"is not such a part as the bundle was calibrated for: {'; '.join(reasons)}: check the view and the "
            "product, or inspect it all the same with `cmdiad-rt infer --allow-any-size`"
        )


def view_as_json(view: PartView, origin: Vector = NEAR) -> dict[str, Any]:
    """What was inspected, as `infer --json` has it, in the file's coordinates; lengths are null for an image alone."""
    center = None if view.center_m is None else tuple(map(sum, zip(view.center_m, origin, strict=True)))
    return {
        "part_pixels": view.part_pixels,
        "part_diameter_m": view.diameter_m,
        "part_center_m": center,
        "on_plane": view.on_plane,
        "inspected_share": view.inspected_share,
        "measured_share": view.measured_share,
        "other_objects": [
            {"pixels": other.pixels, "diameter_m": other.diameter_m, "row": other.row, "column": other.column}
            for other in view.other_objects
        ],
    }
