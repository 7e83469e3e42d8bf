"""The matrix A equals the published pipeline done step by step at full resolution."""

import numpy as np
import pytest
from cmdiad.runtime.patches.grouping import farthest_points
from cmdiad.runtime.patches.pooling import (
    INTERPOLATION_EPS,
    SIZE,
    axis_pooling,
    foreground_patches,
    image_pooling,
    pooling_matrix,
)


@pytest.fixture(scope="module")
def surface():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    valid = ((rows - 100) ** 2 + (columns - 120) ** 2 < 60**2) & (rng.random((SIZE, SIZE)) > 0.05)
    z = 0.4 + 1e-3 * np.sin(rows / 9.0) + 1e-4 * rng.normal(size=rows.shape)
    points = np.stack([columns * 3e-4, rows * 3e-4, z], axis=-1).astype(np.float32)[valid]
    return points, np.flatnonzero(valid), valid


def test_equals_interpolation_mean_and_adaptive_pooling_at_full_resolution(surface):
    torch = pytest.importorskip("torch")
    points, pixels, _valid = surface
    centers = points[farthest_points(points, 64)]
    tokens = np.random.default_rng(1).normal(size=(64, 5)).astype(np.float32)
    squared = ((points[:, None].astype(np.float64) - centers) ** 2).sum(-1)
    nearest = np.argsort(squared, axis=1)[:, :3]
    weight = 1 / (np.take_along_axis(squared, nearest, axis=1) + INTERPOLATION_EPS)
    weight /= weight.sum(axis=1, keepdims=True)
    full = np.zeros((SIZE * SIZE, 5))
    full[pixels] = (tokens[nearest] * weight[..., None]).sum(axis=1)
    image = torch.from_numpy(full).T.reshape(1, 5, SIZE, SIZE)
    averaged = torch.nn.functional.avg_pool2d(image, 3, stride=1)
    expected = torch.nn.functional.adaptive_avg_pool2d(averaged, (56, 56))[0].reshape(5, -1).T.numpy()
    actual = pooling_matrix(points, pixels, centers) @ tokens
    np.testing.assert_allclose(actual, expected, atol=2e-5)


def test_foreground_is_where_the_matrix_has_rows(surface):
    points, pixels, valid = surface
    matrix = pooling_matrix(points, pixels, points[farthest_points(points, 16)])
    np.testing.assert_array_equal(np.diff(matrix.indptr) > 0, foreground_patches(valid))


def test_pooling_rows_sum_to_one():
    np.testing.assert_allclose(axis_pooling().sum(axis=1), 1.0)
    np.testing.assert_allclose(image_pooling().sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("n_centers", [1, 2])
def test_fewer_centers_than_three_are_enough(surface, n_centers):
    points, pixels, _ = surface
    tokens = np.ones((n_centers, 2), np.float32)
    features = pooling_matrix(points, pixels, points[:n_centers]) @ tokens
    assert features.max() == pytest.approx(1.0, abs=1e-5)
