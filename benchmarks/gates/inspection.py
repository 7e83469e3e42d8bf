"""Whole inspections of the full-size line against the paper's pipeline: time, memory and equal answers.

    python benchmarks/gates/inspection.py FOLDER [--quick]

FOLDER was written by `workbench.py`. Baseline and line take turns on the same scans in the same process. Prints one
JSON object a measure, then the machine.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
import torch
from cmdiad.benchmarks.shared.measuring import alternated, machine, report, report_error
from cmdiad.benchmarks.shared.paper_pipeline import (
    PaperPipeline,
    interpolated,
    measured_points,
    nearest,
    open3d_part,
    pooled,
    prepared,
)
from cmdiad.benchmarks.shared.paper_pipeline import farthest_points as torch_farthest_points
from cmdiad.benchmarks.shared.scans import raw_scan
from cmdiad.benchmarks.shared.workbench import (
    EXACT,
    PRECISIONS,
    PREPROCESSING,
    RAW,
    RAW_CLASS,
    for_prepared,
    held_out_scans,
    inspect_prepared,
    paper_pipeline,
    typical_scan,
)
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.inspection import Inspection
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.patches.grouping import farthest_points, group_points
from cmdiad.runtime.patches.pooling import pooling_matrix
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare
from cmdiad.runtime.sensor.scan import read_scan

REPEATS = 5
BARS = {"fp32": 9.0, "int8": 20.0, "raw": 30.0, "pooling": 60.0}
TOLERANCE = 1e-3
GROUPS, GROUP_SIZE, DIM = 1024, 128, 768

Answer = tuple[float, np.ndarray]


def main(folder: Path, quick: bool) -> None:
    """Measure and print."""
    bundles = {precision: open_bundle(folder / precision) for precision in PRECISIONS}
    inspectors = {precision: Inspector(for_prepared(bundle)) for precision, bundle in bundles.items()}
    paper = paper_pipeline(folder, bundles["fp32"])
    paths = held_out_scans(folder)[: 2 if quick else None]
    check_answers(folder, [prepare(read_scan(path).points, PREPROCESSING) for path in paths], inspectors["fp32"])
    typical = typical_scan(folder)
    measure_prepared(typical, paper, inspectors)
    measure_grouping(typical)
    measure_pooling(typical)
    measure_raw(folder)
    print(json.dumps(machine()))


def check_answers(folder: Path, scans: list[PreparedScan], with_fp16_banks: Inspector) -> None:
    """Scores and maps of all scans equal the paper pipeline's, and change little where banks are held in fp16."""
    bundle = open_bundle(folder / EXACT)
    oracle, inspector = paper_pipeline(folder, bundle, precise=True), Inspector(for_prepared(bundle))
    errors: dict[str, list[float]] = {}
    for scan in scans:
        expected, exact, rounded = (
            oracle(scan.points),
            inspect_prepared(inspector, scan),
            inspect_prepared(with_fp16_banks, scan),
        )
        for name, inspection in (("", exact), ("_fp16_banks", rounded)):
            errors.setdefault(f"score{name}", []).append(abs(inspection.score - expected[0]) / expected[0])
            largest = float(np.abs(inspection.map - expected[1]).max() / expected[1].max())
            errors.setdefault(f"map{name}", []).append(largest)
    for measure, values in errors.items():
        report_error(f"{measure}_relative_difference_{len(scans)}_scans", max(values), "paper pipeline", TOLERANCE)


def measure_prepared(scan: PreparedScan, paper: PaperPipeline, inspectors: dict[str, Inspector]) -> None:
    """A preprocessed scan to score and map."""
    runs: dict[str, Callable[[], object]] = {
        "paper": partial(paper, scan.points),
        **{precision: partial(inspect_prepared, inspector, scan) for precision, inspector in inspectors.items()},
    }
    results, ms = alternated(runs, REPEATS)
    for precision in inspectors:
        inspection = results[precision]
        assert isinstance(inspection, Inspection)
        measure = f"prepared_scan_to_map_{precision}"
        report(measure, ms[precision], "paper pipeline", ms["paper"], BARS[precision], inspection.seconds)


def measure_grouping(scan: PreparedScan) -> None:
    """Points to groups: farthest point sampling and the nearest points of every center."""
    points = np.ascontiguousarray(scan.points.reshape(-1, 3)[scan.valid.ravel()])
    as_torch = torch.from_numpy(points)
    runs: dict[str, Callable[[], object]] = {
        "paper": lambda: nearest(as_torch[torch_farthest_points(as_torch, GROUPS)], as_torch, GROUP_SIZE),
        "ours": lambda: group_points(points, Grouping(n_groups=GROUPS, group_size=GROUP_SIZE)),
    }
    _, ms = alternated(runs, REPEATS)
    report("points_to_groups", ms["ours"], "paper pipeline, torch", ms["paper"], 1.0)


def measure_pooling(scan: PreparedScan) -> None:
    """Tokens to pooled features; the matrix A, made for every scan, is part of it."""
    points = np.ascontiguousarray(scan.points.reshape(-1, 3)[scan.valid.ravel()])
    pixels = np.flatnonzero(scan.valid)
    centers = points[farthest_points(points, GROUPS)]
    tokens = np.random.default_rng(0).standard_normal((GROUPS, DIM), dtype=np.float32)
    as_torch = measured_points(scan.points)
    runs = {
        "paper": lambda: pooled(
            interpolated(as_torch[0], torch.from_numpy(centers), torch.from_numpy(tokens)), as_torch[1]
        ).numpy(),
        "ours": lambda: pooling_matrix(points, pixels, centers) @ tokens,
    }
    results, ms = alternated(runs, REPEATS)
    np.testing.assert_allclose(results["ours"], results["paper"], atol=1e-3)
    report("tokens_to_pooled_features", ms["ours"], "full-resolution interpolation", ms["paper"], BARS["pooling"])


def measure_raw(folder: Path) -> None:
    """A raw 800 x 800 scan file to the verdict, against banks of its own kind."""
    bundle = open_bundle(folder / RAW)
    paper, inspector = paper_pipeline(folder, bundle), Inspector(bundle)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "raw.tiff"
        tifffile.imwrite(path, raw_scan(RAW_CLASS, seed=1))

        def by_the_paper() -> Answer:
            points = tifffile.imread(path)
            part = open3d_part(points, PREPROCESSING)
            return paper(prepared(points, part, PREPROCESSING.pad_multiple))

        results, ms = alternated({"paper": by_the_paper, "ours": partial(inspector, path)}, REPEATS)
    inspection = results["ours"]
    assert isinstance(inspection, Inspection)
    baseline = "paper pipeline with Open3D"
    report("raw_scan_file_to_verdict_int8", ms["ours"], baseline, ms["paper"], BARS["raw"], inspection.seconds)


if __name__ == "__main__":
    folders = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    if len(folders) != 1:
        raise SystemExit(
            "usage: python benchmarks/gates/inspection.py FOLDER [--quick], FOLDER by benchmarks/shared/workbench.py"
        )
    main(Path(folders[0]), "--quick" in sys.argv)
