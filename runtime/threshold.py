"""The threshold as a bundle stores it: its value, and what is known of the good parts it will reject."""

from __future__ import annotations

from typing import Literal

import msgspec

from .bounds import require_finite, require_positive, require_share


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A score above `value` rejects the part.

    Attributes:
        value: in units of the score (or of the map).
        false_reject_rate: the share of good parts that may be rejected, as it was asked for.
        method: "order-statistic": one of the good scans' own scores, whatever their distribution;
            "extrapolated": by a log-normal tail, because the scans are too few for the rate.
        n_scans: good scans it was learned from.
        rate_low, rate_high: the 95 % interval of the share of good parts that will really be rejected.
        scans_needed: good scans from which on the order statistic serves for this rate.
    """

    value: float
    false_reject_rate: float
    method: Literal["order-statistic", "extrapolated"]
    n_scans: int
    rate_low: float
    rate_high: float
    scans_needed: int

    def __post_init__(self) -> None:
        """Refuse numbers that no threshold has, which would let every part pass; see `bounds`."""
        require_finite(self, "value")
        require_positive(self, "n_scans", "scans_needed")
        require_share(self, "false_reject_rate")
        if not 0 <= self.rate_low <= self.rate_high <= 1:
            raise ValueError(f"rate_low is {self.rate_low}, rate_high {self.rate_high}: must be in order, 0 to 1")

    def describe(self) -> str:
        """One sentence for those who run the line."""
        expected = (
            f"parts scoring above {self.value:.4g} are rejected: about {_percent(self.false_reject_rate)} of "
            f"the good ones (95 % confidence: {_percent(self.rate_low)} to {_percent(self.rate_high)})"
        )
        if self.method == "order-statistic":
            return f"{expected}, counted on {self.n_scans} good scans"
        return (
            f"{expected}, extrapolated from {self.n_scans} good scans as if their scores were log-normal; "
            f"calibrate with {self.scans_needed} or more to count instead"
        )


def _percent(rate: float) -> str:
    return f"{100 * rate:.2g} %" if rate >= 1e-4 else "under 0.01 %"
