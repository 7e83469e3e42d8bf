"""Resident memory of an inspecting process, over many inspections, against the paper's pipeline.

    python benchmarks/gates/memory.py FOLDER [--quick]

FOLDER was written by `workbench.py`. Every figure comes from a process of its own that reads scans from disk; the
line's loads nothing but the runtime.
Prints one JSON object a measure, then the machine.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.runtime.proc import peak_resident_bytes, resident_bytes

INSPECTIONS, QUICK_INSPECTIONS, WARM_UP = 1000, 60, 50
PEAK_INSPECTIONS = 20
BAR_MB = 1000.0
DRIFT_BAR = 0.02


def main(folder: Path, quick: bool) -> None:
    """Run the processes and print."""
    inspections = QUICK_INSPECTIONS if quick else INSPECTIONS
    paper = in_a_process(folder, "paper", 2)
    for precision in ("fp32", "int8"):
        ours = in_a_process(folder, precision, inspections if precision == "int8" else PEAK_INSPECTIONS)
        line = {"measure": f"resident_memory_{precision}", "ours_mb": ours["peak_mb"], "baseline": "paper pipeline"}
        ratio = round(paper["peak_mb"] / ours["peak_mb"], 2)
        print(json.dumps({**line, "baseline_mb": paper["peak_mb"], "ratio": ratio, "bar_mb": BAR_MB}), flush=True)
    drift = {"measure": f"memory_drift_over_{inspections}_inspections", "error": ours["drift"], "bar": DRIFT_BAR}
    print(json.dumps({**drift, "met": ours["drift"] <= DRIFT_BAR, "baseline": f"after the first {WARM_UP}"}))
    print(json.dumps(machine()))


def in_a_process(folder: Path, what: str, inspections: int) -> dict[str, float]:
    """The memory of a fresh process that inspects."""
    command = [sys.executable, __file__, str(folder), "--child", what, str(inspections)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: dict[str, float] = json.loads(printed)
    return figures


def inspect_here(folder: Path, what: str, inspections: int) -> None:
    """Inspect in this process and print its memory: at the peak, and how far it drifts after the first scans."""
    run = paper_run(folder) if what == "paper" else line_run(folder, what)
    scans = sorted((folder / "scans").glob("*.tiff"))
    resident = []
    for path in itertools.islice(itertools.cycle(scans), inspections):
        run(path)
        resident.append(mebibytes(resident_bytes()))
    late = resident[WARM_UP:] or resident
    # Scans differ in size: whole rounds are compared, the first after the warm-up with the last.
    size = min(len(late) // 2, len(scans)) or 1
    first, last = np.median(late[:size]), np.median(late[-size:])
    peak_mb, drift = round(mebibytes(peak_resident_bytes()), 1), round(float(abs(last - first) / first), 4)
    print(json.dumps({"peak_mb": peak_mb, "drift": drift}))


def line_run(folder: Path, precision: str) -> Callable[[Path], object]:
    """The line's own call."""
    from cmdiad.runtime.inspector import Inspector

    return Inspector.load(folder / precision)


def paper_run(folder: Path) -> Callable[[Path], object]:
    """The paper's pipeline with the fp32 bundle's banks."""
    from cmdiad.benchmarks.shared.workbench import PREPROCESSING, paper_pipeline
    from cmdiad.runtime.bundle.reading import open_bundle
    from cmdiad.runtime.preparation.prepare import prepare
    from cmdiad.runtime.sensor.scan import read_scan

    pipeline = paper_pipeline(folder, open_bundle(folder / "fp32"))
    return lambda path: pipeline(prepare(read_scan(path).points, PREPROCESSING).points)


def mebibytes(size: int | None) -> float:
    """MiB of a size that Linux tells; this benchmark needs it."""
    assert size is not None
    return size / 2**20


if __name__ == "__main__":
    if "--child" in sys.argv:
        inspect_here(Path(sys.argv[1]), sys.argv[3], int(sys.argv[4]))
    elif len(sys.argv) < 2:
        raise SystemExit(
            "usage: python benchmarks/gates/memory.py FOLDER [--quick], FOLDER by benchmarks/shared/workbench.py"
        )
    else:
        main(Path(sys.argv[1]), "--quick" in sys.argv)
