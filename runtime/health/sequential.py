"""Evidence of a change, gathered part by part, whose false alarms have a proven rate.

Every part brings a rank p, uniform and independent of those before it while nothing changes (`rank_reference.py`). A
bet e(p) >= 0 has mean 1 then, so a bettor gains nothing on average; after a change in its direction it grows. The sum

    M[t] = e(p[t]) * (M[t - 1] + 1),    M[0] = 0

bets anew from every part on (Shiryaev 1963, Roberts 1966). M[t] - t is a martingale while nothing changes, and so is
that of any mean of such sums with fixed weights: as long as no mean reaches C, it takes C parts on average or more
(optional stopping), and within N parts it is reached with a probability of at most N / C (Doob). Shin, Ramdas, Rinaldo
2023 call M an e-detector. See docs/drift.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

STAKES = (0.15, 0.35, 0.6, 0.95)
"""Bets e(p) = 1 + stake * (2 p - 1): nearly the best for normal shifts by 0.6 times the stake in sigmas."""

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
GAINS = (2.0, 4.0)
SHARE_BETS = tuple((share, gain) for share in SHARES for gain in GAINS)
"""Bets on a larger share of rejected parts: so many times the stake back for a rank in the top share,
less for any other. The best where a share has become twice or four times as large."""

_CHANGE_STAKE = 0.5
# Far above any alarm, and far below where a float ends.
_MOST_EVIDENCE = 1e15
LARGEST = 1e100
"""No measure's value is larger, and no count: their squares and sums stay finite."""


class Moments(msgspec.Struct, kw_only=True):
    """Count, mean and sum of squared differences from it (Welford 1962)."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no values have; while decoding, msgspec reports this with its place."""
        if not (0 <= self.n <= LARGEST and abs(self.mean) <= LARGEST and -LARGEST <= self.squares < math.inf):
            raise ValueError("n, mean and squares are of no values")

    def add(self, value: float) -> None:
        """The next value, finite."""
        self.n += 1
        step = value - self.mean
        self.mean += step / self.n
        self.squares += step * (value - self.mean)

    def copy(self) -> Moments:
        """As they are now."""
        return Moments(n=self.n, mean=self.mean, squares=self.squares)

    @property
    def std(self) -> float | None:
        """The standard deviation; None for fewer than two values."""
        return (max(self.squares, 0.0) / (self.n - 1)) ** 0.5 if self.n > 1 else None

    def mean_since(self, before: Moments) -> float | None:
        """The mean of the values added since; None if there are none."""
        count = self.n - before.n
        return (self.n * self.mean - before.n * before.mean) / count if count > 0 else None


class Evidence(msgspec.Struct, kw_only=True):
    """That one measure changes in one direction.

    Attributes:
        sums: M of every bet.
        change: a CUSUM of one middle bet (Page 1954): where it last was 1, the change most likely began.
        since: the number of the part at which it was, 0 before the first.
        before: of the measure's values up to there.
    """

    sums: list[float]
    change: float = 1.0
    since: int = 0
    before: Moments

    def __post_init__(self) -> None:
        """Refuse what no bets make; while decoding, msgspec reports this with its place."""
        numbers = (*self.sums, self.change)
        are_bets = bool(self.sums) and all(0 <= number <= _MOST_EVIDENCE for number in numbers)
        if not are_bets or not 0 <= self.since <= LARGEST:
            raise ValueError("sums, change and since are of no bets")

    def add(self, bets: Sequence[float], change_bet: float, number: int, moments: Moments) -> None:
        """The next part.

        Args:
            bets: e of every bet, as many as there are sums.
            change_bet: e of the middle one.
            number: the part's.
            moments: of the measure's values, this part's among them.
        """
        self.sums = [min(bet * (total + 1), _MOST_EVIDENCE) for bet, total in zip(bets, self.sums, strict=True)]
        self.change = min(self.change * change_bet, _MOST_EVIDENCE)
        if self.change <= 1:
            self.change, self.since, self.before = 1.0, number, moments.copy()

    @property
    def mean(self) -> float:
        """What is compared with C: the mean of the bets' sums."""
        return sum(self.sums) / len(self.sums)


def no_evidence(bets: int, number: int, moments: Moments) -> Evidence:
    """To begin with, or to begin again after a part of that number."""
    return Evidence(sums=[0.0] * bets, since=number, before=moments.copy())


def shift_bets(rank: float, direction: int) -> tuple[list[float], float]:
    """What bets on a shift (+1: to larger values, -1: to smaller ones) make of a rank in (0, 1), and the middle one."""
    signed = direction * (2 * rank - 1)
    return [1 + stake * signed for stake in STAKES], 1 + _CHANGE_STAKE * signed


def share_bets(rank: float, share: float) -> tuple[list[float], float]:
    """What bets on more rejected parts make of a rank in (0, 1), and one at a share known before this part."""
    known = min(max(share, SHARES[0]), SHARES[-1])
    return [_share_bet(rank, top, gain) for top, gain in SHARE_BETS], _share_bet(rank, known, GAINS[0])


def _share_bet(rank: float, top: float, gain: float) -> float:
    """Mean 1: `gain` with probability `top`, and what is left otherwise."""
    return gain if rank > 1 - top else (1 - gain * top) / (1 - top)
