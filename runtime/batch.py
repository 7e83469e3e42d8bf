"""Many scans, one after the other: a bad one is reported and the others are inspected."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ScanError
from .heatmap import write_heatmap, write_map
from .inspector import Inspection, Inspector


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
    """Inspect scans in order and write each one's heat map and raw map before the next is read.

    Args:
        inspector: a loaded bundle.
        scans: files.
        out: the folder of the heat maps and maps; sub-folders repeat the scans' own.
    """
    for scan, stem in zip(scans, output_stems(scans), strict=True):
        try:
            inspection = inspector(scan)
        except ScanError as error:
            yield Result(scan, None, None, None, error)
            continue
        heatmap, raw = out / f"{stem}_heatmap.png", out / f"{stem}_map.tiff"
        write_heatmap(heatmap, inspection.map, inspection.valid, inspection.pixel_threshold, inspection.points)
        write_map(raw, inspection.map)
        yield Result(scan, inspection, heatmap, raw, None)


def output_stems(scans: Sequence[Path]) -> list[str]:
    """Where each scan's output goes, relative to the output folder: distinct for distinct scans."""
    if not scans:
        return []
    absolute = [scan.absolute() for scan in scans]
    root = Path(os.path.commonpath([scan.parent for scan in absolute]))
    relative = [scan.relative_to(root) for scan in absolute]
    uses = Counter(path.with_suffix("") for path in relative)
    return [str(path.with_suffix("") if uses[path.with_suffix("")] == 1 else path) for path in relative]
