"""A line on this machine's GPU: is it right, and how fast is it, beside the method in plain torch on the same GPU.

    python benchmarks/gpu_line.py [--provider cuda] [--minutes 8] [--work FOLDER] [--quick]

Builds the full-size line (Point-MAE and F2F with seeded weights, two banks of 76,518 rows, fp32 and fp16) where it
runs, checks every kernel against NumPy, the rows of the search against an exact one and the golden scans by all graphs,
then times it. Prints one JSON object a measure, the machine, and one Markdown table; exit code 1 where a bar is not
reached. What fails is a row of its own. Needs torch with CUDA, onnxruntime-gpu and cuda-bindings; no internet.
`--provider cpu --quick` tries the script on a machine without a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from cmdiad.benchmarks.gpu.answers import (
    batch_measures,
    kernel_measures,
    prepared_parts,
    row_measures,
    selftest_measures,
)
from cmdiad.benchmarks.gpu.full_size import FullSizeLine, build_line, say
from cmdiad.benchmarks.gpu.measures import Report
from cmdiad.benchmarks.gpu.speed import (
    file_measures,
    paper_measures,
    part_measures,
    ratio_measure,
    stage_measures,
    stream_measures,
)
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.runtime.engines.machine import this_machine
from cmdiad.runtime.engines.shared_device import shared_device


def main() -> int:
    """Build, check, time, and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda", help="cuda, tensorrt, or cpu to try the script")
    parser.add_argument("--minutes", type=float, default=8.0, help="what is left after so many is skipped")
    parser.add_argument("--work", type=Path, help="folder of the built line, used again; else a temporary one")
    parser.add_argument("--quick", action="store_true", help="small banks of few scans")
    options = parser.parse_args()
    report = Report(60.0 * options.minutes)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.work or Path(scratch)
        line = build_line(folder, options.provider, options.quick)
        measure_line(report, line, options.provider, Path(scratch) / "inspections")
    print(json.dumps({**machine(), "gpus": [f"{gpu.name}, {gpu.target}" for gpu in this_machine().gpus]}))
    print(report.table())
    say("done" if report.passed else "done; not every bar is reached")
    return 0 if report.passed else 1


def measure_line(report: Report, line: FullSizeLine, provider: str, out: Path) -> None:
    """All measures, what is right before what is fast."""
    parts, device = prepared_parts(line), shared_device(provider)
    grouping = line.bundles["fp32"].manifest.grouping
    if device is not None:
        report.section("kernels", lambda: kernel_measures(device, parts, grouping), 10)
    else:
        say("no kernels: this provider shares no memory with them")
    report.section("rows", lambda: row_measures(line, provider, parts), 20)
    report.section("selftests", lambda: selftest_measures(line, provider), 40)
    report.section("batches", lambda: batch_measures(line.bundles["fp32"], provider, parts), 10)
    paper: dict[str, float] = {}
    report.section("the method in plain torch", lambda: paper_measures(line, provider, parts[0], paper), 10)
    report.section("points to score", lambda: part_measures(line, provider, parts, paper.get("points")), 30)
    report.section("against torch", lambda: ratio_measure(report.measures))
    report.section("files", lambda: file_measures(line, provider, paper.get("file")), 20)
    report.section("offline", lambda: stream_measures(line, provider, out), 20)
    if device is not None:
        report.section("stages", lambda: stage_measures(line, provider, device, parts), 20)


if __name__ == "__main__":
    sys.exit(main())
