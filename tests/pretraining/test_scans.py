"""Sensors of the training: what a window shows of a part, and what a sensor does to depths."""

import numpy as np
import pytest
from cmdiad.pretraining.scans import DepthNoise, View, posed, random_camera, seen
from cmdiad.pretraining.shapes import RandomPart


def view_of(seed: int, close: bool) -> View | None:
    rng = np.random.default_rng(seed)
    part = RandomPart.of_family(rng)
    camera = random_camera(rng, part.reach_m if close else None)
    return seen(posed(part, camera, rng), camera, part.gloss, rng)


def share_shown(close: bool) -> float:
    views = [view_of(seed, close) for seed in range(6)]
    return float(np.mean([view.on_part.mean() for view in views if view is not None]))


def test_a_part_fills_more_of_its_own_window():
    assert share_shown(close=True) > 1.4 * share_shown(close=False)


def test_the_window_cuts_hardly_any_part_off():
    rims = []
    for seed in range(6):
        view = view_of(seed, close=True)
        if view is not None:
            edge = np.concatenate([view.on_part[0], view.on_part[-1], view.on_part[:, 0], view.on_part[:, -1]])
            rims.append(edge.mean())
    assert np.mean(rims) < 0.02


def test_depths_of_a_depth_camera_come_in_steps():
    view = view_of(0, close=True)
    assert view is not None
    noise, pitch_m = DepthNoise(white=0.2, smooth=0.4, step=0.8), 3e-4
    depths = noise.measured(view, pitch_m, np.random.default_rng(1))[:, 2].astype(float) / (0.8 * pitch_m)
    assert np.abs(depths - depths.round()).max() < 1e-3


@pytest.mark.parametrize("kind", [DepthNoise.of_structured_light, DepthNoise.of_depth_camera])
def test_noise_is_as_large_as_it_says_and_leaves_x_and_y_alone(kind):
    view, rng = view_of(0, close=False), np.random.default_rng(2)
    assert view is not None
    noise, pitch_m = kind(rng), 3e-4
    measured = noise.measured(view, pitch_m, rng)
    spread = float((measured - view.points)[:, 2].std()) / pitch_m
    expected = np.sqrt(noise.white**2 + noise.smooth**2 + noise.step**2 / 12)
    assert 0.8 * expected < spread < 1.2 * expected
    assert np.array_equal(measured[:, :2], view.points[:, :2])
