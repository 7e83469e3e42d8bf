"""Raw or preprocessed, decided once for a set of scans: what every command does before it prepares the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..bundle.parameters import Preprocessing
from ..errors import ScanError, all_of, naming_scan
from ..progress import StepProgress
from ..sensor.in_memory import PartSource, read_source
from ..sensor.part import POINTS
from .prepare import evidence_of
from .raw_or_preprocessed import Settled, settle
from .supporting import PlaneEvidence

MOST_ASKED = 50
"""Scans that are read for the decision: it must not take as long again as preparing them all."""
_MOST_NOTES = 3
# The parts of a path that name a scan.
_SHORT = 3


def settle_scans(
    preprocessing: Preprocessing, scans: Sequence[PartSource], progress: StepProgress = lambda *_: None
) -> Settled:
    """Decide what is "auto" from at most 50 scans, evenly chosen.

    Args:
        preprocessing: the sensor's.
        scans: of a product, or of a dataset; at least one.
        progress: called with (done, all).

    Raises:
        ScanError: scans cannot be read; it names them.
        UsageError: scans are of both kinds; the message says what to do.
    """
    chosen = [scans[index] for index in _evenly(len(scans))]
    evidence: list[PlaneEvidence] = []
    notes: list[str] = []
    errors: list[ScanError] = []
    for number, scan in enumerate(chosen, 1):
        try:
            with naming_scan(scan):
                part = read_source(scan, POINTS, preprocessing)
                assert part.points is not None
                evidence.append(evidence_of(part.points, preprocessing, part.origin))
                notes += [f"{short_name(scan)}: {note}" for note in part.notes]
        except ScanError as error:
            errors.append(error)
        progress(number, len(chosen))
    if errors:
        raise all_of(errors, len(chosen)) from errors[0]
    settled = settle(preprocessing, evidence, [short_name(scan) for scan in chosen])
    if len(notes) > _MOST_NOTES:
        notes[_MOST_NOTES:] = [f"{len(notes) - _MOST_NOTES} more notes like these, of {len(chosen)} scans"]
    return replace(settled, warnings=(*settled.warnings, *notes))


def short_name(scan: PartSource) -> str:
    """A scan's name in a message: its file and the folders that tell it from others."""
    return "/".join(Path(str(scan)).parts[-_SHORT:])


def names_apart(scans: Sequence[PartSource | str]) -> list[str]:
    """Names of scans in messages that differ where the scans do: as short as `short_name`, or with more folders.

    Example:
        >>> names_apart([Path("a/xyz/000.tiff"), Path("b/xyz/000.tiff")])
        ['a/xyz/000.tiff', 'b/xyz/000.tiff']
    """
    depth, deepest = _SHORT, max(len(Path(str(scan)).parts) for scan in scans)
    while True:
        names = ["/".join(Path(str(scan)).parts[-depth:]) for scan in scans]
        if depth >= deepest or len(set(names)) == len(set(scans)):
            return names
        depth += 1


def _evenly(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_ASKED)).round().astype(int)).tolist()
