"""What a user chooses for an export; this module imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..calibration.choices import Calibrator
from .choices import Precision

PRECISION: Precision = "fp32"


@dataclass(frozen=True)
class ExportSettings:
    """What a user chooses for an export.

    Attributes:
        precision: of the networks.
        scans: for the parity gate; empty: some of a dataset.
        data: that dataset's root; None: the dataset of the run.
        calibrator: how int8 ranges are chosen.
        accept: the reason why differences beyond the tolerance are accepted; empty: they are not.
    """

    precision: Precision = PRECISION
    scans: Sequence[Path] = ()
    data: Path | None = None
    calibrator: Calibrator = "minmax"
    accept: str = ""


DEFAULTS = ExportSettings()
