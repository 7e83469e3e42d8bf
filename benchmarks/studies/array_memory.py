"""Inspection of 1,000 arrays leaks nothing: resident memory before and after, and what lies on the disk.

    python benchmarks/studies/array_memory.py BUNDLE SCAN [--parts 1000]

It works in an empty folder, the temporary one too. Prints one JSON line a measure; the bar is one part's memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import tempfile
from pathlib import Path

import numpy as np
from cmdiad import Inspector
from cmdiad.runtime.sensor.scan import read_scan

WARM_UP = 50
MIB = 1 << 20


def resident_mb() -> float:
    """This process's resident memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def inspected(inspector: Inspector, points: np.ndarray, n_parts: int) -> float:
    """Inspect so many copies of a scan, each under an ID; resident memory after it, MiB."""
    for number in range(n_parts):
        inspector.inspect(points.copy(), part_id=f"part {number}").heatmap()
    gc.collect()
    return resident_mb()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--parts", type=int, default=1000)
    options = parser.parse_args()
    points, bundle = read_scan(options.scan).points, options.bundle.resolve()
    with tempfile.TemporaryDirectory() as empty:
        os.chdir(empty)
        tempfile.tempdir = os.environ["TMPDIR"] = empty
        with Inspector.load(bundle) as inspector:
            before = inspected(inspector, points, WARM_UP)
            after = inspected(inspector, points, options.parts)
            written = [str(path) for path in Path(empty).rglob("*")]
        os.chdir("/")
    growth = {"measure": f"resident memory grown by {options.parts} arrays", "ours_mb": after - before}
    print(json.dumps({**growth, "before_mb": before, "after_mb": after, "bar_mb": points.nbytes / MIB}))
    print(json.dumps({"measure": "files written", "ours": len(written), "bar": 0, "files": written}))
    print(json.dumps({"machine": platform.processor() or platform.machine(), "python": platform.python_version()}))


if __name__ == "__main__":
    main()
