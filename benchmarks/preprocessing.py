"""A raw 800x800 scan to network input, against the reference's route through Open3D.

    python benchmarks/preprocessing.py [SCAN.tiff ...]

Without scans, synthetic parts are rendered and scaled to a field of view of 0.25 m, an industrial scanner's.
Prints one JSON object per measure, then the machine. The baseline needs Open3D: pip install open3d.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from cmdiad.runtime.preprocessing import STRUCTURED_LIGHT, Preprocessing, prepare
from cmdiad.runtime.scan import read_scan, valid_mask

BUDGET_MS = 60.0
LEAST_SPEEDUP = 100.0
LEAST_AGREEMENT = 0.98
REPEATS = 30
SCALE = np.float32(2.5)

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Result = TypeVar("Result")


def main(arguments: list[str]) -> None:
    """Measure every scan and print."""
    for name, points in scans(arguments):
        prepared, ours_ms = timed(partial(prepare, points, STRUCTURED_LIGHT), REPEATS)
        report(f"prepare_{name}", ours_ms, "the line's budget", BUDGET_MS, 1.0)
        part, open3d_ms = timed(partial(open3d_part, points, STRUCTURED_LIGHT), 1)
        report(f"prepare_{name}", ours_ms, "open3d segment_plane + cluster_dbscan", open3d_ms, LEAST_SPEEDUP)
        overlap = np.sum(part & prepared.kept) / np.sum(part | prepared.kept)
        print(json.dumps({"measure": f"part_iou_{name}", "iou": round(float(overlap), 4), "bar": LEAST_AGREEMENT}))
    print(json.dumps(machine()))


def scans(paths: list[str]) -> list[tuple[str, Points]]:
    """Raw scans by name: those asked for, or one synthetic part a class."""
    if paths:
        return [(Path(path).stem, read_scan(path).points) for path in paths]
    from cmdiad.training.synth.dataset import PART_CLASSES, render_sample

    return [(name, render_sample(name, None, seed=1, size=800).points * SCALE) for name in PART_CLASSES]


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


def open3d_part(points_hw3: Points, preprocessing: Preprocessing) -> Mask:
    """What is part by the reference's steps on bare points: (H, W) bool. Resizing is not counted."""
    try:
        import open3d
    except ImportError as error:
        raise SystemExit(f"the baseline needs Open3D: pip install open3d ({error})") from error

    def cloud(points_n3: Points) -> Any:
        return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points_n3.astype(np.float64)))

    valid = valid_mask(points_hw3)
    border = np.ones_like(valid)
    inner = slice(preprocessing.border_pixels, -preprocessing.border_pixels)
    border[inner, inner] = False
    open3d.utility.random.seed(preprocessing.seed)
    (*normal, offset), _ = cloud(points_hw3[border & valid]).segment_plane(
        preprocessing.ransac_threshold_m, 50, preprocessing.ransac_iterations
    )
    beside = valid & (np.abs(points_hw3 @ np.array(normal) + offset) > preprocessing.plane_distance_m)
    labels = np.asarray(
        cloud(points_hw3[beside]).cluster_dbscan(preprocessing.cluster_distance_m, preprocessing.cluster_min_points)
    )
    part = np.zeros_like(valid)
    part[beside] = labels == np.bincount(labels[labels >= 0]).argmax()
    return part


def report(measure: str, ours_ms: float, baseline: str, baseline_ms: float, bar: float) -> None:
    """One line of the benchmark contract; `bar` is the least ratio that is wanted."""
    line = {
        "measure": measure,
        "ours_ms": round(ours_ms, 2),
        "baseline": baseline,
        "baseline_ms": round(baseline_ms, 2),
        "ratio": round(baseline_ms / ours_ms, 2),
        "bar": bar,
    }
    print(json.dumps(line), flush=True)


def machine() -> dict[str, str | int | None]:
    """What the times were measured on."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
