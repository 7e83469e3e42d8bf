"""How many normal scans a false-reject rate needs, by order statistics."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import stats

from .threshold import CONFIDENCE, scans_needed

# With the recommended number the real rate is no more than so many times what was asked for.
FACTOR = 2.0
SURENESS = (1 + CONFIDENCE) / 2


@dataclass(frozen=True)
class Recommendation:
    """How many normal scans a false-reject rate needs, and how many there are.

    Attributes:
        false_reject_rate: as requested.
        n_scans: how many there are.
        to_count: the fewest with which the rate can be counted instead of extrapolated.
        recommended: the fewest with which the real rate is at most twice that, with 97.5 % confidence.
        smallest_counted_rate: the smallest rate that `n_scans` can count.
    """

    false_reject_rate: float
    n_scans: int
    to_count: int
    recommended: int
    smallest_counted_rate: float

    def describe(self) -> str:
        """One sentence for those who collect the scans."""
        asked = f"a false-reject rate of {100 * self.false_reject_rate:.3g} %"
        if self.n_scans >= self.recommended:
            return (
                f"{self.n_scans} normal scans are enough for {asked}: from {self.recommended} on the real rate is at "
                f"most {FACTOR:g} times that with {100 * SURENESS:g} % confidence"
            )
        counts = f"these {self.n_scans} count {100 * self.smallest_counted_rate:.3g} % at best"
        enough = f", {self.to_count} are enough to count it" if self.n_scans < self.to_count else ""
        return (
            f"recommended for {asked}: {self.recommended} normal scans (the real rate is then at most {FACTOR:g} times "
            f"that with {100 * SURENESS:g} % confidence){enough}; {counts}"
        )


def recommendation(n_scans: int, rate: float) -> Recommendation:
    """How many scans the rate needs, compared with how many there are."""
    return Recommendation(rate, n_scans, scans_needed(rate), recommended_scans(rate), 1 / (n_scans + 1))


def recommended_scans(rate: float) -> int:
    """The fewest scans with which the rate above the threshold is at most twice that requested, with 97.5 % confidence.

    The rate above the threshold of n scans is distributed as Beta(m, n + 1 - m), m = floor((n + 1) rate) (Wilks 1941).
    Its upper quantile is largest where m has just grown, at n = ceil(m / rate) - 1, and there its ratio to the rate
    falls as m grows: the result is the first such n with no more than twice the rate.

    Args:
        rate: between 0 and 1.

    Example:
        >>> recommended_scans(0.01)
        599
    """
    above = 1
    while True:
        n = scans_needed(rate, above)
        if n >= above and float(stats.beta.ppf(SURENESS, above, n + 1 - above)) <= min(FACTOR * rate, 1.0):
            return n
        above += 1
