"""Raw scans of a dome on a table, by a camera that looks down on it at a slant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
TILT_DEG = 20.0


def table_scan(
    pitch_m: float, noise_m: float, seed: int = 0, shape: tuple[int, int] = (120, 160), missing: float = 0.02
) -> tuple[Points, Mask]:
    """(H, W, 3) metres, pixels `pitch_m` apart on the table, and where the dome of half the height is, (H, W)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    across, along = (columns - shape[1] / 2) * pitch_m, (rows - shape[0] / 2) * pitch_m
    radius = shape[0] / 4 * pitch_m
    center = rng.uniform(-0.2, 0.2, 2) * radius
    far = np.hypot(across - center[0], along - center[1]) / radius
    part: Mask = far < 1
    height = np.where(part, radius * (0.4 + 0.6 * np.sqrt(np.maximum(0, 1 - far**2))), 0.0)
    height += rng.normal(0, noise_m, shape)
    tilt = np.deg2rad(TILT_DEG)
    y = along * np.cos(tilt) - height * np.sin(tilt)
    z = 1000 * pitch_m - along * np.sin(tilt) - height * np.cos(tilt)
    points = np.dstack([across, y, z]).astype(np.float32)
    points[rng.random(shape) < missing] = 0
    return points, part & points.any(axis=2)


def write_scans(folder: Path, pitch_m: float, noise_m: float, count: int = 3) -> list[Path]:
    """Some such scans as files."""
    files = [folder / f"{number:03d}.npy" for number in range(count)]
    for number, file in enumerate(files):
        np.save(file, table_scan(pitch_m, noise_m, number)[0])
    return files
