"""The embedded point extractor against a hand-made descriptor, FPFH, on the same scans.

    python benchmarks/studies/handmade.py DATA [--class NAME ...]

DATA is in the MVTec 3D-AD layout. Both are judged alike, by a plain bank: all patches of train/good, a part's score its
largest distance to the nearest of them; no coreset, no re-weighting, no fusion. FPFH is taken as in the published
baseline (Horwitz and Hoshen, "Back to the feature", arXiv 2203.05550; 0.782 on MVTec 3D-AD, CMDIAD table 2): 33 numbers
of 100 neighbors, averaged over 3 x 3 pixels and on a grid of 28 x 28. `cmdiad synth --difficulty field` is set by it.

Prints one JSON object a class, I-AUROC of both over all parts and by defect, then the machine. Needs Open3D:
pip install open3d.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cmdiad.benchmarks.shared.measuring import machine
from cmdiad.benchmarks.shared.patch_features import embedded_features
from cmdiad.calibration.evaluation.outcomes import measure_defects
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.parameters import STRUCTURED_LIGHT
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare
from cmdiad.runtime.sensor.dataset import GOOD, find_classes, find_samples
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.auroc import auroc
from scipy import ndimage

# As the published baseline takes them: the neighbors of a normal, and of a histogram.
NORMAL_NEIGHBORS, FPFH_NEIGHBORS = 30, 100
BINS, GRID = 33, 28
# A place on the grid counts where this share of its pixels was measured.
LEAST_SHARE = 0.25

Features = npt.NDArray[np.float32]
Descriptor = Callable[[PreparedScan], Features]


def main() -> None:
    """Measure every class and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--class", dest="classes", action="append", default=[], metavar="NAME")
    options = parser.parse_args()
    descriptors: dict[str, Descriptor] = {"fpfh": fpfh, "embedded": embedded_features()}
    for folder in find_classes(options.data, options.classes):
        normal = find_samples(folder, "train", GOOD)
        test = find_samples(folder, "test")
        scans = [prepare(read_scan(sample.scan).points, STRUCTURED_LIGHT) for sample in [*normal, *test]]
        kinds = [sample.defect for sample in test]
        line: dict[str, object] = {"measure": "handmade", "class": folder.name}
        for name, descriptor in descriptors.items():
            features = [descriptor(scan) for scan in scans]
            line |= {name: judged(features[: len(normal)], features[len(normal) :], kinds)}
        print(json.dumps(line), flush=True)
    print(json.dumps(machine()))


def judged(normal: Sequence[Features], test: Sequence[Features], kinds: Sequence[str]) -> dict[str, float]:
    """I-AUROC over all test parts, and of each defect against the good ones."""
    bank = build_bank(np.concatenate(normal), n_neighbors=0)
    scores, kind = np.array([bank.search(part).distance.max() for part in test]), np.array(kinds)
    figures = {"all": auroc(scores, kind != GOOD), **measure_defects(scores, kind)}
    return {name: round(float(value), 3) for name, value in figures.items()}


def fpfh(scan: PreparedScan) -> Features:
    """FPFH (Rusu et al., ICRA 2009) on the places of the grid that show part: (places, 33)."""
    import open3d

    points = scan.points[scan.valid].astype(np.float64)
    cloud: Any = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    nearest: Any = open3d.geometry.KDTreeSearchParamKNN
    cloud.estimate_normals(nearest(NORMAL_NEIGHBORS))
    cloud.orient_normals_towards_camera_location(np.zeros(3))
    compute: Any = open3d.pipelines.registration.compute_fpfh_feature
    histograms = compute(cloud, nearest(FPFH_NEIGHBORS)).data.T
    every = np.zeros((*scan.valid.shape, BINS + 1), np.float32)
    every[scan.valid] = np.column_stack([histograms / 100, np.ones(len(points))])
    around = ndimage.uniform_filter(every, size=(3, 3, 1), mode="constant")
    step = len(scan.valid) // GRID
    pooled = around.reshape(GRID, step, GRID, step, BINS + 1).mean(axis=(1, 3)).reshape(-1, BINS + 1)
    measured = scan.valid.reshape(GRID, step, GRID, step).mean(axis=(1, 3)).ravel() > LEAST_SHARE
    return np.asarray(pooled[measured, :-1] / pooled[measured, -1:], np.float32)


if __name__ == "__main__":
    main()
