"""Two reports against each other: is the second slower, beyond what chance and the machine's own drift explain?

Latencies that follow each other are not independent, and two runs at different times see different clocks and
neighbors. So a run is cut into blocks, each block's lower quartile is divided by that of a yardstick that was timed
between its parts (`yardstick`), and the blocks, not the samples, are compared: by Mann and Whitney's rank test, with
the Hodges-Lehmann estimate of the ratio. Quartiles, because neighbors only ever add to a time, and the less disturbed
quarter of a block is nearer to what the code takes. A change counts when it is both significant and at least 5 %.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from ...errors import UsageError
from ...reports.table import Table
from ..measuring.configuration import Configuration, labels
from ..measuring.driver import Recording
from ..measuring.durations import in_ms
from ..measuring.report import MeasuredConfiguration, Report

SIGNIFICANCE = 0.01
MIN_EFFECT = 0.05
# Parts and yardsticks in a block, and the least of both in a run: enough blocks for the test, and parts for a quartile.
BLOCK_PARTS = 16
MIN_BLOCKS, MIN_BLOCK_PARTS = 6, 4
QUARTILE = 0.25

Array = npt.NDArray[np.float64]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration in both reports, by the latency of single parts.

    Attributes:
        name: of the configuration.
        before_s, after_s: medians as measured.
        ratio: after over before, the machine's own speed divided out (Hodges-Lehmann over blocks).
        interval: its 95 % confidence interval.
        p: probability of such a difference between equal runs (two-sided Mann-Whitney over blocks).
        machine: the yardstick's own ratio: how much faster (below 1) or slower the machine was.
        verdict: slower, faster or same.
        blocks: how many each side has.
    """

    name: str
    before_s: float
    after_s: float
    ratio: float
    interval: tuple[float, float]
    p: float
    machine: float
    verdict: str
    blocks: tuple[int, int]


def compare_reports(before: Report, after: Report) -> list[Comparison]:
    """Every configuration that both measured with single-stream.

    Raises:
        UsageError: they have none in common, or too little was measured.
    """
    pairs = [
        (first, second)
        for first in before.outcomes
        for second in after.outcomes
        if _key(first.configuration) == _key(second.configuration)
        and first.result("single-stream")
        and second.result("single-stream")
    ]
    if not pairs:
        raise UsageError("the two reports have no configuration in common that was measured with single-stream")
    names = labels([first.configuration for first, _ in pairs])
    return [compare_outcomes(name, *pair) for name, pair in zip(names, pairs, strict=True)]


def differences(before: Report, after: Report) -> list[str]:
    """What else differs between two reports, in words: it may be why the figures do."""
    lines = []
    for name in ("cpu", "cores", "system", "python", "cpu_governor"):
        old, new = getattr(before.machine, name), getattr(after.machine, name)
        if old != new:
            lines.append(f"{name}: {old} before, {new} after")
    packages = sorted(before.machine.versions.keys() | after.machine.versions.keys())
    for package in packages:
        old, new = before.machine.versions.get(package), after.machine.versions.get(package)
        if old != new:
            lines.append(f"{package}: {old or 'absent'} before, {new or 'absent'} after")
    for label, field in (("bundle", "bundle_digest"), ("scans", "scans_digest")):
        old, new = ({getattr(outcome, field)[:12] for outcome in report.outcomes} for report in (before, after))
        if old != new:
            lines.append(f"{label}: {', '.join(sorted(old))} before, {', '.join(sorted(new))} after")
    return lines


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Comparisons as a table."""
    headers = ["configuration", "before ms", "after ms", "ratio", "95 % interval", "p", "machine", "verdict"]
    rows = [
        [
            comparison.name,
            in_ms(comparison.before_s),
            in_ms(comparison.after_s),
            f"{comparison.ratio:.3f}",
            f"{comparison.interval[0]:.3f} to {comparison.interval[1]:.3f}",
            f"{comparison.p:.2g}",
            f"{comparison.machine:.2f}",
            comparison.verdict,
        ]
        for comparison in comparisons
    ]
    return Table("Median latency of a part, after over before, the machine's own speed divided out", headers, rows)


def compare_outcomes(name: str, before: MeasuredConfiguration, after: MeasuredConfiguration) -> Comparison:
    """Compare the single-stream latencies of two outcomes.

    Raises:
        UsageError: a run has too few blocks.
    """
    first, second = before.result("single-stream"), after.result("single-stream")
    assert first is not None and second is not None
    same_scans = before.scans_digest == after.scans_digest
    typical = scan_levels([first.recording, second.recording], before.n_scans) if same_scans else None
    a, b = (block_levels(result.recording, typical) for result in (first, second))
    if not len(a) or not len(b):
        raise UsageError(
            f"{name}: {len(first.recording.calls)} and {len(second.recording.calls)} parts were measured, a comparison "
            f"needs {MIN_BLOCKS * MIN_BLOCK_PARTS} each, over some seconds: measure longer, with --seconds 20 or more"
        )
    shift, low, high, p = rank_test(a, b)
    return Comparison(
        name=name,
        before_s=first.summary.p50_s,
        after_s=second.summary.p50_s,
        ratio=math.exp(shift),
        interval=(math.exp(low), math.exp(high)),
        p=p,
        machine=_yardstick(second.recording) / _yardstick(first.recording),
        verdict=_verdict(shift, p),
        blocks=(len(a), len(b)),
    )


def scan_levels(recordings: Sequence[Recording], n_scans: int) -> dict[int, float]:
    """Median log latency of each scan over all runs: scans differ, and blocks hold different ones."""
    logs: dict[int, list[float]] = defaultdict(list)
    for recording in recordings:
        for call in recording.calls:
            logs[call.first % n_scans].append(math.log(call.end_s - call.begin_s))
    return {scan: float(np.median(values)) for scan, values in logs.items()}


def block_levels(recording: Recording, typical: dict[int, float] | None) -> Array:
    """(blocks,) log of each block's lower quartile of latency, each over its scan's typical one, over the yardstick's.

    Empty where too little was measured.
    """
    moments, seconds = np.array(recording.yardstick_s, np.float64).reshape(-1, 2).T
    begins = np.array([call.begin_s for call in recording.calls])
    level = [0.0 if typical is None else typical[call.first % len(typical)] for call in recording.calls]
    latencies = np.log([call.end_s - call.begin_s for call in recording.calls]) - level
    measured = min(len(begins), len(moments))
    if measured < MIN_BLOCKS * MIN_BLOCK_PARTS:
        return np.empty(0)
    yardsticks = np.array_split(np.log(seconds), max(MIN_BLOCKS, measured // BLOCK_PARTS))
    # A block begins with the first of its yardsticks, which comes before its parts.
    firsts = np.cumsum([0, *(len(yard) for yard in yardsticks[:-1])])
    parts = np.split(latencies, np.searchsorted(begins, moments[firsts[1:]]))
    levels = [
        np.quantile(part, QUARTILE) - np.quantile(yard, QUARTILE) for part, yard in zip(parts, yardsticks, strict=True)
    ]
    return np.array(levels)


def rank_test(a: Array, b: Array) -> tuple[float, float, float, float]:
    """By how much b lies above a: the Hodges-Lehmann shift, its 95 % interval, and Mann and Whitney's p."""
    from scipy.stats import mannwhitneyu, norm

    shifts = np.sort((b[:, None] - a[None, :]).ravel())
    n, m = len(a), len(b)
    # The interval's ends are order statistics of the pairwise shifts (Hollander, Wolfe 1999, section 4.3).
    spread = float(norm.ppf(0.975)) * math.sqrt(n * m * (n + m + 1) / 12)
    outside = max(0, math.floor(n * m / 2 - spread))
    p = float(mannwhitneyu(a, b, alternative="two-sided").pvalue)
    return float(np.median(shifts)), float(shifts[outside]), float(shifts[n * m - 1 - outside]), p


def _verdict(shift: float, p: float) -> str:
    if p >= SIGNIFICANCE or abs(shift) < math.log1p(MIN_EFFECT):
        return "same"
    return "slower" if shift > 0 else "faster"


def _yardstick(recording: Recording) -> float:
    return float(np.median([seconds for _, seconds in recording.yardstick_s])) if recording.yardstick_s else 1.0


def _key(configuration: Configuration) -> Configuration:
    """A configuration without where its bundle lies."""
    return msgspec.structs.replace(configuration, bundle="")
