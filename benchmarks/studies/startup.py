"""How long a user waits: `cmdiad-rt --help`, and the first verdict of `cmdiad-rt infer` from process start.

    python benchmarks/studies/startup.py BUNDLE SCAN [--runs 5] [--command cmdiad-rt]

Prints one JSON line a measure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time

HELP_RUNS = 20


def medians(command: list[str], runs: int) -> tuple[float, float]:
    """Median wall time and median processor time (ms) of a command, after one run that is not counted."""
    wall, processor = [], []
    for _ in range(runs + 1):
        begin, before = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall.append(1e3 * (time.perf_counter() - begin))
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        processor.append(1e3 * spent)
    return statistics.median(wall[1:]), statistics.median(processor[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("scan")
    parser.add_argument("--runs", type=int, default=5, help="of infer; --help runs 20 times")
    parser.add_argument("--command", default="cmdiad-rt")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        infer = [options.command, "infer", options.scan, "--bundle", options.bundle, "--out", out, "--json"]
        for measure, command, runs, bar_ms in (
            ("cmdiad-rt --help", [options.command, "--help"], HELP_RUNS, 300),
            ("process start to first verdict", infer, options.runs, 1500),
        ):
            wall_ms, processor_ms = medians(command, runs)
            line = {"measure": measure, "ours_ms": wall_ms, "processor_ms": processor_ms, "bar_ms": bar_ms}
            print(json.dumps(line))
    print(json.dumps({"machine": platform.processor() or platform.machine(), "python": platform.python_version()}))


if __name__ == "__main__":
    main()
