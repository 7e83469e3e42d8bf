"""The rendering core: rays, registration, noise, and what stays unmeasured."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from cmdiad.training.synth.camera import GRID_EXTENT_M, Camera, Render, grid_axes, render_surface

Float32 = npt.NDArray[np.float32]

QUIET = Camera(size=160, depth_noise_m=0, correlated_noise_m=0, dropout=0)


def disc(camera: Camera, radius_m: float, height_m: float) -> Float32:
    x, y = grid_axes(camera.grid_size)
    return np.where(np.hypot(x, y) < radius_m, height_m, 0).astype(np.float32)


def render(height: Float32, camera: Camera = QUIET, seed: int = 0) -> Render:
    albedo = np.where(height[..., None] > 0, np.float32(0.8), np.float32(0.05)) * np.ones(3, dtype=np.float32)
    return render_surface(height, albedo, camera, np.random.default_rng(seed), gloss=0.0)


def heights_over_plane(points: Float32, camera: Camera) -> Float32:
    """Height of every point above the plane, from the camera's own tilt and distance."""
    normal = camera.camera_from_plane()[:, 2]
    return np.asarray((points - np.array([0, 0, camera.distance_m])) @ normal, dtype=np.float32)


def test_an_empty_plane_is_measured_where_the_tilted_plane_is() -> None:
    points = render(np.zeros((QUIET.grid_size,) * 2, np.float32)).points
    assert (points[..., 2] > 0).all()
    np.testing.assert_allclose(heights_over_plane(points, QUIET), 0, atol=1e-6)


def test_every_point_lies_on_its_pixels_ray() -> None:
    points = render(disc(QUIET, 0.02, 0.015)).points
    measured = points[..., 2] > 0
    expected = QUIET.rays()[measured] * points[measured][:, 2:]
    np.testing.assert_allclose(points[measured], expected, atol=1e-7)


def test_the_hits_lie_on_the_surface() -> None:
    x, y = grid_axes(QUIET.grid_size)
    dome = np.sqrt(np.maximum(0.03**2 - x**2 - y**2, 0)).astype(np.float32) * np.float32(0.6)
    points = render(dome).points
    measured = points[..., 2] > 0
    place = np.stack([QUIET.to_plane(point) for point in points[measured][::7]])
    expected = 0.6 * np.sqrt(np.maximum(0.03**2 - place[:, 0] ** 2 - place[:, 1] ** 2, 0))
    away_from_the_rim = np.abs(np.hypot(place[:, 0], place[:, 1]) - 0.03) > 0.002
    np.testing.assert_allclose(place[away_from_the_rim, 2], expected[away_from_the_rim], atol=1.5e-5)


def test_the_first_surface_along_the_ray_is_seen_through_a_perspective_camera() -> None:
    # A disc nearer to the camera covers more pixels than its own size on the plane.
    low, high = (render(disc(QUIET, 0.02, height)) for height in (0.001, 0.03))
    grown = np.sqrt((high.rgb[..., 0] > 100).sum() / (low.rgb[..., 0] > 100).sum())
    assert grown == pytest.approx((0.4 - 0.001) / (0.4 - 0.03), rel=0.02)


def test_silhouettes_of_scan_and_image_coincide() -> None:
    out = render(disc(QUIET, 0.02, 0.012))
    measured = out.points[..., 2] > 0
    in_scan = heights_over_plane(out.points, QUIET) > 0.006
    in_image = out.rgb[..., 0] > 120
    # The lens blurs the image's edge by a pixel at most.
    assert (in_scan ^ in_image)[measured].mean() < 0.004


def test_the_projector_side_is_measured_and_the_far_side_is_in_shadow() -> None:
    out = render(disc(QUIET, 0.02, 0.02))
    missing = out.points[..., 2] == 0
    middle = QUIET.size // 2
    left, right = missing[middle, :middle].sum(), missing[middle, middle:].sum()
    assert QUIET.projector_m[0] > 0
    assert left >= 5
    assert left > right + 3


def test_missing_points_are_zero_in_all_coordinates() -> None:
    points = render(disc(QUIET, 0.02, 0.02), Camera(size=160, dropout=0.05)).points
    missing = points[..., 2] == 0
    assert missing.mean() > 0.04
    assert not points[missing].any()


def test_noise_has_the_stated_size() -> None:
    camera = Camera(size=160, dropout=0)
    flat = np.zeros((camera.grid_size,) * 2, np.float32)
    noise = (render(flat, camera).points - render(flat, QUIET).points)[..., 2]
    expected = np.hypot(camera.depth_noise_m, camera.correlated_noise_m)
    assert noise.std() == pytest.approx(expected, rel=0.1)


def test_surfaces_share_their_noise_when_seeded_alike() -> None:
    camera = Camera(size=160)
    plain, part = render(disc(camera, 0.001, 0.001), camera), render(disc(camera, 0.02, 0.02), camera)
    np.testing.assert_array_equal(plain.points[:20], part.points[:20])
    np.testing.assert_array_equal(plain.rgb[:20], part.rgb[:20])


def test_a_slope_to_the_lamp_is_brighter_than_one_away_from_it() -> None:
    x, y = grid_axes(QUIET.grid_size)
    roof = np.maximum(0.02 - 0.6 * np.abs(x), 0).astype(np.float32) * (np.abs(y) < 0.03)
    rgb = render(roof.astype(np.float32)).rgb.astype(float)
    middle = QUIET.size // 2
    assert QUIET.light[0] < 0
    assert rgb[middle, middle - 20 : middle - 5].mean() > rgb[middle, middle + 5 : middle + 20].mean() + 20


def test_grid_axes_cover_the_extent() -> None:
    x, y = grid_axes(12)
    assert x[0, -1] - x[0, 0] == pytest.approx(GRID_EXTENT_M * 11 / 12)
    np.testing.assert_array_equal(x, y.T)
