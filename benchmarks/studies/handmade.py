"""The embedded point extractor against hand-made descriptors: FPFH at two radii, on the same patches of the same scans.

    python benchmarks/studies/handmade.py DATA [--class NAME ...]

DATA is in the MVTec 3D-AD layout. Both are judged alike, by a plain bank: all patches of train/good, a part's score its
largest distance to the nearest of them; no coreset, no re-weighting, no fusion. Prints one JSON object a class, I-AUROC
of both over all parts and by defect, then the machine. Needs Open3D: pip install open3d.
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
from cmdiad.runtime.patches.pooling import foreground_patches, image_pooling
from cmdiad.runtime.preparation.prepare import PreparedScan, prepare
from cmdiad.runtime.sensor.dataset import GOOD, find_classes, find_samples
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.runtime.verdict.auroc import auroc

# In pixel pitches: of the normals, and of the two histograms.
NORMAL_RADIUS, FPFH_RADII = 4, (5, 10)
NORMAL_NEIGHBORS, FPFH_NEIGHBORS = 40, 150

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
    """FPFH (Rusu et al., ICRA 2009) of every point at both radii; the mean over a patch's points: (patches, 66)."""
    import open3d

    points = scan.points[scan.valid].astype(np.float64)
    cloud: Any = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    pitch = float(np.median(cloud.compute_nearest_neighbor_distance()))
    search: Any = open3d.geometry.KDTreeSearchParamHybrid
    cloud.estimate_normals(search(NORMAL_RADIUS * pitch, NORMAL_NEIGHBORS))
    cloud.orient_normals_towards_camera_location(np.zeros(3))
    compute: Any = open3d.pipelines.registration.compute_fpfh_feature
    histograms = [compute(cloud, search(radius * pitch, FPFH_NEIGHBORS)).data.T for radius in FPFH_RADII]
    every = np.zeros((scan.valid.size, 67), np.float32)
    every[scan.valid.ravel()] = np.column_stack([*histograms, np.full(len(points), 100.0)]) / 100
    pooled = (image_pooling() @ every)[foreground_patches(scan.valid)]
    return np.asarray(pooled[:, :-1] / pooled[:, -1:], np.float32)


if __name__ == "__main__":
    main()
