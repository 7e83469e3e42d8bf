"""Scans for benchmarks: real ones, turned where there are too few, or rendered parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cmdiad.runtime.sensor.scan import read_scan
from cmdiad.training.synth.synthesis import PART_CLASSES, render_sample
from scipy import ndimage

# A rendered scan sees 0.1 m; scaled it sees 0.25 m, as an industrial scanner does.
RAW_SCALE = np.float32(2.5)

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def real_or_rendered(n_scans: int, folder: Path | None) -> Iterator[Points]:
    """Organized clouds, (H, W, 3) float32 meters: of a folder's `*.tiff` scans, or rendered parts of one class."""
    if folder is None:
        for seed in range(n_scans):
            yield render_sample(PART_CLASSES[0], None, seed).points
        return
    paths = sorted(folder.rglob("*.tiff"))
    if not paths:
        raise SystemExit(f"{folder}: no *.tiff scans")
    rng = np.random.default_rng(0)
    for number in range(n_scans):
        points = read_scan(paths[number % len(paths)]).points
        yield points if number < len(paths) else turned(points, float(rng.uniform(0, 2 * np.pi)))


def turned(points: Points, angle: float) -> Points:
    """The scan with the part turned about the camera's axis, at the nearest pixels."""
    around = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = points.copy()
    moved[..., :2] = points[..., :2] @ around.T.astype(np.float32)
    degrees = float(np.degrees(angle))
    result: Points = ndimage.rotate(moved, degrees, axes=(1, 0), reshape=False, order=0)
    return result


def raw_scan_and_part(part_class: str, seed: int, size: int, scale: float) -> tuple[Points, Mask]:
    """A rendered raw scan, (size, size, 3) float32, meters, and which of its measured pixels see the part.

    Its pixels are 0.1 m x scale / size apart, and its noise is scaled with it.
    """
    sample = render_sample(part_class, None, seed=seed, size=size)
    return sample.points * np.float32(scale), sample.part & sample.points.any(axis=2)


def raw_scan(part_class: str, seed: int, size: int = 800) -> Points:
    """A rendered raw scan, (size, size, 3) float32, meters."""
    return render_sample(part_class, None, seed=seed, size=size).points * RAW_SCALE
