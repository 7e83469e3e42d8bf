"""Raw scans of a camera that looks straight down on a table, and the same in other frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
PITCH = 5e-4
DISTANCE = 0.5


def places(shape: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """x and y of every pixel, metres, the origin in the middle."""
    rows, columns = np.indices(shape)
    return (columns - shape[1] / 2) * PITCH, (rows - shape[0] / 2) * PITCH


def scan(height: npt.NDArray[np.float64], seed: int = 0, noise_m: float = 5e-5) -> Points:
    """Points of a surface of so many metres over the table (H, W), in the camera's frame: x right, y down, z away."""
    x, y = places(height.shape)
    z = DISTANCE - height + np.random.default_rng(seed).normal(0, noise_m, height.shape)
    return np.dstack([x, y, z]).astype(np.float32)


def dome(
    shape: tuple[int, int] = (160, 160), radius: float = 0.02, at: tuple[float, float] = (0.0, 0.0), size: float = 1.0
) -> tuple[npt.NDArray[np.float64], Mask]:
    """The heights of a dome of 6 to 21 mm, and where it is."""
    x, y = places(shape)
    far = np.hypot(x - at[0], y - at[1]) / (size * radius)
    part: Mask = far < 1
    return np.where(part, size * (0.015 * np.sqrt(np.maximum(0, 1 - far**2)) + 0.006), 0.0), part


def framed(points: Points, margin: int) -> Points:
    """Nothing measured in an empty frame around the scan."""
    return np.pad(points, ((margin, margin), (margin, margin), (0, 0)))


def tube(seed: int, shape: tuple[int, int] = (200, 200), radius: float = 0.02) -> Points:
    """A preprocessed tube that runs through the whole view."""
    x, _ = places(shape)
    points = scan(np.sqrt(np.maximum(radius**2 - x**2, 0)), seed)
    points[np.abs(x) >= 0.98 * radius] = 0
    return points


def without_table(points: Points, part: Mask) -> Points:
    """What preprocessing leaves."""
    return np.where(part[..., None], points, np.float32(0))


def height_map(points: Points, table_z: float = 0.0) -> Points:
    """The same in a frame whose z points up from the table."""
    measured = points.any(axis=-1, keepdims=True)
    turned = points * np.array([1, -1, -1], np.float32) + np.array([0, 0, DISTANCE + table_z], np.float32)
    return np.where(measured, turned, np.float32(0))
