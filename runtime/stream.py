"""A stream of parts: each has an outcome, whatever happens to it, and a failure does not end the stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .choices import Written
from .errors import CmdiadError, OutputError, as_cmdiad_error, naming_scan
from .files.outputs import output_paths
from .inspection import FileKind, Inspection
from .inspection_files import wanted_kinds, write_files
from .inspector import Inspector, ReadyScan
from .pipeline import pipelined
from .sensor.in_memory import PartInMemory, PartSource


@dataclass(frozen=True)
class Outcome:
    """What became of one part: an inspection with its files, an error, or both where the files cannot be written.

    Attributes:
        scan: the scan's file, or the name of a part in memory.
        part: its number in the scan; None if scans show one part, or the error is not about one of the parts.
        parts: how many parts the scan has; None if scans show one part, or the scan could not be inspected.
        inspection: None if the part could not be inspected.
        heatmap: the heat map's file; None if it was not written.
        map: the raw map's file, float32 TIFF; None if it was not written.
        cloud: the colored cloud's file, PLY; None if it was not written.
        error: why the part could not be inspected, or why its files could not be written.
    """

    scan: Path
    inspection: Inspection | None = None
    heatmap: Path | None = None
    map: Path | None = None
    error: CmdiadError | None = None
    cloud: Path | None = None
    part: int | None = None
    parts: int | None = None

    @property
    def name(self) -> str:
        """The scan, and which part of it: `scan.tiff#2`."""
        return str(self.scan) if self.part is None else f"{self.scan}#{self.part}"

    def as_json(self) -> dict[str, Any]:
        """The documented object of `infer --json`."""
        answer: dict[str, Any] = {"scan": str(self.scan)}
        if self.parts is not None:
            answer |= {"part": self.part, "parts": self.parts}
        if self.inspection is not None:
            answer |= {
                **self.inspection.as_json(),
                "heatmap": None if self.heatmap is None else str(self.heatmap),
                "map": None if self.map is None else str(self.map),
                "cloud": None if self.cloud is None else str(self.cloud),
                "ms": self.inspection.milliseconds,
            }
        if self.error is not None:
            answer["error"] = {"kind": self.error.kind, "message": str(self.error)}
        return answer


def inspect_stream(
    inspector: Inspector,
    scans: Iterable[PartSource],
    out: Path | None = None,
    written: Written = "all",
    clouds: Written = "none",
) -> Iterator[Outcome]:
    """Inspect scans as they come, and yield one outcome for each, in the scans' order.

    If the bundle takes all parts of a scan, there is one outcome for each part, in reading order; anything else in view
    that should not be there follows as an outcome with an error.

    Reading, networks and writing overlap between scans (`pipeline.py`), on as many workers as the inspector has
    threads. Side by side, every worker inspects scans of its own; otherwise the networks run on the caller's thread,
    and if the inspector takes batches, scans that are waiting go through the line graph together.

    Args:
        inspector: a loaded bundle.
        scans: files, or parts in memory, taken up to `most_under_way` ahead of their outcomes. If parts come one by one
            and an outcome must not wait for the next part, call the inspector itself.
        out: the folder of the files, see `output_paths`; None: nothing is written.
        written: for which parts heat maps and raw maps are written.
        clouds: for which parts the points are written in the heat map's colors, see `write_cloud`; never for an image
            alone.

    Example:
        >>> for outcome in inspect_stream(inspector, Path("scans").glob("*.tiff")):  # doctest: +SKIP
        ...     print(outcome.as_json())
    """
    steps = _Steps(inspector, out, written, clouds)
    jobs = (_Job(Path(scan.name), scan) if isinstance(scan, PartInMemory) else _Job(scan) for scan in scans)
    if inspector.side_by_side:
        stages = pipelined(jobs, steps.read_and_inspect, list, steps.write, inspector.threads)
    else:
        stages = pipelined(jobs, steps.read, steps.inspect, steps.write, inspector.threads, inspector.batch)
    for outcomes in stages:
        yield from outcomes


@dataclass(frozen=True)
class _Job:
    """One scan on its way: read, then inspected, or failed; `held` is in memory, and let go once it is read."""

    scan: Path
    held: PartInMemory | None = None
    ready: ReadyScan | None = None
    inspection: Inspection | None = None
    error: CmdiadError | None = None

    def then(self, step: Callable[[], _Job]) -> _Job:
        """The next step's outcome; an error is an outcome too."""
        try:
            return step()
        except Exception as error:
            return replace(self, held=None, ready=None, error=_named(self.scan, error))


class _Steps:
    """What happens to a job in each stage of the pipeline."""

    def __init__(self, inspector: Inspector, out: Path | None, written: Written, clouds: Written = "none") -> None:
        self._inspector, self._out, self._files, self._clouds = inspector, out, written, clouds
        self._alone = False  # whether it was said that batches fail

    def read(self, job: _Job) -> _Job:
        return job.then(lambda: replace(job, held=None, ready=self._inspector.read(job.held or job.scan)))

    def read_and_inspect(self, job: _Job) -> _Job:
        return self._inspect_one(self.read(job))

    def inspect(self, jobs: list[_Job]) -> list[_Job]:
        parts = [job.ready for job in jobs if job.ready is not None]
        if len(parts) > 1:
            try:
                inspections = iter(self._inspector.finish_batch(parts))
                return [
                    job if job.ready is None else replace(job, ready=None, inspection=next(inspections)) for job in jobs
                ]
            except Exception as error:
                self._say_alone(len(parts), error)
        return [self._inspect_one(job) for job in jobs]

    def _inspect_one(self, job: _Job) -> _Job:
        ready = job.ready
        if ready is None:
            return job
        return job.then(lambda: replace(job, ready=None, inspection=self._inspector.finish(ready)))

    def _say_alone(self, size: int, error: Exception) -> None:
        """Parts of a batch that fails go one by one, so that each has an outcome of its own; slower, so it is said."""
        if not self._alone:
            self._alone = True
            reason = as_cmdiad_error(error)
            warnings.warn(f"a batch of {size} parts failed, and they are tried one by one: {reason}", stacklevel=2)

    def write(self, job: _Job) -> list[Outcome]:
        whole = job.inspection
        if whole is None or not whole.parts:
            return [self._written(job, whole)]
        of = whole.parts[0].of
        refused = [
            Outcome(job.scan, error=_named(job.scan, one.error), part=one.number, parts=of) for one in whole.refused
        ]
        outcomes = [*(self._written(job, part) for part in whole.parts), *refused]
        return sorted(outcomes, key=lambda outcome: outcome.part or len(outcomes))

    def _written(self, job: _Job, inspection: Inspection | None) -> Outcome:
        if inspection is None:
            return Outcome(job.scan, error=job.error)
        place = Outcome(job.scan, inspection, part=inspection.number, parts=inspection.of)
        if self._out is None:
            return place
        paths = output_paths(self._out, job.scan, inspection.number)
        wanted: dict[FileKind, Path] = {
            kind: getattr(paths, kind) for kind in wanted_kinds(inspection, self._files, self._clouds)
        }
        files = write_files(inspection, wanted, lambda cause: _named(job.scan, cause, OutputError))
        place = replace(place, inspection=inspection.with_times(files.times), error=files.error)
        there = {kind: wanted[kind] for kind in files.written}
        return replace(place, heatmap=there.get("heatmap"), map=there.get("map"), cloud=there.get("cloud"))


def _named(scan: Path, error: Exception, refusal: type[CmdiadError] | None = None) -> CmdiadError:
    """An error of any kind as the part's own, with its file's name; `refusal` is what the system's refusals become."""
    known = as_cmdiad_error(error)
    if refusal is not None and isinstance(error, OSError):
        known = refusal(str(known))
    try:
        with naming_scan(scan):
            raise known
    except CmdiadError as named:
        named.__cause__ = known.__cause__ or named.__cause__
        return named
