"""All benchmarks of the line, and one table of them in docs/benchmarks.md and .json: `make bench`.

    python benchmarks/run_all.py [--quick] [--scans FOLDER] [--work FOLDER] [--only NAME ...]

FOLDER of --scans holds real scans (`*.tiff`, in the MVTec 3D-AD layout); where it is absent parts are rendered. The
full-size line that most benchmarks share is built once in --work and kept there. A benchmark that fails is reported in
the table, and the others run; the exit code is then 1. With --quick or --only nothing is written, only printed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from cmdiad.benchmarks.shared.tables import markdown_table

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "benchmarks"
LIMIT_SECONDS = 1200

# The roofline's columns, and what they are called in the lines.
BOUNDS = {
    "stage": "measure",
    "GFLOP": "gflop",
    "MB": "mbytes",
    "bound, ms": "bound_ms",
    "ours, ms": "ours_ms",
    "share of the bound": "share_of_bound",
}

Line = dict[str, Any]


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything run?")
    parser.add_argument("--scans", type=Path, default=ROOT.parent / "shared" / "data" / "tabletop_objects")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--only", nargs="*", default=[], help="names of benchmarks")
    options = parser.parse_args()
    lines: list[Line] = []
    for name, arguments in commands(options).items():
        if not options.only or name in options.only:
            lines += run(name, arguments)
    if not options.quick and not options.only:
        DOCS.with_suffix(".json").write_text(json.dumps(lines, indent=1) + "\n")
        DOCS.with_suffix(".md").write_text(markdown(lines))
    print(markdown(lines))
    sys.exit(1 if any("failure" in line for line in lines) else 0)


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """The benchmarks' arguments, in the order in which they run."""
    quick = ["--quick"] if options.quick else []
    scans = [str(options.scans)] if options.scans.is_dir() else []
    work = str(options.work / ("quick" if options.quick else "full"))
    return {
        "workbench": [work, *quick, *scans],
        "inspection": [work, *quick],
        "preprocessing": [],
        "search": [work],
        "coreset": [*quick, *scans],
        "memory": [work, *quick],
        "roofline": [work],
        "int8_detection": [*quick, *scans],
    }


def run(name: str, arguments: list[str]) -> list[Line]:
    """One script's JSON lines; its failure is a line of its own."""
    print(f"== {name}", file=sys.stderr, flush=True)
    begin = time.monotonic()
    folder = "shared" if name == "workbench" else "gates"
    command = [sys.executable, str(Path(__file__).parent / folder / f"{name}.py"), *arguments]
    # A session of its own: a benchmark has processes of its own, which must not outlive it.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            output, _ = process.communicate(timeout=LIMIT_SECONDS)
            failure = "" if process.returncode == 0 else f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            failure = f"not done after {LIMIT_SECONDS} s"
    lines = [{"script": name, **json.loads(line)} for line in output.splitlines() if line.startswith("{")]
    if failure:
        lines.append({"script": name, "measure": name, "failure": failure})
    print(f"   {time.monotonic() - begin:.0f} s {failure}", file=sys.stderr, flush=True)
    return lines


def markdown(lines: list[Line]) -> str:
    """The table, and the machine below it."""
    measures = [line for line in lines if "failure" in line or ("measure" in line and line["script"] != "roofline")]
    headers = ["measure", "ours", "baseline", "", "ratio", "must reach", ""]
    stages = [[line[key] for key in BOUNDS.values()] for line in lines if "bound_ms" in line]
    peak = next((line for line in lines if line.get("measure") == "peak"), {})
    machine = next((line for line in reversed(lines) if "machine" in line), {})
    note = "Written by `make bench`. Times in milliseconds, medians of runs that took turns in one process."
    head = f"# Benchmarks\n\n{note}\n\nMachine: {facts(machine)}.\n\n"
    table = markdown_table(headers, map(row, measures))
    return f"{head}{table}\n\n## Roofline\n\nPeaks: {facts(peak)}.\n\n{markdown_table(list(BOUNDS), stages)}\n"


def facts(line: Line) -> str:
    """What a line says, but for which it is."""
    return ", ".join(f"{key} {value}" for key, value in line.items() if key not in ("script", "measure"))


def row(line: Line) -> list[str]:
    """One measure as a table row."""
    if "failure" in line:
        return [line["measure"], *"-----", f"**failed: {line['failure']}**"]
    if "error" in line:
        allowed = f"at most {line['bar']:g}"
        return [line["measure"], f"{line['error']:g}", line["baseline"], "", "", allowed, met(line["met"])]
    if "ours_mb" in line:
        reached = met(line["ours_mb"] <= line["bar_mb"])
        values = f"{line['ours_mb']:.0f} MiB", line["baseline"], f"{line['baseline_mb']:.0f} MiB"
        return [line["measure"], *values, f"{line['ratio']:.1f}x", f"{line['bar_mb']:.0f} MiB", reached]
    if "ratio" not in line:
        return [line["measure"], str(line.get("ours_ms", "")), "", "", "", "", ""]
    values = f"{line['ours_ms']:.1f}", line["baseline"], f"{line['baseline_ms']:.1f}"
    reached = met(line["ratio"] >= line["bar"])
    return [line["measure"], *values, f"{line['ratio']:.1f}x", f"{line['bar']:g}x", reached]


def met(reached: bool) -> str:
    """Whether a bar was reached."""
    return "yes" if reached else "**no**"


if __name__ == "__main__":
    main()
