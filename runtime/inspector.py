"""A scan in, an inspection out: everything that the line computes, behind one call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .bundle.reading import Bundle, find_bundle, open_bundle, require_calibration
from .bundle.signature import TrustedKeys, find_trusted
from .choices import Graph
from .comparability import differences, whole_part_note
from .engines.opening import Observer
from .errors import NotFiniteError, ScanError, UsageError, naming_scan
from .inspection import Inspection, RefusedPart
from .likeness import check_likeness, refused_parts
from .patches.routes import modalities
from .preparation.frame import map_to_input
from .preparation.prepared_part import PreparedPart, prepare_part, prepare_parts
from .sensor.host_arrays import ArrayInput
from .sensor.in_memory import PartInMemory, read_source
from .sensor.part import Part, part_from_bytes
from .sensor.unpacking import UnpackingThreads
from .strategies import Answer, choose_strategy
from .threads import thread_count
from .timing import StageTimes
from .whole_scan import whole_scan


@dataclass(frozen=True)
class ReadyPart:
    """A part that is preprocessed and grouped.

    Attributes:
        prepared: at the networks' resolution.
        times: of the part's own stages so far.
        work: what the inspector's strategy takes.
        number: the part's number, from 1; None where scans show one part.
    """

    prepared: PreparedPart
    times: StageTimes
    work: Any
    number: int | None = None


@dataclass(frozen=True)
class ReadyScan:
    """A scan that is read, preprocessed and grouped: all that can be done while the networks run for another.

    Attributes:
        part: as read.
        times: of the stages so far, which its parts share.
        parts: what can be judged.
        of: how many parts the scan has, including those that cannot be judged; None where scans show one part.
        refused: what cannot be judged.
        part_id: the caller's name for the part; None if it gave none.
    """

    part: Part
    times: StageTimes
    parts: tuple[ReadyPart, ...]
    of: int | None = None
    refused: tuple[RefusedPart, ...] = ()
    part_id: str | None = None


class Inspector:
    """A calibrated bundle, loaded once and called for each part.

    Attributes:
        bundle: what was loaded.
        threads: how many CPU threads it works with.
        side_by_side: whether a stream inspects as many parts at a time as there are threads, each on one thread.
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
            BundleError: the bundle is not calibrated, or was calibrated by an earlier version.
            EngineError: the provider is not available, or takes one part at a time and `batch` asks for more.
            UsageError: the threshold is not a finite number, or an argument makes no sense.
        """
        calibration = require_calibration(bundle)
        if threshold is not None and not math.isfinite(threshold):
            raise UsageError(
                f"threshold {threshold}: give a finite number; otherwise no part would be above it, or all would"
            )
        self.bundle = bundle
        self._measured = modalities(bundle.manifest)
        self._expected, self._allow_any_size, self._health = calibration.part, allow_any_size, calibration.health
        self.threshold = calibration.threshold.value if threshold is None else threshold
        self.pixel_threshold = calibration.pixel_threshold.value
        self.threads = thread_count(threads)
        self.side_by_side = side_by_side and goes_side_by_side(provider, batch)
        a_part = 1 if self.side_by_side else self.threads
        self._unpacking = UnpackingThreads(a_part)
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
            threads: for reading, networks, search, grouping, and a stream's workers; None: all this process may use.
            threshold: overrides the calibrated threshold.
            cuda_graph: capture networks of few shapes as CUDA graphs; None: where the provider can.
            graph: networks: each network by itself, the bank search in NumPy. line: the fused line graph. auto: the
                line graph where there is one, except on the CPU, where the search in NumPy is faster.
            batch: how many parts go through the line graph together, if that many are waiting; may be faster on a GPU.
            allow_any_size: also inspect parts unlike those that calibration saw; see `check_likeness`.
            side_by_side: for a stream on the CPU: as many parts at a time as threads, each on one, without batches.
            trusted: whose signature the bundle must have; None: those of $CMDIAD_REQUIRE_SIGNATURE, if it is set.

        Raises:
            BundleError: there is no bundle, or it was changed, or is incomplete, not calibrated or not signed.
            EngineError: the provider is not available, or takes one part at a time and `batch` asks for more.
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
        """Read and inspect one scan file (an image file if the bundle's main modality is RGB).

        Raises:
            ScanError: the file cannot be read or holds nothing to inspect.
            NotFiniteError: the networks return values that are not finite.
        """
        ready = self.read(path)
        with naming_scan(Path(path)):
            return self.finish(ready)

    def read(self, source: str | Path | PartInMemory) -> ReadyScan:
        """Do everything before the networks, for one file or one part in memory (its name becomes the part ID).

        Raises:
            ScanError: the file cannot be read, or there is nothing to inspect.
            UsageError: something that should be an array is not, or is on a GPU.
        """
        times = StageTimes()
        held = source if isinstance(source, PartInMemory) else Path(source)
        with naming_scan(held):
            with times.stage("read"), self._unpacking.shared():
                part = read_source(held, self._measured, self.bundle.manifest.preprocessing)
            return self._ready(part, times, held.name if isinstance(held, PartInMemory) else None)

    def read_bytes(self, data: bytes, image: bytes | None = None) -> ReadyScan:
        """Do what `read` does, for the contents of files; see `part_from_bytes`.

        Raises:
            ScanError: the content cannot be read or holds nothing to inspect; the message names no file.
        """
        times = StageTimes()
        with times.stage("read"), self._unpacking.shared():
            part = part_from_bytes(data, self._measured, self.bundle.manifest.preprocessing, image)
        return self._ready(part, times)

    def read_arrays(
        self, points: ArrayInput | Part | None, rgb: ArrayInput | None = None, part_id: str | None = None
    ) -> ReadyScan:
        """Do what `read` does, for arrays; arguments and errors are those of `inspect`."""
        if part_id is not None:
            return self.read(PartInMemory(part_id, points, rgb))
        times = StageTimes()
        with times.stage("read"):
            part = PartInMemory("the part", points, rgb).read(self._measured, self.bundle.manifest.preprocessing)
        return self._ready(part, times)

    def inspect(
        self, points: ArrayInput | Part | None = None, rgb: ArrayInput | None = None, part_id: str | None = None
    ) -> Inspection:
        """Inspect a part that is in memory. Nothing is written to disk.

        If the bundle takes all parts of a scan, the result is the inspection of the whole scan, and its `parts` are the
        inspections of the parts; see `inspect_all`.

        The inputs that the bundle uses are copied once, the points as float32 meters (12 bytes per pixel) and the image
        (3), so a camera may write its next frame into the same memory as soon as this or `read_arrays` returns. The
        inspection keeps these copies. Inputs that the bundle does not use are ignored.

        Args:
            points: (H, W, 3) of any numeric type, in the unit of the product's scans (the manifest's
                `metres_per_unit`, meters if it has none); (0, 0, 0), masked or not finite where nothing was measured.
                A NumPy array, or anything with `__array__` or DLPack, in the host's memory; or a `Part`, which is in
                meters, has its own image, and is not copied. None for an image alone.
            rgb: (H, W, 3) uint8, registered with the points.
            part_id: what the part is called: in errors, in the inspection, and in the names of saved files.

        Raises:
            ScanError: a shape, a type or the unit does not suit a scan, or nothing is left of the part.
            NotFiniteError: the networks return values that are not finite.
            UsageError: something that should be an array is not, or is on a GPU.

        Example:
            >>> inspector.inspect(camera.points(), part_id="A-17").is_defect  # doctest: +SKIP
            False
        """
        ready = self.read_arrays(points, rgb, part_id)
        with nullcontext() if part_id is None else naming_scan(part_id):
            return self.finish(ready)

    def inspect_all(
        self, points: ArrayInput | Part | None = None, rgb: ArrayInput | None = None, part_id: str | None = None
    ) -> list[Inspection]:
        """Inspect every part of a scan in memory, in reading order; a list of one if the bundle takes one part.

        Args:
            points: as `inspect` takes them.
            rgb: as `inspect` takes it.
            part_id: as `inspect` takes it.

        Raises:
            ScanError: as `inspect` does; also if something in the scan cannot be judged, which `inspect` lists in
                `refused`.
            NotFiniteError, UsageError: as `inspect` does.

        Example:
            >>> [part.is_defect for part in inspector.inspect_all(camera.points())]  # doctest: +SKIP
            [False, True, False]
        """
        scan = self.inspect(points, rgb, part_id)
        if scan.refused:
            raise scan.refused[0].error
        return list(scan.parts) or [scan]

    def _ready(self, part: Part, times: StageTimes, part_id: str | None = None) -> ReadyScan:
        if self.bundle.manifest.preprocessing.parts == "all":
            return self._ready_all(part, times, part_id)
        with times.stage("preprocess"):
            prepared = prepare_part(part, self._measured, self.bundle.manifest.preprocessing, self._expected)
            if self._expected is not None and not self._allow_any_size:
                check_likeness(prepared.view, self._expected, self.bundle.manifest.preprocessing.metres_per_unit)
        return ReadyScan(part, StageTimes(), (self._ready_part(prepared, times),), part_id=part_id)

    def _ready_all(self, part: Part, times: StageTimes, part_id: str | None) -> ReadyScan:
        with times.stage("preprocess"):
            prepared = prepare_parts(part, self._measured, self.bundle.manifest.preprocessing, self._expected)
            expected = None if self._allow_any_size else self._expected
            refused = refused_parts(prepared, expected, self.bundle.manifest.preprocessing.metres_per_unit)
        numbers = {one.number for one in refused}
        ready = [
            self._ready_part(one, StageTimes(), number)
            for number, one in enumerate(prepared, 1)
            if not isinstance(one, ScanError) and number not in numbers
        ]
        return ReadyScan(part, times, tuple(ready), len(prepared), tuple(refused), part_id)

    def _ready_part(self, prepared: PreparedPart, times: StageTimes, number: int | None = None) -> ReadyPart:
        return ReadyPart(prepared, times, self._strategy.ready(prepared, times), number)

    def finish(self, ready: ReadyScan) -> Inspection:
        """Run the networks, the search and the decision for a scan that is ready for them."""
        (inspection,) = self.finish_batch([ready])
        return inspection

    def finish_batch(self, scans: Sequence[ReadyScan]) -> list[Inspection]:
        """Do the same for several scans, whose parts go through the networks together.

        Raises:
            EngineError: a network cannot be run.
            NotFiniteError: it returns values that are not finite.
            ScanError: no part of a scan can be judged.
        """
        parts = [part for scan in scans for part in scan.parts]
        answers = iter(self._strategy.answer([part.work for part in parts], [part.times for part in parts]))
        return [self._conclude(scan, [next(answers) for _ in scan.parts]) for scan in scans]

    def _conclude(self, scan: ReadyScan, answers: Sequence[Answer]) -> Inspection:
        inspections: list[Inspection] = []
        for ready, answer in zip(scan.parts, answers, strict=True):
            # Every run of a shared stage is told of once.
            shared = scan.times if not inspections else scan.times.without_spans()
            ready.times.add_share(shared, len(scan.parts))
            inspections.append(self._concluded(scan, ready, answer))
        return inspections[0] if scan.of is None else whole_scan(inspections, scan.refused)

    def _concluded(self, scan: ReadyScan, ready: ReadyPart, answer: Answer) -> Inspection:
        check_finite(answer)
        part, prepared, times = scan.part, ready.prepared, ready.times
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
            notes=(
                *part.notes,
                *differences(prepared.view, part.origin, self._expected, self._health),
                *whole_part_note(map_hw, prepared.kept, self.pixel_threshold),
            ),
            part_id=scan.part_id,
            number=ready.number,
            of=scan.of,
        )

    def close(self) -> None:
        """End the threads of the search and of unpacking; they also end when the inspector is deleted."""
        self._strategy.close()
        self._unpacking.close()

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def observed(self, observer: Observer) -> AbstractContextManager[None]:
        """Show an observer what goes into and comes out of the networks while the block runs."""
        return self._strategy.observed(observer)


def goes_side_by_side(provider: str, batch: int) -> bool:
    """Whether parts can be inspected side by side: a batch is one call, and a GPU takes one part after the other."""
    return provider == "cpu" and batch == 1


def check_finite(answer: Answer) -> None:
    """Refuse an answer that no verdict can be made of: comparing it with a threshold would call the part good.

    Raises:
        NotFiniteError: the score or the map is not finite.
    """
    if not math.isfinite(answer.score):
        raise NotFiniteError(
            f"the networks return a score of {answer.score}, so there is no verdict: check for absurd "
            "coordinates in the scan, and run `cmdiad-rt selftest` to check this machine"
        )
    wrong = answer.map.size - int(np.count_nonzero(np.isfinite(answer.map)))
    if wrong:
        raise NotFiniteError(
            f"{wrong} of {answer.map.size} values of the anomaly map are not finite, so there is no verdict: look for "
            "absurd coordinates in the scan, and run `cmdiad-rt selftest` to check this machine"
        )
