"""What a user chooses for a calibration; this module imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ..runtime.bundle.parameters import NEIGHBORHOODS, Metric, Normalization, ScoreName
from ..runtime.errors import UsageError
from .choices import BankPrecision

_WORDS = {"metric": Metric, "bank_precision": BankPrecision, "normalization": Normalization, "score": ScoreName}


@dataclass(frozen=True)
class CalibrationSettings:
    """What a user chooses for a calibration; defaults are the paper's (sections 3.4 and 4.2, Tables 5 and A4).

    Attributes:
        false_reject_rate: share of good parts that the thresholds may reject.
        coreset_ratio: share of the patches that a bank keeps.
        metric: the distance used by bank, coreset and score alike.
        bank_precision: the number format of a bank's rows; fp16 takes half the memory on the line, and its rounding
            changes distances by some 1e-4.
        normalization: whose statistics normalize features, see `fixed_statistics`.
        projection_eps: distortion of the sparse random projection in which the coreset is selected, 0 to 1.
        n_neighbors: how many bank rows next to the nearest one re-weight the image score.
        score: how a part's score is computed from its patches' distances. paper: the largest distance to each bank,
            re-weighted, then fused. map: the largest value of the map.
        neighborhood: side of the square of patches over which features are averaged before they are compared; odd.
        nu: of the fusion's one-class SVMs.
        svm_iterations: passes of their descent over the data.
        seed: of everything random.
    """

    false_reject_rate: float = 0.01
    coreset_ratio: float = 0.1
    metric: Metric = "l2"
    bank_precision: BankPrecision = "fp32"
    normalization: Normalization = "paper"
    projection_eps: float = 0.9
    n_neighbors: int = 2
    score: ScoreName = "paper"
    neighborhood: int = 1
    nu: float = 0.5
    svm_iterations: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            UsageError: the message names the setting and its range.
        """
        ranges = {"coreset_ratio": (0, 1), "nu": (0, 1), "n_neighbors": (0, 1 << 10), "svm_iterations": (0, 1 << 30)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low < value <= high:
                raise UsageError(f"{name} is {value}: must be above {low} and at most {high}")
        for name in ("projection_eps", "false_reject_rate"):
            if not 0 < getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}: must lie between 0 and 1")
        if self.neighborhood not in NEIGHBORHOODS:
            raise UsageError(f"neighborhood is {self.neighborhood}: choose one of {', '.join(map(str, NEIGHBORHOODS))}")
        if not 0 <= self.seed < 1 << 32:
            raise UsageError(f"seed is {self.seed}: must be 0 or a whole number below 2^32")
        for name, known in _WORDS.items():
            if getattr(self, name) not in get_args(known):
                raise UsageError(f"{name} is {getattr(self, name)!r}: choose one of {', '.join(get_args(known))}")
