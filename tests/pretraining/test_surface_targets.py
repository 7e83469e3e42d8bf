"""Surface targets describe the heights around a place, whatever the part's turn, height and place."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.pretraining.surface_targets import N_BINS, surface_targets
from cmdiad.training.synth.camera import grid_axes

GRID = 360
PITCH = 0.1 / 224


def bumpy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (1e-3 * np.sin(x / 2e-3) * np.cos(y / 3e-3) + 0.01).astype(np.float32)


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.02, 0.02, (50, 2)).astype(np.float32)


def test_every_histogram_sums_to_one(places: np.ndarray) -> None:
    targets = surface_targets(bumpy(*grid_axes(GRID)), places, PITCH)
    assert targets.shape == (50, 6, N_BINS)
    np.testing.assert_allclose((targets**2).sum(axis=2), 1, rtol=1e-5)


def test_height_does_not_matter(places: np.ndarray) -> None:
    height = bumpy(*grid_axes(GRID))
    np.testing.assert_allclose(
        surface_targets(height + np.float32(0.004), places, PITCH), surface_targets(height, places, PITCH), atol=2e-3
    )


def test_a_turned_part_has_the_same_targets(places: np.ndarray) -> None:
    x, y = grid_axes(GRID)
    angle = 2 * np.pi / 24 * 5
    cos, sin = np.cos(angle), np.sin(angle)
    turned = surface_targets(
        bumpy(x * cos + y * sin, y * cos - x * sin), places @ np.array([[cos, sin], [-sin, cos]]), PITCH
    )
    np.testing.assert_allclose(turned, surface_targets(bumpy(x, y), places, PITCH), atol=0.06)


def test_a_slope_is_flat_to_its_tangent_plane(places: np.ndarray) -> None:
    x, y = grid_axes(GRID)
    targets = surface_targets((0.3 * x - 0.2 * y + 0.02).astype(np.float32), places, PITCH) ** 2
    middle = (N_BINS - 1) // 2
    np.testing.assert_allclose(targets[:, 3:, middle], 1, atol=0.02)
    assert (targets[:, :3, middle] < 0.6).all()


def test_a_scratch_shows(places: np.ndarray) -> None:
    x, _ = grid_axes(GRID)
    flat = np.full_like(x, 0.01)
    scratched = flat - np.float32(2e-4) * (np.abs(x) < 3e-4)
    beside = np.array([[0.0005, 0.0]], np.float32)
    away = np.linalg.norm(surface_targets(scratched, beside, PITCH) - surface_targets(flat, beside, PITCH))
    assert away > 0.2
