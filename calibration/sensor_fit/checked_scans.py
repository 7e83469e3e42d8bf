"""Scans read and prepared by a description: what each of them shows, or why it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...runtime.bundle.parameters import Preprocessing
from ...runtime.bundle.sensor_description import SensorDescription
from ...runtime.errors import ScanError, UsageError
from ...runtime.preparation.part_view import PartView
from ...runtime.preparation.prepare import evidence_of
from ...runtime.preparation.prepared_part import prepare_parts, require_parts
from ...runtime.preparation.raw_or_preprocessed import settle
from ...runtime.preparation.settling import names_apart
from ...runtime.preparation.supporting import PlaneEvidence
from ...runtime.progress import Progress
from ...runtime.reports.table import MISSING, Table
from ...runtime.sensor.missing import valid_mask
from ...runtime.sensor.part import POINTS, find_inputs, read_part
from .scan_measures import pixel_pitch


@dataclass(frozen=True)
class CheckedScan:
    """What became of one scan.

    Attributes:
        name: of the scan.
        shape: height and width, pixels; None where it could not be read.
        measured_share: pixels that were measured.
        pitch_m: the distance of neighboring pixels, meters.
        view: of its part, the first of several; None where it could not be prepared.
        parts: how many it shows; 0 where it could not be prepared.
        error: why not, empty where it could.
    """

    name: str
    shape: tuple[int, int] | None = None
    measured_share: float = 0.0
    pitch_m: float = 0.0
    view: PartView | None = None
    parts: int = 0
    error: str = ""


@dataclass(frozen=True)
class CheckedScans:
    """What became of all of them, and of raw or preprocessed: one sentence, and what speaks against it."""

    outcomes: tuple[CheckedScan, ...]
    decision: str
    warnings: tuple[str, ...]

    @property
    def n_failed(self) -> int:
        """Scans that could not be read or prepared."""
        return sum(bool(scan.error) for scan in self.outcomes)

    def table(self) -> Table:
        """Scan by scan, for a terminal."""
        headers = ["scan", "pixels", "measured", "pitch mm", "parts", "part px", "part mm", "not usable because"]
        return Table("scans", headers, [_row(scan) for scan in self.outcomes], note=f"plane: {self.decision}")

    def as_json(self) -> dict[str, Any]:
        """The same for machines: `plane`, `warnings`, `scans [{scan, height, width, measured_share, ...}]`."""
        return {"plane": self.decision, "warnings": self.warnings, "scans": [_json(scan) for scan in self.outcomes]}


def check_scans(paths: Sequence[str], description: SensorDescription, progress: Progress) -> CheckedScans:
    """Read and prepare scans, as calibration would: what is "auto" is decided from all that can be read.

    Raises:
        ScanError: no path was given, or none stands for a scan.
    """
    files = find_inputs(paths, POINTS).require()
    evidence: list[tuple[str, PlaneEvidence]] = []
    said: list[str] = []
    names = names_apart(files)
    for number, (file, name) in enumerate(zip(files, names, strict=True), 1):
        try:
            part = read_part(file, POINTS, description.preprocessing)
            assert part.points is not None
            said += [f"{name}: {note}" for note in part.notes]
            evidence.append((name, evidence_of(part.points, description.preprocessing, part.origin)))
        except ScanError:
            continue  # is told of when the scan is read again
        finally:
            progress("read", number, len(files), "")
    preprocessing, decision, warnings = _decided(description, evidence)
    outcomes = []
    for number, (file, name) in enumerate(zip(files, names, strict=True), 1):
        outcomes.append(_checked(file, name, preprocessing))
        progress("prepare", number, len(files), "")
    return CheckedScans(tuple(outcomes), decision, (*said, *warnings))


def _decided(
    description: SensorDescription, evidence: Sequence[tuple[str, PlaneEvidence]]
) -> tuple[Preprocessing, str, tuple[str, ...]]:
    """Raw or preprocessed, from all scans; where they are of both kinds it stays open, and is warned of."""
    asked = description.preprocessing
    if not evidence:
        return asked, "not decided: no scan could be read", ()
    try:
        settled = settle(asked, [scan for _, scan in evidence], [name for name, _ in evidence])
    except UsageError as error:
        return asked, "not decided: scans are of both kinds", (str(error),)
    return settled.preprocessing, f"{settled.preprocessing.plane} ({settled.reason})", settled.warnings


def _checked(file: Path, name: str, preprocessing: Preprocessing) -> CheckedScan:
    try:
        part = read_part(file, POINTS, preprocessing)
    except ScanError as error:
        return CheckedScan(name, error=_without_path(error, file))
    assert part.points is not None
    measured = float(np.mean(valid_mask(part.points)))
    facts = CheckedScan(name, part.points.shape[:2], measured, pixel_pitch(part.points))
    try:
        parts = require_parts(prepare_parts(part, POINTS, preprocessing))
    except ScanError as error:
        return replace(facts, error=str(error))
    return replace(facts, view=parts[0].view, parts=len(parts))


def _without_path(error: ScanError, file: Path) -> str:
    return str(error).removeprefix(f"{file}: ")


def _row(scan: CheckedScan) -> list[str]:
    pixels = MISSING if scan.shape is None else f"{scan.shape[1]} x {scan.shape[0]}"
    read = [pixels, f"{scan.measured_share:.1%}", f"{1e3 * scan.pitch_m:#.3g}"] if scan.shape else [MISSING] * 3
    if scan.view is None:
        return [scan.name, *read, MISSING, MISSING, MISSING, scan.error]
    diameter = MISSING if scan.view.diameter_m is None else f"{1e3 * scan.view.diameter_m:.1f}"
    return [scan.name, *read, str(scan.parts), str(scan.view.part_pixels), diameter, ""]


def _json(scan: CheckedScan) -> dict[str, Any]:
    height, width = scan.shape or (None, None)
    return {
        "scan": scan.name,
        "height": height,
        "width": width,
        "measured_share": scan.measured_share,
        "pixel_pitch_m": scan.pitch_m,
        "parts": scan.parts,
        "part_pixels": None if scan.view is None else scan.view.part_pixels,
        "part_diameter_m": None if scan.view is None else scan.view.diameter_m,
        "error": scan.error or None,
    }
