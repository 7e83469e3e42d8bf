"""Where time and memory go: a table by stage, and a trace that Chrome and Perfetto open.

The trace is Chrome's JSON: complete events ("X") of every stage on its thread, and a counter ("C") of the
process's resident memory.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .files.atomic import atomic_write
from .files.json_encoding import encode_json
from .proc import resident_bytes
from .timing import Span

SUMMARY, TRACE = "profile.json", "trace.json"
SAMPLE_SECONDS = 0.005


@dataclass(frozen=True)
class ProfiledScan:
    """One scan and every stage it went through."""

    scan: str
    spans: tuple[Span, ...]


class StageCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one stage cost over all scans.

    Attributes:
        runs: how many parts ran it.
        median_ms, total_ms: wall-clock time of a part, and of all.
        peak_mb: the most resident memory that was seen while it ran, in MiB; None where it cannot be read.
    """

    stage: str
    runs: int
    median_ms: float
    total_ms: float
    peak_mb: float | None


class Profiler:
    """Collects the stages of every scan, and samples the process's memory while its block runs (on Linux).

    Attributes:
        scans: what was added.
        samples: (`time.perf_counter()`, bytes), in order.
    """

    def __init__(self) -> None:
        self.scans: list[ProfiledScan] = []
        self.samples: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> Profiler:
        if resident_bytes() is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def add(self, scan: str, spans: tuple[Span, ...]) -> None:
        """Record one scan's stages."""
        self.scans.append(ProfiledScan(scan, spans))

    def write(self, out: Path) -> list[StageCost]:
        """Write the profile of everything added; see `write_profile`."""
        return write_profile(out, self.scans, self.samples)

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.samples.append((time.perf_counter(), resident_bytes() or 0))


def stage_costs(scans: Sequence[ProfiledScan], samples: Sequence[tuple[float, int]]) -> list[StageCost]:
    """Time and memory by stage, in the order in which stages first began.

    A stage that one part runs in pieces counts once; a batch's span, which each of its parts has, adds up once.
    """
    by_stage: dict[str, list[Span]] = {}
    by_part: dict[tuple[str, int], float] = {}
    for number, scan in enumerate(scans):
        for span in scan.spans:
            by_stage.setdefault(span.stage, []).append(span)
            by_part[span.stage, number] = by_part.get((span.stage, number), 0.0) + span.seconds
    costs = []
    for stage, spans in sorted(by_stage.items(), key=lambda entry: min(span.begin for span in entry[1])):
        parts = [seconds for (name, _), seconds in by_part.items() if name == stage]
        costs.append(
            StageCost(
                stage=stage,
                runs=len(parts),
                median_ms=1e3 * statistics.median(parts),
                total_ms=1e3 * sum(span.seconds for span in set(spans)),
                peak_mb=_peak_mb(spans, samples),
            )
        )
    return costs


def write_profile(out: Path, scans: Sequence[ProfiledScan], samples: Sequence[tuple[float, int]]) -> list[StageCost]:
    """Write `profile.json` and `trace.json` into a folder.

    Returns:
        The table that was written.

    Raises:
        OutputError: a file cannot be written.
    """
    costs = stage_costs(scans, samples)
    summary = {"scans": len(scans), "stages": costs, "peak_mb": max((_mb(size) for _, size in samples), default=None)}
    for name, content in ((SUMMARY, summary), (TRACE, {"traceEvents": trace_events(scans, samples)})):
        with atomic_write(out / name) as stream:
            stream.write(encode_json(content))
    return costs


def trace_events(scans: Sequence[ProfiledScan], samples: Sequence[tuple[float, int]]) -> list[dict[str, Any]]:
    """Chrome trace events; times in microseconds from the first span's begin."""
    spans = [(scan.scan, span) for scan in scans for span in scan.spans]
    start = min((span.begin for _, span in spans), default=0.0)
    threads = {name: number for number, name in enumerate(dict.fromkeys(span.thread for _, span in spans), 1)}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": {"name": name}}
        for name, number in threads.items()
    ]
    for scan, span in spans:
        place = {"pid": 1, "tid": threads[span.thread], "ts": 1e6 * (span.begin - start), "dur": 1e6 * span.seconds}
        events.append({"ph": "X", "name": span.stage, "cat": "stage", **place, "args": {"scan": scan}})
    for moment, size in samples:
        counted = {"pid": 1, "ts": 1e6 * (moment - start), "args": {"MiB": _mb(size)}}
        events.append({"ph": "C", "name": "resident memory", **counted})
    return events


def _peak_mb(spans: Sequence[Span], samples: Sequence[tuple[float, int]]) -> float | None:
    """The largest sample during the spans; of a stage shorter than a sample, the one after it."""
    inside = [size for moment, size in samples if any(0 <= moment - span.begin <= span.seconds for span in spans)]
    if not inside:
        inside = [size for moment, size in samples if moment >= spans[-1].begin][:1]
    return _mb(max(inside)) if inside else None


def _mb(size: int) -> float:
    return round(size / (1 << 20), 1)
