"""A roofline estimate for a device that is not here: the least time that its published peaks allow.

No inspection on that device is faster; launch overheads, imperfect kernels and everything that stays on the host
(reading, preprocessing, grouping) come on top.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..bundle.reading import find_bundle, open_bundle
from ..bundle.signature import find_trusted
from ..inspector import Inspector
from .measuring.durations import in_ms
from .measuring.gpus import GpuPeaks, peaks_of
from .measuring.inputs import bench_scans
from .measuring.report import Work
from .measuring.roofline import SEARCH, measure_work

LABEL = "ESTIMATE, not measured"


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One device and one stage.

    Attributes:
        rate: which published peak counts.
        seconds: the larger of operations over peak and bytes over bandwidth.
        bound_by: which of the two that is.
    """

    kind: str = LABEL
    device: str
    source: str
    stage: str
    rate: str
    seconds: float
    bound_by: str


def estimate_bundle(path: Path | None, scans: list[str], target: str) -> tuple[list[Work], list[Estimate]]:
    """Count a bundle's work on its first scan, and estimate it for a target.

    Raises:
        UsageError: no published peaks of the target are here, or there is no scan.
        BundleError: the bundle is missing, changed or not calibrated.
    """
    devices = peaks_of(target)
    bundle = open_bundle(find_bundle(path), find_trusted())
    with tempfile.TemporaryDirectory(prefix="cmdiad-bench-") as scratch:
        scan = bench_scans(scans, bundle, Path(scratch))[0]
        work = measure_work(Inspector(bundle), scan, {})
    return work, estimate(work, bundle.manifest.precision, devices)


def estimate(work: Sequence[Work], precision: str, devices: Sequence[GpuPeaks]) -> list[Estimate]:
    """Every stage on every device."""
    return [_stage(stage, precision, device) for device in devices for stage in work]


def _stage(work: Work, precision: str, device: GpuPeaks) -> Estimate:
    # The search is float32 whatever the networks are.
    rate, peak = device.peak("fp32" if work.name == SEARCH else precision)
    computing, moving = work.flop / peak, work.bytes / device.bytes_hz
    return Estimate(
        device=device.name,
        source=device.source,
        stage=work.name,
        rate=rate,
        seconds=max(computing, moving),
        bound_by="operations" if computing >= moving else "memory",
    )


def estimate_lines(estimates: Sequence[Estimate], work: Sequence[Work]) -> list[str]:
    """The estimate as text: what was counted, then a line a device."""
    lines = [f"{LABEL}: a lower bound on the time of networks and bank search from published dense peaks."]
    lines += [f"  {stage.name}: {stage.flop / 1e9:.2f} GFLOP, {stage.bytes / 1e6:.1f} MB at least" for stage in work]
    for device in dict.fromkeys(estimate.device for estimate in estimates):
        stages = [estimate for estimate in estimates if estimate.device == device]
        total = in_ms(sum(stage.seconds for stage in stages))
        parts = ", ".join(f"{e.stage} {in_ms(e.seconds)} ({e.rate}, bound by {e.bound_by})" for e in stages)
        lines.append(f"ESTIMATE {device}: at least {total} ms: {parts}; peaks: {stages[0].source}")
    return [*lines, "Host stages (read, preprocess, group), launch overheads and transfers are not included."]
