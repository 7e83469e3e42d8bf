"""Figures that the sample carries: order statistics of every measurement, nothing clipped, nothing interpolated."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, betaincinv

# A percentile is printed when at most one sample in a hundred draws as many would lie so that it misleads.
CONFIDENCE = 0.99
INTERVAL_CONFIDENCE = 0.95
PERCENTILES = (50, 90, 99)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies of one run.

    Attributes:
        n: how many; all of them count.
        p50_s, p90_s, p99_s: percentiles; None where the sample does not carry one.
        p50_interval_s: distribution-free 95 % confidence interval of the median; None below 6 samples.
        max_s: the worst case.
        mean_s: the mean.
    """

    n: int
    p50_s: float
    p90_s: float | None
    p99_s: float | None
    p50_interval_s: tuple[float, float] | None
    max_s: float
    mean_s: float


def summarize(latencies: Sequence[float]) -> Summary:
    """Summarize at least one latency, in seconds."""
    values = np.sort(np.asarray(latencies, np.float64))
    carried = {q: percentile(values, q) if len(values) >= samples_needed(q) else None for q in PERCENTILES}
    return Summary(
        n=len(values),
        p50_s=float(percentile(values, 50)),
        p90_s=carried[90],
        p99_s=carried[99],
        p50_interval_s=median_interval(values),
        max_s=float(values[-1]),
        mean_s=float(values.mean()),
    )


def percentile(ordered: npt.NDArray[np.float64], q: int) -> float:
    """The smallest measurement that at least q percent of all do not exceed (nearest rank)."""
    return float(ordered[max(0, math.ceil(len(ordered) * q / 100) - 1)])


def tail(latencies: Sequence[float]) -> tuple[str, float]:
    """The strictest latency that the sample carries: p99 from 662 samples, p90 from 64, else the worst."""
    ordered = np.sort(np.asarray(latencies, np.float64))
    for q in sorted(PERCENTILES, reverse=True):
        if q > 50 and len(ordered) >= samples_needed(q):
            return f"p{q}", percentile(ordered, q)
    return "worst", float(ordered[-1])


def samples_needed(q: int) -> int:
    """How many samples a percentile needs: 64 for p90, 662 for p99 (MLPerf LoadGen's early stopping).

    The smallest n for which two or more samples lie beyond the true percentile with 99 % probability:
    P(Binomial(n, 1 - q/100) <= 1) <= 0.01. The median is always given, with its interval.

    Example:
        >>> samples_needed(90), samples_needed(99)
        (64, 662)
    """
    if q <= 50:
        return 1
    n = 2
    while bdtr(1, n, 1 - q / 100) > 1 - CONFIDENCE:
        n += 1
    return n


def median_interval(ordered: npt.NDArray[np.float64]) -> tuple[float, float] | None:
    """Order statistics that enclose the true median with at least 95 % confidence, whatever the distribution.

    The number of samples below the median is Binomial(n, 1/2). None where even minimum and maximum do not.
    """
    n = len(ordered)
    tail = (1 - INTERVAL_CONFIDENCE) / 2
    # k samples may lie outside at each end: the largest k with P(X < k) <= tail.
    outside = 0
    while outside < n // 2 and bdtr(outside, n, 0.5) <= tail:
        outside += 1
    if outside == 0:
        return None
    return float(ordered[outside - 1]), float(ordered[n - outside])


class TaktSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How a line's parts met their deadlines.

    Attributes:
        n: parts.
        missed: parts that were not done by their deadline.
        missed_rate_bound: the rate of missed deadlines is below this with 95 % confidence (Clopper-Pearson).
        worst_s: the longest time from a part's arrival to its result.
        longest_streak: the most deadlines missed in a row.
        recovery_s: the longest time from a missed deadline to the next result that was in time again; None
            where it never came back.
        recovered: whether the last part was in time.
    """

    n: int
    missed: int
    missed_rate_bound: float
    worst_s: float
    longest_streak: int
    recovery_s: float | None
    recovered: bool


def summarize_takt(due: Sequence[float], end: Sequence[float], deadline: float) -> TaktSummary:
    """Deadlines of parts that arrived at `due` and were done at `end`, all in seconds, in order of arrival."""
    late = [done - at > deadline for at, done in zip(due, end, strict=True)]
    longest, recovery = 0, None
    streak, since = 0, 0.0
    for at, done, missed in zip(due, end, late, strict=True):
        if missed:
            since = since if streak else at + deadline
            streak += 1
            longest = max(longest, streak)
        elif streak:
            recovery = max(recovery or 0.0, done - since)
            streak = 0
    return TaktSummary(
        n=len(late),
        missed=sum(late),
        missed_rate_bound=rate_bound(sum(late), len(late)),
        worst_s=max(done - at for at, done in zip(due, end, strict=True)),
        longest_streak=longest,
        recovery_s=recovery,
        recovered=streak == 0,
    )


def rate_bound(events: int, n: int) -> float:
    """The rate that `events` of `n` stay below with 95 % confidence (one-sided Clopper-Pearson)."""
    return 1.0 if events == n else float(betaincinv(events + 1, n - events, INTERVAL_CONFIDENCE))
