"""Two reports against each other: is the second slower, beyond what chance and the machine's own drift explain?

Latencies that follow each other are not independent, and two runs at different times see different clocks and
neighbors. So a run is cut into blocks, each block's median is divided by a yardstick that was timed around it
(`yardstick`), and the blocks, not the samples, are compared: by Mann and Whitney's rank test, with the Hodges-Lehmann
estimate of the ratio. A change counts when it is both significant and at least 5 %.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import numpy.typing as npt

from ..errors import UsageError
from .configuration import Configuration, labels
from .driver import Recording
from .durations import in_ms
from .report import Outcome, Report
from .tables import Table

SIGNIFICANCE = 0.01
MIN_EFFECT = 0.05
MIN_BLOCKS = 6

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
    found = []
    for name in ("cpu", "cores", "system", "python", "cpu_governor"):
        old, new = getattr(before.machine, name), getattr(after.machine, name)
        if old != new:
            found.append(f"{name}: {old} before, {new} after")
    packages = sorted(before.machine.versions.keys() | after.machine.versions.keys())
    for package in packages:
        old, new = before.machine.versions.get(package), after.machine.versions.get(package)
        if old != new:
            found.append(f"{package}: {old or 'absent'} before, {new or 'absent'} after")
    for label, field in (("bundle", "bundle_digest"), ("scans", "scans_digest")):
        old, new = ({getattr(outcome, field)[:12] for outcome in each.outcomes} for each in (before, after))
        if old != new:
            found.append(f"{label}: {', '.join(sorted(old))} before, {', '.join(sorted(new))} after")
    return found


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Comparisons as a table."""
    headers = ["configuration", "before ms", "after ms", "ratio", "95 % interval", "p", "machine", "verdict"]
    rows = [
        [
            each.name,
            in_ms(each.before_s),
            in_ms(each.after_s),
            f"{each.ratio:.3f}",
            f"{each.interval[0]:.3f} to {each.interval[1]:.3f}",
            f"{each.p:.2g}",
            f"{each.machine:.2f}",
            each.verdict,
        ]
        for each in comparisons
    ]
    return Table("Median latency of a part, after over before, the machine's own speed divided out", headers, rows)


def compare_outcomes(name: str, before: Outcome, after: Outcome) -> Comparison:
    """Compare the single-stream latencies of two outcomes.

    Raises:
        UsageError: a run has too few blocks.
    """
    first, second = before.result("single-stream"), after.result("single-stream")
    assert first is not None and second is not None
    same_scans = before.scans_digest == after.scans_digest
    typical = scan_levels([first.recording, second.recording], before.n_scans) if same_scans else None
    a, b = (block_levels(each.recording, typical) for each in (first, second))
    if min(len(a), len(b)) < MIN_BLOCKS:
        raise UsageError(
            f"{name}: {len(a)} and {len(b)} blocks of measurements, a comparison needs {MIN_BLOCKS} each: "
            "measure longer, with --seconds 10 or more"
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
    held: dict[int, list[float]] = defaultdict(list)
    for recording in recordings:
        for call in recording.calls:
            held[call.first % n_scans].append(math.log(call.end_s - call.begin_s))
    return {scan: float(np.median(values)) for scan, values in held.items()}


def block_levels(recording: Recording, typical: dict[int, float] | None) -> Array:
    """(blocks,) log of each block's median latency over its scans' typical one and over the yardstick around it."""
    levels = []
    marks = [*recording.yardstick_s, (math.inf, recording.yardstick_s[-1][1] if recording.yardstick_s else 1.0)]
    for (begin, before), (end, after) in pairwise(marks):
        values = []
        for call in recording.calls:
            if begin <= call.begin_s < end:
                level = 0.0 if typical is None else typical[call.first % len(typical)]
                values.append(math.log(call.end_s - call.begin_s) - level)
        if values:
            levels.append(float(np.median(values)) - math.log((before + after) / 2))
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
