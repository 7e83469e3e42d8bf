"""Points in no order on the pixels of a stated image."""

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import Intrinsics, Projection
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.projecting import project
from hypothesis import given, settings
from hypothesis import strategies as st

CAMERA = Intrinsics(fx=20.0, fy=25.0, cx=4.5, cy=3.5)
PINHOLE = Projection(model="pinhole", width=10, height=8)


def from_above(**changes: object) -> Projection:
    return Projection(
        **{"model": "orthographic", "width": 4, "height": 3, "pitch": 1.0, "viewed_from": "+z", **changes}
    )


@pytest.mark.parametrize(("viewed_from", "kept", "top"), [("+z", 9.0, 2.5), ("-z", 1.0, 0.5)])
def test_the_nearest_to_the_viewer_is_kept_and_the_image_is_not_mirrored(
    viewed_from: str, kept: float, top: float
) -> None:
    rows, columns = np.mgrid[:3, :4] + 0.5
    low = np.stack([columns, rows, np.full_like(rows, 1.0)], -1).reshape(-1, 3)
    image = project(np.concatenate([low, low + np.array([0, 0, 8])]), from_above(viewed_from=viewed_from), None)
    assert (image.points[..., 2] == kept).all()
    assert (image.points[0, :, 1] == top).all() and (image.points[:, 0, 0] == 0.5).all()
    assert (image.total, image.hidden, image.outside) == (24, 12, 0)


def test_a_camera_s_own_pixels_come_back() -> None:
    rows, columns = np.mgrid[:8, :10]
    z = np.random.default_rng(0).uniform(0.4, 0.6, rows.shape)
    points = np.stack([(columns - 4.5) / 20 * z, (rows - 3.5) / 25 * z, z], -1)
    shuffled = np.random.default_rng(1).permutation(points.reshape(-1, 3))
    image = project(shuffled, PINHOLE, CAMERA)
    np.testing.assert_array_equal(image.points, points)
    assert image.notes() == ()


def test_what_is_behind_the_camera_is_outside() -> None:
    points = np.array([[0, 0, 0.5], [0.1, 0, 0.5], [0.001, 0, 0.5], [0, 0, -0.5]])
    image = project(points, PINHOLE, CAMERA)
    assert (image.total, image.hidden, image.outside) == (4, 1, 1)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([[x, 0.0, 1.0] for x in (0, 1, 2, 3, 90, 91)], "2 of 6 points (33%) are outside"),
        ([[0.0, 0.0, 1.0], [2.99, 2.0, 1.0]], "only 22% of the pixels"),
        ([[0.0, 0.0, 1.0], [0.1, 0.0, 1.0], [1.0, 0.0, 1.0]], "1 of 3 points (33%) are hidden by a nearer point"),
    ],
    ids=["outside", "empty", "hidden"],
)
def test_what_is_lost_is_told(points: list[list[float]], says: str) -> None:
    notes = project(np.array(points), from_above(center=(2.0, 1.0)), None).notes()
    assert any(says in note for note in notes), notes


def test_a_setting_that_misses_the_part_is_an_error() -> None:
    with pytest.raises(ScanError, match=r"2 of 3 points \(67%\) outside the 4 x 3 pixels"):
        project(np.array([[0.0, 0, 1], [90, 0, 1], [99, 0, 1]]), from_above(center=(0.0, 0.0)), None)


@given(st.integers(0, 2**32 - 1), st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_every_point_is_kept_hidden_or_outside(seed: int, count: int) -> None:
    points = np.random.default_rng(seed).uniform(-3, 3, (count, 3)) + np.array([0, 0, 10])
    image = project(points, from_above(width=8, height=8), None)
    kept = int(np.count_nonzero(image.points.any(axis=-1)))
    assert kept + image.hidden + image.outside == count
    nearest = {}
    middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
    for x, y, z in points:
        pixel = (int(np.floor(4 - (y - middle[1]))), int(np.floor(x - middle[0] + 4)))
        nearest[pixel] = max(nearest.get(pixel, -np.inf), z)
    inside = {pixel: z for pixel, z in nearest.items() if min(pixel) >= 0 and max(pixel) < 8}
    assert {pixel: image.points[pixel][2] for pixel in inside} == inside
