"""The picture of a scene: seen from where the sensor is, near points before far ones, no holes, always the same."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.viewing.scene import Panel, Scene
from cmdiad.viewing.splatting import direction_of, draw_scene

RED, BLUE = (250, 0, 0), (0, 0, 250)
PAPER = (24, 24, 28)


def scene(height: int = 60, width: int = 80, wall: bool = False) -> Scene:
    """A plane in a camera's coordinates, 0.4 m away, blue; with a red wall before its far half."""
    rows, columns = np.mgrid[:height, :width] * 1e-3
    points = np.stack([columns, rows, np.full_like(rows, 0.4)], -1).astype(np.float32)
    colors = np.full((height, width, 3), BLUE, np.uint8)
    if wall:
        points[:10, :, 2] -= 0.02
        colors[:10] = RED
    kept = np.ones((height, width), np.bool_)
    return Scene(points, (0.0, 0.0, 0.0), kept, np.zeros((height, width), np.float32), 1.0, (Panel("scan", colors),))


def count(picture: np.ndarray, color: tuple[int, int, int]) -> int:
    return int((picture == np.array(color)).all(axis=-1).sum())


@pytest.mark.parametrize("turn", [np.eye(3), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]])])
def test_the_direction_of_view_is_the_grids_whatever_the_axes_are(turn: np.ndarray) -> None:
    direction = direction_of((scene().points @ turn.T).astype(np.float32))
    for own, expected in zip((direction.right, direction.down, direction.away), np.eye(3), strict=True):
        np.testing.assert_allclose(own, turn @ expected, atol=1e-6)


def test_too_few_neighbors_are_seen_as_by_a_camera() -> None:
    np.testing.assert_array_equal(direction_of(np.zeros((4, 5, 3), np.float32)).away, [0, 0, 1])


def test_a_plane_has_no_holes() -> None:
    picture = draw_scene(scene())[:480]
    rows, columns = np.nonzero((picture == np.array(BLUE)).all(axis=-1))
    assert count(picture, BLUE) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert np.ptp(columns) > np.ptp(rows) > 100


def test_what_is_near_covers_what_is_behind_it() -> None:
    with_wall, without = (draw_scene(scene(wall=wall))[:480] for wall in (True, False))
    assert count(with_wall, RED) > 2000
    assert np.array_equal(with_wall, draw_scene(scene(wall=True))[:480])
    assert count(with_wall, BLUE) < count(without, BLUE)


def test_the_sizes_extremes_are_drawn() -> None:
    assert count(draw_scene(scene(1, 2))[:480], BLUE) > 0
    assert count(draw_scene(scene(900, 1200))[:480], BLUE) > 50_000


def test_panels_stand_side_by_side_with_their_titles() -> None:
    one = scene()
    two = Scene(one.points, one.origin, one.valid, one.map, 1.0, (*one.panels, Panel("part", one.panels[0].picture)))
    picture = draw_scene(two)
    assert picture.shape == (504, 960, 3)
    assert 0 < count(picture[480:, :480], PAPER) < 24 * 480
