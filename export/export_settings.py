"""What a user chooses of an export; nothing heavy is imported for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..calibration.choices import Calibrator
from .choices import Precision

PRECISION: Precision = "fp32"


@dataclass(frozen=True)
class ExportSettings:
    """What a user chooses.

    Attributes:
        precision: of the networks.
        scans: of the parity gate; none: some of a dataset.
        data: that dataset's root; None: the run's own.
        calibrator: how int8 ranges are chosen.
        accept: the reason why differences over tolerance are accepted; empty: they are not.
    """

    precision: Precision = PRECISION
    scans: Sequence[Path] = ()
    data: Path | None = None
    calibrator: Calibrator = "minmax"
    accept: str = ""


DEFAULTS = ExportSettings()
