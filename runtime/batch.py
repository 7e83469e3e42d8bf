"""Many scans, in order: a bad one is reported and the others are inspected."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import ScanError, naming_scan
from .heatmap import write_heatmap, write_map
from .inspector import Inspection, Inspector, ReadyPart
from .pipeline import pipelined
from .timing import StageTimes


@dataclass(frozen=True)
class Result:
    """One scan's outcome: an inspection with its files, or an error.

    Attributes:
        scan: the scan's file.
        inspection: None where the scan could not be inspected.
        heatmap: the heat map's file.
        map: the raw map's file, float32 TIFF.
        error: why the scan could not be inspected.
    """

    scan: Path
    inspection: Inspection | None
    heatmap: Path | None
    map: Path | None
    error: ScanError | None

    def as_json(self) -> dict[str, Any]:
        """The documented object of `infer --json`."""
        if self.inspection is None:
            assert self.error is not None
            return {"scan": str(self.scan), "error": {"kind": self.error.kind, "message": str(self.error)}}
        return {
            "scan": str(self.scan),
            "score": self.inspection.score,
            "threshold": self.inspection.threshold,
            "is_defect": self.inspection.is_defect,
            "heatmap": str(self.heatmap),
            "map": str(self.map),
            "ms": {stage: 1e3 * seconds for stage, seconds in self.inspection.seconds.items()},
        }


def inspect_files(inspector: Inspector, scans: Sequence[Path], out: Path) -> Iterator[Result]:
    """Inspect scans and write each one's heat map and raw map; results come in the scans' order.

    Reading, networks and writing overlap between scans (`pipeline.py`); where the inspector takes batches, scans that
    wait for it go through the line graph together. A scan that cannot be inspected is a
    result with its error, and the others are inspected.

    Args:
        inspector: a loaded bundle.
        scans: files.
        out: the folder of the heat maps and maps; sub-folders repeat the scans' own.
    """

    def read(job: _Job) -> _Job:
        return job.then(lambda: replace(job, ready=inspector.read(job.scan)))

    def inspect(jobs: list[_Job]) -> list[_Job]:
        ready = [job.ready for job in jobs if job.ready is not None]
        if len(ready) == len(jobs) > 1:
            found = inspector.finish_batch(ready)
            return [replace(job, ready=None, inspection=each) for job, each in zip(jobs, found, strict=True)]
        return [inspect_one(job) for job in jobs]

    def inspect_one(job: _Job) -> _Job:
        if job.ready is None:
            return job
        ready = job.ready
        return job.then(lambda: replace(job, ready=None, inspection=inspector.finish(ready)))

    def write(job: _Job) -> Result:
        return _written(job, out)

    jobs = (_Job(scan, stem) for scan, stem in zip(scans, output_stems(scans), strict=True))
    yield from pipelined(jobs, read, inspect, write, inspector.batch)


@dataclass(frozen=True)
class _Job:
    """One scan on its way: read, then inspected, or failed."""

    scan: Path
    stem: str
    ready: ReadyPart | None = None
    inspection: Inspection | None = None
    error: ScanError | None = None

    def then(self, step: Callable[[], _Job]) -> _Job:
        """The next step's outcome; the scan's own error is an outcome too."""
        try:
            with naming_scan(self.scan):
                return step()
        except ScanError as error:
            return replace(self, ready=None, error=error)


def _written(job: _Job, out: Path) -> Result:
    found = job.inspection
    if found is None:
        return Result(job.scan, None, None, None, job.error)
    heatmap, raw = out / f"{job.stem}_heatmap.png", out / f"{job.stem}_map.tiff"
    times = StageTimes()
    with times.stage("write"):
        write_heatmap(heatmap, found.map, found.valid, found.pixel_threshold, found.points)
        write_map(raw, found.map)
    seconds = {**found.seconds, **times.seconds}
    return Result(job.scan, replace(found, seconds=seconds, spans=(*found.spans, *times.spans)), heatmap, raw, None)


def output_stems(scans: Sequence[Path]) -> list[str]:
    """Where each scan's output goes, relative to the output folder: distinct for distinct scans."""
    if not scans:
        return []
    absolute = [scan.absolute() for scan in scans]
    root = Path(os.path.commonpath([scan.parent for scan in absolute]))
    relative = [scan.relative_to(root) for scan in absolute]
    uses = Counter(path.with_suffix("") for path in relative)
    return [str(path.with_suffix("") if uses[path.with_suffix("")] == 1 else path) for path in relative]
