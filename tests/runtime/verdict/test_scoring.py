"""Image score and map follow the published formulas, and stay finite where these would not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cmdiad.runtime.verdict.scoring import image_score, upsample_blur, upsample_blur_matrix
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter


def test_image_score_is_the_published_formula() -> None:
    rng = np.random.default_rng(0)
    bank, patches = rng.normal(size=(40, 12)), rng.normal(size=(30, 12))
    distance = np.linalg.norm(patches[:, None] - bank, axis=2)
    patch = distance.min(axis=1).argmax()
    s_star, nearest = distance[patch].min(), bank[distance[patch].argmin()]
    next_two = np.argsort(np.linalg.norm(bank - nearest, axis=1))[1:3]
    root = math.sqrt(12)
    weight = 1 - math.exp(s_star / root) / sum(math.exp(distance[patch, n] / root) for n in next_two)
    assert image_score(float(s_star), distance[patch, next_two], 12) == pytest.approx(weight * s_star)


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), min_size=1, max_size=4), st.integers(1, 768))
def test_image_score_lies_between_its_bounds(s_star: float, surplus: list[float], dim: int) -> None:
    neighbors = s_star + np.array(surplus)
    score = image_score(s_star, neighbors, dim)
    assert (1 - 1 / len(surplus)) * s_star * (1 - 1e-9) <= score <= s_star


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), max_size=3))
def test_neighbors_nearer_than_the_nearest_row_never_make_the_score_negative(
    s_star: float, neighbors: list[float]
) -> None:
    assert 0 <= image_score(s_star, neighbors, 2) <= s_star


def test_a_bank_of_one_row_leaves_the_distance_as_it_is() -> None:
    assert image_score(3.5, np.zeros(0, np.float32), 768) == 3.5


def test_the_matrix_averages_and_is_shared_read_only() -> None:
    matrix = upsample_blur_matrix()
    assert (matrix.shape, matrix.dtype) == ((224, 56), np.float32)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix.sum(axis=0), 4, atol=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


def test_map_is_torch_interpolation_and_a_float_gaussian() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    map_56 = rng.random((56, 56)).astype(np.float32)
    map_56[0, :3] = map_56[55, 55] = 9
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(map_56)[None, None], size=(224, 224), mode="bilinear", align_corners=False
    )
    expected = gaussian_filter(upsampled[0, 0].numpy().astype(np.float64), 4)
    np.testing.assert_allclose(upsample_blur(map_56), expected, atol=1e-5)


def test_map_keeps_constants_and_has_its_peak_over_the_patch() -> None:
    np.testing.assert_allclose(upsample_blur(np.full((56, 56), 3, np.float32)), 3, atol=1e-5)
    single = np.zeros((56, 56), np.float32)
    single[20, 31] = 1
    row, column = np.unravel_index(upsample_blur(single).argmax(), (224, 224))
    assert (row // 4, column // 4) == (20, 31)
