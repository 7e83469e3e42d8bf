"""Image targets are histograms of the part's pixels around a patch, whatever the part's turn and its background."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.pretraining.image_targets import (
    BRIGHTNESS,
    GRADIENT_BINS,
    GRADIENT_SIGMAS,
    GRID,
    OPPONENT,
    WINDOWS,
    image_targets,
)
from scipy import ndimage

N_HISTOGRAMS = len(WINDOWS) * (3 + len(GRADIENT_SIGMAS))
N_BINS = len(WINDOWS) * (BRIGHTNESS[0] + 2 * OPPONENT[0] + len(GRADIENT_SIGMAS) * GRADIENT_BINS)


@pytest.fixture
def disc() -> npt.NDArray[np.bool_]:
    return np.hypot(*np.mgrid[-112:112, -100:124]) < 70


@pytest.fixture
def image(disc: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((224, 224, 3)), (3, 3, 0)).astype(np.float32)
    return noise / noise.max() * disc[..., None]


def test_every_histogram_sums_to_one(image: npt.NDArray[np.float32], disc: npt.NDArray[np.bool_]) -> None:
    targets, has_target = image_targets(image, disc)
    assert targets.shape == (GRID * GRID, N_BINS)
    np.testing.assert_allclose((targets[has_target] ** 2).sum(axis=1), N_HISTOGRAMS, rtol=1e-4)


def test_patches_off_the_part_have_no_target(image: npt.NDArray[np.float32], disc: npt.NDArray[np.bool_]) -> None:
    _, has_target = image_targets(image, disc)
    cover = disc.reshape(GRID, 8, GRID, 8).mean(axis=(1, 3)).ravel()
    assert has_target[cover == 1].all()
    assert not has_target[cover == 0].any()


def test_targets_turn_with_the_image(image: npt.NDArray[np.float32], disc: npt.NDArray[np.bool_]) -> None:
    targets, has_target = image_targets(image, disc)
    turned, turned_has = image_targets(np.rot90(image), np.rot90(disc))
    np.testing.assert_array_equal(np.rot90(has_target.reshape(GRID, GRID)).ravel(), turned_has)
    expected = np.rot90(targets.reshape(GRID, GRID, -1)).reshape(targets.shape)
    np.testing.assert_allclose(turned[turned_has], expected[turned_has], atol=1e-5)


def test_the_background_does_not_matter_to_the_colors(
    image: npt.NDArray[np.float32], disc: npt.NDArray[np.bool_]
) -> None:
    targets, has_target = image_targets(image, disc)
    before_bright, _ = image_targets(np.where(disc[..., None], image, np.float32(0.9)), disc)
    n_colors = BRIGHTNESS[0] + 2 * OPPONENT[0]
    for window in range(len(WINDOWS)):
        first = window * N_BINS // len(WINDOWS)
        colors = np.s_[has_target, first : first + n_colors]
        np.testing.assert_array_equal(before_bright[colors], targets[colors])


def test_a_flat_gray_falls_between_two_bins() -> None:
    inside = np.ones((224, 224), np.bool_)
    bins, first, last = BRIGHTNESS
    between = np.float32(first + 3.25 * (last - first) / (bins - 1))
    targets, _ = image_targets(np.full((224, 224, 3), between, np.float32), inside)
    brightness = targets[:, :bins] ** 2
    np.testing.assert_allclose(brightness[:, 3], 0.75, atol=1e-5)
    np.testing.assert_allclose(brightness[:, 4], 0.25, atol=1e-5)
