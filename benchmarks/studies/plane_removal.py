"""How well plane removal alone separates the objects of labeled tabletop scenes from their table.

    python benchmarks/studies/plane_removal.py DATA

DATA holds one folder a scene, with `xyz.tiff` and `labels.png` (0 not measured, 1 table, 2 and up objects).
Prints the intersection over union of "not table" with the objects, one JSON object a scene and preset, then
mean and least of each preset. Pixels that were not measured or not labeled do not count.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from cmdiad.benchmarks.shared.scans import Mask, Points
from cmdiad.runtime.bundle.parameters import KINECT, STRUCTURED_LIGHT, Preprocessing
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.preparation.prepare import without_plane
from cmdiad.runtime.sensor.missing import valid_mask
from cmdiad.runtime.sensor.scan import read_scan
from PIL import Image

PRESETS = {"kinect": KINECT, "structured_light": STRUCTURED_LIGHT}
LEAST_MEAN = 0.90
LEAST_SCENE = 0.80


def main(data: Path) -> None:
    """Print the table of all scenes."""
    scenes = sorted(folder for folder in data.iterdir() if (folder / "labels.png").is_file())
    if not scenes:
        raise SystemExit(f"{data}: no folder with xyz.tiff and labels.png; give the folder of the scenes")
    for preset, preprocessing in PRESETS.items():
        overlaps = [object_iou(scene, preprocessing) for scene in scenes]
        for scene, overlap in zip(scenes, overlaps, strict=True):
            print(json.dumps({"measure": "object_iou", "preset": preset, "scene": scene.name, "iou": overlap}))
        mean, least = round(float(np.mean(overlaps)), 4), min(overlaps)
        print(json.dumps({"measure": "object_iou_mean", "preset": preset, "iou": mean, "bar": LEAST_MEAN}))
        print(json.dumps({"measure": "object_iou_least", "preset": preset, "iou": least, "bar": LEAST_SCENE}))


def object_iou(scene: Path, preprocessing: Preprocessing) -> float:
    """Overlap of what plane removal keeps with what is labeled as objects; 0 where no plane is found."""
    points = read_scan(scene / "xyz.tiff").points
    labels = np.asarray(Image.open(scene / "labels.png"))
    counted = (labels > 0) & valid_mask(points)
    return overlap(points, (labels >= 2) & counted, counted, preprocessing)


def overlap(points: Points, objects: Mask, counted: Mask, preprocessing: Preprocessing) -> float:
    """Intersection over union of what plane removal keeps with the objects, of the pixels that count."""
    try:
        beside = without_plane(points, preprocessing) & counted
    except ScanError:
        return 0.0
    return round(float(np.sum(beside & objects) / np.sum(beside | objects)), 4)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python benchmarks/studies/plane_removal.py DATA")
    main(Path(sys.argv[1]))
