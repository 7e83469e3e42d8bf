"""Pieces that a shadow parts are joined, and parts that the table parts are not."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.calibration.sensor_fit.shadow_gaps import agreed_distance, joining_distance
from cmdiad.runtime.bundle.parameters import Preprocessing
from cmdiad.runtime.errors import ScanError

PITCH = 1e-4
PREPROCESSING = Preprocessing(
    plane="always", ransac_threshold_m=PITCH, plane_distance_m=PITCH, cluster_distance_m=10 * PITCH
)


def two_blocks(gap: int, shadow: bool, width: int = 60) -> npt.NDArray[np.float32]:
    """Two blocks of 60 x `width` pixels beside each other, nothing or the table between them."""
    height = np.zeros((160, 260))
    first = slice(20, 20 + width)
    second = slice(first.stop + gap, first.stop + gap + width)
    for columns in (first, second):
        height[50:110, columns] = 20 * PITCH
    rows, columns = np.indices(height.shape)
    points = np.dstack([columns * PITCH, rows * PITCH, 0.3 - height]).astype(np.float32)
    points += np.random.default_rng(0).normal(0, PITCH / 20, points.shape).astype(np.float32)
    if shadow:
        points[50:110, first.stop : second.start] = 0
    return points


@pytest.mark.parametrize("gap", [12, 15, 20])
def test_a_shadow_is_bridged_by_little_more_than_its_width(gap: int) -> None:
    distance = joining_distance(two_blocks(gap, shadow=True), PREPROCESSING)
    assert distance is not None and gap * PITCH <= distance <= 1.4 * gap * PITCH


def test_what_the_table_parts_stays_apart() -> None:
    assert joining_distance(two_blocks(15, shadow=False), PREPROCESSING) == math.inf


def test_what_is_too_far_away_stays_apart() -> None:
    assert joining_distance(two_blocks(80, shadow=True), PREPROCESSING) == math.inf


def test_one_piece_asks_for_nothing() -> None:
    assert joining_distance(two_blocks(5, shadow=True), PREPROCESSING) is None


def test_without_a_table_nothing_is_told() -> None:
    points = two_blocks(15, shadow=True)
    points[..., 2] += np.random.default_rng(1).normal(0, 0.1, points.shape[:2]).astype(np.float32)
    with pytest.raises(ScanError):
        joining_distance(points, msgspec.structs.replace(PREPROCESSING, ransac_iterations=10))


@pytest.mark.parametrize(
    ("distances", "agreed"),
    [([], None), ([None, None], None), ([math.inf, 0.1], None), ([0.1, 0.2, math.inf, None], 0.2), ([0.1], 0.1)],
)
def test_most_of_the_scans_with_several_pieces_decide(distances: list[float | None], agreed: float | None) -> None:
    assert agreed_distance(distances) == agreed
