"""How long a user waits: `cmdiad-rt --help`, and the first verdict of `cmdiad-rt infer` from process start.

    python benchmarks/studies/startup.py BUNDLE SCAN [--runs 5] [--command cmdiad-rt]

Prints one JSON line a measure.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import tempfile
import time


def median_ms(command: list[str], runs: int) -> float:
    """Median wall time of a command, after one run that is not counted."""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("scan")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--command", default="cmdiad-rt")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        infer = [options.command, "infer", options.scan, "--bundle", options.bundle, "--out", out, "--json"]
        for measure, command, bar_ms in (
            ("cmdiad-rt --help", [options.command, "--help"], 300),
            ("process start to first verdict", infer, 1500),
        ):
            print(json.dumps({"measure": measure, "ours_ms": median_ms(command, options.runs), "bar_ms": bar_ms}))
    print(json.dumps({"machine": platform.processor() or platform.machine(), "python": platform.python_version()}))


if __name__ == "__main__":
    main()
