"""A raw 800x800 scan to network input, against the reference's route through Open3D.

    python benchmarks/gates/preprocessing.py [SCAN.tiff ...]

Without scans, synthetic parts are rendered and scaled to a field of view of 0.25 m, an industrial scanner's.
Prints one JSON object per measure, then the machine. The baseline needs Open3D: pip install open3d.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from cmdiad.benchmarks.shared.measuring import machine, report, report_error
from cmdiad.benchmarks.shared.paper_pipeline import open3d_part
from cmdiad.benchmarks.shared.scans import Points, raw_scan
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.preparation.prepare import prepare
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.training.synth.synthesis import PART_CLASSES

BUDGET_MS = 60.0
LEAST_SPEEDUP = 100.0
LEAST_AGREEMENT = 0.98
REPEATS = 30

Result = TypeVar("Result")


def main(arguments: list[str]) -> None:
    """Measure every scan and print."""
    for name, points in scans(arguments):
        prepared, ours_ms = timed(partial(prepare, points, STRUCTURED_LIGHT), REPEATS)
        report(f"prepare_{name}", ours_ms, "the line's budget", BUDGET_MS, 1.0)
        part, open3d_ms = timed(partial(open3d_part, points, STRUCTURED_LIGHT), 1)
        report(f"prepare_{name}", ours_ms, "open3d segment_plane + cluster_dbscan", open3d_ms, LEAST_SPEEDUP)
        overlap = np.sum(part & prepared.kept) / np.sum(part | prepared.kept)
        report_error(f"part_not_in_common_{name}", 1.0 - float(overlap), "open3d (1 - IoU)", 1.0 - LEAST_AGREEMENT)
    print(json.dumps(machine()))


def scans(paths: list[str]) -> list[tuple[str, Points]]:
    """Raw scans by name: those asked for, or one synthetic part a class."""
    if paths:
        return [(Path(path).stem, read_scan(path).points) for path in paths]
    return [(name, raw_scan(name, seed=1)) for name in PART_CLASSES]


def timed(run: Callable[[], Result], repeats: int) -> tuple[Result, float]:
    """The result, and the median time in milliseconds, after one warm-up where there are repeats."""
    if repeats > 1:
        run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append((time.perf_counter() - start) * 1e3)
    return result, statistics.median(times)


if __name__ == "__main__":
    main(sys.argv[1:])
