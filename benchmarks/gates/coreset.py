"""Greedy k-center selection of 10 % of projected patch features, against the plain algorithm in NumPy.

    python benchmarks/gates/coreset.py [--quick] [SCANS]

SCANS is a folder of `*.tiff` scans; without it parts are rendered. Two plain algorithms: by |x|^2 - 2 x.c + |c|^2
with the norms tabulated, and by the differences x - c as published. Each of their steps costs the same, so some
are timed and the time of all is their multiple. Prints one JSON object a measure, then the machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.shared.measuring import machine, report
from cmdiad.benchmarks.shared.patch_features import patch_features
from cmdiad.calibration.coreset import greedy_k_center
from sklearn.random_projection import SparseRandomProjection

FULL_POINTS = 100_000
QUICK_POINTS = 10_000
PROJECTED_DIM = 334
POINTS_PER_SCAN = 700  # fewer than any part has
REPEATS = 3
PLAIN_STEPS = 60
BAR = 15.0

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def main(arguments: list[str]) -> None:
    """Measure and print."""
    n_points = QUICK_POINTS if "--quick" in arguments else FULL_POINTS
    folders = [Path(argument) for argument in arguments if not argument.startswith("--")]
    features = patch_features(-(-n_points // POINTS_PER_SCAN), folders[0] if folders else None)
    pool = np.concatenate(features)[:n_points]
    projection = SparseRandomProjection(PROJECTED_DIM, dense_output=True, random_state=0)
    points = np.ascontiguousarray(projection.fit_transform(pool), np.float32)
    n_select = len(points) // 10
    ours, tabulated, published = [], [], []
    for _ in range(REPEATS):
        ours.append(elapsed_ms(lambda: greedy_k_center(points, n_select)))
        tabulated.append(plain_ms(points, n_select, by_norms(points)))
        published.append(plain_ms(points, n_select, by_differences(points)))
    size = f"{n_select}_of_{len(points)}x{PROJECTED_DIM}"
    report(f"coreset_{size}", min(ours), "plain greedy, NumPy, norms tabulated", min(tabulated), BAR)
    report(f"coreset_{size}", min(ours), "plain greedy, NumPy, by differences", min(published), BAR)
    print(json.dumps(machine()))


def by_norms(points: Array) -> Callable[[int], Array]:
    """Squared distances of all points to one."""
    norms = np.einsum("ij,ij->i", points, points)
    return lambda center: norms + norms[center] - 2.0 * (points @ points[center])


def by_differences(points: Array) -> Callable[[int], Array]:
    """Squared distances of all points to one."""

    def distances(center: int) -> Array:
        difference = points - points[center]
        squared: Array = np.einsum("ij,ij->i", difference, difference)
        return squared

    return distances


def plain_ms(points: Array, n_select: int, to_center: Callable[[int], Array]) -> float:
    """Milliseconds of the plain algorithm, from its first steps."""

    def some_steps() -> None:
        nearest = np.full(len(points), np.inf, np.float32)
        center = 0
        for _ in range(PLAIN_STEPS):
            np.minimum(nearest, to_center(center), out=nearest)
            center = int(nearest.argmax())

    return elapsed_ms(some_steps) * n_select / PLAIN_STEPS


def elapsed_ms(run: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


if __name__ == "__main__":
    main(sys.argv[1:])
