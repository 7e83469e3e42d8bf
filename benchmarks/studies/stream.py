"""`cmdiad-rt infer` of many scans: parts a second of this checkout and of another one, which take turns.

    python benchmarks/studies/stream.py WORK BASELINE [--scans 100] [--size 800] [--runs 3] [--bundle FOLDER]

BASELINE is another checkout's folder, called `cmdiad`. Raw scans are rendered into WORK once and inspected with the
embedded pair: with FOLDER, or with a bundle that is trained and calibrated in WORK, on parts of the same class. Prints
one JSON line a measure: reading on one thread and on one for each processor, then `infer` with all heat maps and raw
maps, and with none. Parts a second are the median of the runs, from start to end of the process; `cpu_s` is the
processor time of a part, which neighbors on the machine change less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cmdiad
import numpy as np
from cmdiad.benchmarks.shared.commands import ENTRIES, printed
from cmdiad.benchmarks.shared.measuring import alternated, machine
from cmdiad.benchmarks.shared.scans import raw_scan
from cmdiad.runtime.acceptance.golden import encode_points
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.threads import single_threaded_blas, usable_processors

PART_CLASS = "flange"
DIFFERENT = 20
HEATMAPS = ("all", "none")


class Run(NamedTuple):
    """One run of `infer`: wall-clock and processor seconds, and the score of every scan."""

    seconds: float
    cpu_s: float
    scores: list[float]


def main() -> None:
    """Make what is missing, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("baseline", type=Path)
    parser.add_argument("--scans", type=int, default=100)
    parser.add_argument("--size", type=int, default=800)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--bundle", type=Path)
    options = parser.parse_args()
    if options.baseline.absolute().name != "cmdiad":
        sys.exit(f"{options.baseline}: the folder of a checkout must be called cmdiad to be imported")
    scans = rendered(options.work / f"scans-{options.scans}-{options.size}", options.scans, options.size)
    bundle = options.bundle or embedded_bundle(options.work)
    reading(sorted(scans.iterdir())[:DIFFERENT], bundle, options.runs)
    checkouts = {"ours": Path(cmdiad.__file__).parent, "baseline": options.baseline.absolute()}
    for heatmaps in HEATMAPS:
        runs: dict[str, list[Run]] = {name: [] for name in checkouts}
        for _ in range(options.runs):
            for name, checkout in checkouts.items():
                runs[name].append(infer(checkout, scans, bundle, heatmaps))
        compare(f"infer_{options.scans}_raw_scans_of_{options.size}_heatmaps_{heatmaps}", options.scans, runs)
    print(json.dumps(machine()))


def rendered(folder: Path, n_scans: int, size: int) -> Path:
    """Raw scans, of which as many differ as there is patience to render; what is there is used again."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(min(DIFFERENT, n_scans)):
        numbers = range(seed, n_scans, DIFFERENT)
        missing = [file for number in numbers if not (file := folder / f"{number:04d}.tiff").exists()]
        content = encode_points(raw_scan(PART_CLASS, seed, size)) if missing else b""
        for file in missing:
            file.write_bytes(content)
    return folder


def embedded_bundle(work: Path) -> Path:
    """A bundle of the embedded pair, made by the commands that a user types; what is there is used again."""
    data, trained, bundle = work / "data", work / "run", work / "bundle"
    if not data.exists():
        counts = ["--train", 12, "--validation", 0, "--test-good", 2, "--per-defect", 1]
        printed("cmdiad", "synth", data, "--class", PART_CLASS, *counts, "-q")
    if not trained.exists():
        printed("cmdiad", "train", data, "--out", trained, "--epochs", 1, "--batch-size", 4, "-q")
    if not (bundle / "bank_main.npy").exists():
        printed("cmdiad", "export", "--run", trained, "--out", bundle, "-q")
        printed("cmdiad", "calibrate", data / PART_CLASS / "train" / "good", "--bundle", bundle, "-q")
    return bundle


def reading(files: list[Path], bundle: Path, repeats: int) -> None:
    """One line: does everything before the networks gain from threads?"""
    inspector, count = Inspector.load(bundle, allow_any_size=True, side_by_side=True), usable_processors()
    with single_threaded_blas(), ThreadPoolExecutor(count) as pool:
        runs: dict[str, Callable[[], Any]] = {
            "one": lambda: [inspector.read(file) for file in files],
            "all": lambda: list(pool.map(inspector.read, files)),
        }
        _, ms = alternated(runs, repeats)
    line = {
        "measure": f"read_preprocess_and_group_on_{count}_threads",
        "ours_ms": round(ms["all"] / len(files), 1),
        "baseline": "one thread",
        "baseline_ms": round(ms["one"] / len(files), 1),
        "ratio": round(ms["one"] / ms["all"], 2),
    }
    print(json.dumps(line), flush=True)


def infer(checkout: Path, scans: Path, bundle: Path, heatmaps: str) -> Run:
    """Inspect a folder of scans by the command of a checkout; scaled scans show parts of another size.

    Raises:
        CalledProcessError: a scan could not be inspected.
    """
    command = [sys.executable, "-c", f"from {ENTRIES['cmdiad-rt']} import main; main()", "infer", scans, "--json"]
    with tempfile.TemporaryDirectory() as out:
        options = ["--bundle", bundle, "--allow-any-size", "--heatmaps", heatmaps, "--out", out]
        before, begin = _children_s(), time.perf_counter()
        answer = subprocess.run(
            [str(word) for word in [*command, *options]],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(checkout.parent)},
        )
        seconds, cpu_s = time.perf_counter() - begin, _children_s() - before
    return Run(seconds, cpu_s, [json.loads(line)["score"] for line in answer.stdout.splitlines()])


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def compare(measure: str, n_scans: int, runs: dict[str, list[Run]]) -> None:
    """One line: both rates, what each run gave, and by how much the scores of both differ."""
    rate = {name: [n_scans / run.seconds for run in taken] for name, taken in runs.items()}
    cpu = {name: statistics.median(run.cpu_s for run in taken) / n_scans for name, taken in runs.items()}
    ours, baseline = (np.array(runs[name][0].scores) for name in ("ours", "baseline"))
    line = {
        "measure": measure,
        "ours_parts_s": round(statistics.median(rate["ours"]), 2),
        "baseline_parts_s": round(statistics.median(rate["baseline"]), 2),
        "ratio": round(statistics.median(rate["ours"]) / statistics.median(rate["baseline"]), 3),
        "runs_parts_s": {name: [round(value, 2) for value in values] for name, values in rate.items()},
        "cpu_s": {name: round(value, 3) for name, value in cpu.items()},
        "score_difference": float(f"{np.abs(ours / baseline - 1).max():.2g}"),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
