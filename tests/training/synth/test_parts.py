"""Normal parts and their damage, on the grid."""

from __future__ import annotations

import numpy as np
import pytest
from cmdiad.training.synth.defects import DEFECT_MAKERS, TEXTURE_LIMIT_MM
from cmdiad.training.synth.parts import PART_MAKERS
from cmdiad.training.synth.surface import grid_mm, pick_edge, pick_site, smooth_noise
from scipy import ndimage

GRID = 240


@pytest.mark.parametrize("name", PART_MAKERS)
def test_parts_are_of_handy_size_and_stand_clear_of_the_border(name: str) -> None:
    part = PART_MAKERS[name](np.random.default_rng(1), GRID)
    x, y = grid_mm(GRID)
    on = part.footprint
    assert 40 < max(np.ptp(x[on]), np.ptp(y[on])) < 75
    assert 8 < part.height.max() < 30
    assert not on[[0, -1]].any()
    assert not on[:, [0, -1]].any()
    assert not part.height[~on].any()
    assert part.albedo.min() >= 0
    assert part.albedo.max() <= 1


@pytest.mark.parametrize("name", PART_MAKERS)
def test_normal_parts_differ_from_each_other(name: str) -> None:
    first, second = (PART_MAKERS[name](np.random.default_rng(seed), GRID) for seed in (1, 2))
    assert not np.array_equal(first.footprint, second.footprint)
    assert np.median(first.albedo[first.footprint], axis=0) != pytest.approx(
        np.median(second.albedo[second.footprint], axis=0), rel=1e-3
    )


@pytest.mark.parametrize("name", PART_MAKERS)
def test_color_follows_the_relief(name: str) -> None:
    part = PART_MAKERS[name](np.random.default_rng(3), GRID)
    tint = part.relief_color(part.relief)
    assert np.corrcoef(tint[part.footprint], part.relief[part.footprint])[0, 1] > 0.9


@pytest.mark.parametrize("defect", DEFECT_MAKERS)
@pytest.mark.parametrize("name", PART_MAKERS)
def test_damage_stays_where_the_defect_says(name: str, defect: str) -> None:
    part = PART_MAKERS[name](np.random.default_rng(4), GRID)
    damaged, cells = DEFECT_MAKERS[defect](part, np.random.default_rng(5))
    step = np.abs(damaged.height - part.height)
    assert cells.any()
    assert not (cells & ~part.footprint).any()
    assert step[cells].mean() > 20 * step[~cells].mean()
    assert (damaged.height >= 0).all()
    assert not damaged.height[~damaged.footprint].any()


def test_texture_damage_moves_the_surface_by_no_more_than_its_limit() -> None:
    for seed in range(4):
        part = PART_MAKERS["gland"](np.random.default_rng(seed), GRID)
        worn, _ = DEFECT_MAKERS["worn_texture"](part, np.random.default_rng(seed))
        assert np.abs(worn.height - part.height).max() <= TEXTURE_LIMIT_MM + 1e-4


@pytest.mark.parametrize(("defect", "sign"), [("dent", -1), ("crack", -1), ("missing_piece", -1), ("contamination", 1)])
def test_damage_goes_down_and_dirt_goes_up(defect: str, sign: int) -> None:
    part = PART_MAKERS["cookie"](np.random.default_rng(6), GRID)
    damaged, cells = DEFECT_MAKERS[defect](part, np.random.default_rng(7))
    assert sign * np.median((damaged.height - part.height)[cells]) > 0.05


def test_a_broken_part_is_still_in_one_piece() -> None:
    for name, make in PART_MAKERS.items():
        for seed in range(4):
            part = make(np.random.default_rng(seed), GRID)
            broken, _ = DEFECT_MAKERS["missing_piece"](part, np.random.default_rng(seed))
            assert ndimage.label(part.footprint)[1] == 1, name
            assert ndimage.label(broken.footprint)[1] == 1, name


def test_smooth_noise_has_unit_variance_and_is_the_same_at_every_grid_size() -> None:
    fine, coarse = (smooth_noise(np.random.default_rng(0), size, 2.0) for size in (240, 80))
    assert fine.std() == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-4)


def test_sites_lie_on_the_part_and_edges_on_its_outline() -> None:
    part, rng = PART_MAKERS["flange"](np.random.default_rng(8), GRID), np.random.default_rng(9)
    x, y = grid_mm(GRID)
    center = np.array([x[part.footprint].mean(), y[part.footprint].mean()])
    for _ in range(5):
        assert np.linalg.norm(pick_site(part, rng, 2.0) - center) < 31
        assert np.linalg.norm(pick_edge(part, rng) - center) == pytest.approx(30.5, abs=1.8)
