"""Raw or preprocessed, decided once for a set of scans: what every command does before it prepares the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..bundle.parameters import Preprocessing
from ..errors import naming_scan
from ..progress import StepProgress
from ..sensor.in_memory import PartSource, read_source
from ..sensor.part import POINTS
from .prepare import evidence_of
from .raw_or_preprocessed import Settled, settle

MOST_ASKED = 50
"""Scans that are read for the decision: it must not take as long again as preparing them all."""


def settle_scans(
    preprocessing: Preprocessing, scans: Sequence[PartSource], progress: StepProgress = lambda *_: None
) -> Settled:
    """Decide what is "auto" from at most 50 scans, evenly chosen.

    Args:
        preprocessing: the sensor's.
        scans: of a product, or of a dataset; at least one.
        progress: called with (done, all).

    Raises:
        ScanError: a scan cannot be read.
        UsageError: scans are of both kinds; the message says what to do.
    """
    chosen = [scans[index] for index in _evenly(len(scans))]
    evidence = []
    for number, scan in enumerate(chosen, 1):
        with naming_scan(scan):
            part = read_source(scan, POINTS, preprocessing)
            assert part.points is not None
            evidence.append(evidence_of(part.points, preprocessing, part.origin))
        progress(number, len(chosen))
    return settle(preprocessing, evidence, [short_name(scan) for scan in chosen])


def short_name(scan: PartSource) -> str:
    """A scan's name in a message: its file and the folders that tell it from others."""
    return "/".join(Path(str(scan)).parts[-3:])


def _evenly(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_ASKED)).round().astype(int)).tolist()
